#!/bin/sh
# Installs the programs that the tests and krunhost need besides Go.
# Without root or apt-get, it lists those that are missing.
set -eu

missing=''  # commands
packages='' # that contain them

# need COMMAND PACKAGE: the command is needed, and in the package.
need() {
	command -v "$1" >/dev/null || {
		missing="$missing $1"
		packages="$packages $2"
	}
}

# show_percent: reads status lines of apt-get and shows the last percentage in a line of the terminal.
show_percent() {
	while IFS=: read -r kind _ percent text; do
		case $kind in
		dlstatus | pmstatus) printf '\r\033[Kdeps: %s %% %.60s' "${percent%%.*}" "$text" ;;
		esac
	done
	printf '\r\033[K'
}

# quietly COMMAND...: runs apt-get without its output. If standard error is a terminal, it shows the
# progress there. Errors go to descriptor 6. Descriptor 3 has the status lines, 4 leads to
# show_percent, 5 has the exit code.
quietly() {
	if [ ! -t 2 ]; then
		"$@" >/dev/null 2>&6
		return
	fi
	code=$({
		{
			code=0
			"$@" -o APT::Status-Fd=3 3>&4 4>&- 5>&- >/dev/null 2>&6 || code=$?
			echo $code >&5
		} 4>&1 | show_percent >&2
	} 5>&1)
	return "$code"
}

# apt_install ARGUMENT...: runs apt-get install. The first attempt fails if package lists are absent
# or outdated.
apt_install() {
	export DEBIAN_FRONTEND=noninteractive
	set -- apt-get install --no-install-recommends -y -qq "$@"
	quietly "$@" 6>/dev/null || {
		quietly apt-get update -qq 6>&2
		quietly "$@" 6>&2
	}
}

need qemu-system-x86_64 qemu-system-x86
need qemu-system-aarch64 qemu-system-arm
need busybox busybox-static
need npm npm
need python3 python3-minimal
need cpio cpio
need mke2fs e2fsprogs

if [ -n "$missing" ]; then
	if ! command -v apt-get >/dev/null; then
		echo "deps: missing commands:$missing (Debian packages:$packages)" >&2
		exit 1
	fi
	if [ "$(id -u)" -ne 0 ]; then
		echo "deps: missing commands:$missing" >&2
		echo "deps: run as root: apt-get install --no-install-recommends$packages" >&2
		exit 1
	fi
	echo "deps: installing$packages" >&2
	apt_install $packages
fi

# The packages below are unpacked into the cache. Installed, the servers among them would start as
# daemons. Only root needs them: other users skip the tests that run servers or make images.
[ "$(id -u)" -eq 0 ] || exit 0
cache=${KRUNBOX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/krunbox}

# unpack DIRECTORY 'PROGRAM...' 'PACKAGE...': unpacks packages into a directory of the cache, unless
# it has all the programs. apt-get adds the libraries that this machine lacks. (The Go package
# internal/debian downloads single packages, for any architecture.)
unpack() {
	complete=yes
	for program in $2; do
		ls "$cache/$1"/*bin/"$program" "$cache/$1"/usr/*bin/"$program" 2>/dev/null | grep -q . ||
			complete=no
	done
	[ $complete = no ] || return 0
	if ! command -v apt-get >/dev/null; then
		echo "deps: no apt-get to download $1 for the tests (Debian packages: $3)" >&2
		exit 1
	fi
	echo "deps: unpacking $3" >&2
	mkdir -p "$cache"
	scratch=$(mktemp -d "$cache/$1.XXXXXX")
	trap 'rm -rf "$scratch"' EXIT
	mkdir -p "$scratch/archives/partial" "$scratch/root"
	chmod 755 "$scratch/root"
	apt_install --download-only --reinstall -o Dir::Cache::archives="$scratch/archives" \
		-o APT::Sandbox::User=root $3
	for archive in "$scratch"/archives/*.deb; do
		dpkg-deb -x "$archive" "$scratch/root"
	done
	rm -rf "$cache/$1"
	mv "$scratch/root" "$cache/$1"
	rm -rf "$scratch"
}

# See packages integration/network, diskimage and oci.
unpack servers 'dnsmasq kea-dhcp4 kea-dhcp6 dhcpd radvd passt' \
	'dnsmasq-base kea-dhcp4-server kea-dhcp6-server isc-dhcp-server radvd passt'
unpack tools 'mke2fs e2fsck debugfs mkfs.xfs xfs_repair mkfs.btrfs btrfs mkfs.erofs fsck.erofs
	mksquashfs mkfs.f2fs' \
	'e2fsprogs xfsprogs btrfs-progs erofs-utils squashfs-tools f2fs-tools'
unpack crun crun crun

# See package multicall/dist.
unpack shells 'zsh fish' 'zsh fish'

# See package docs, which compiles the documents' C.
command -v cc >/dev/null || unpack compiler tcc tcc
