#!/bin/sh
# Makes sure that the programs are there that the tests and krunhost need, besides Go.
# As root on Debian or one of its kin it gets what is missing; otherwise it says what that is.
set -eu

missing='' # commands
packages=''

# need COMMAND PACKAGE
need() {
	command -v "$1" >/dev/null || {
		missing="$missing $1"
		packages="$packages $2"
	}
}

# apt_install ARGUMENT...: apt-get install. Without package lists, or with outdated ones, the first attempt fails.
apt_install() {
	export DEBIAN_FRONTEND=noninteractive
	set -- apt-get install --no-install-recommends -y -qq "$@"
	"$@" >/dev/null 2>&1 || {
		apt-get update -qq
		"$@" >/dev/null
	}
}

need qemu-system-x86_64 qemu-system-x86
need qemu-system-aarch64 qemu-system-arm
need busybox busybox-static
need npm npm

if [ -n "$missing" ]; then
	if ! command -v apt-get >/dev/null; then
		echo "deps: missing commands:$missing (Debian has them in:$packages)" >&2
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

# The servers of package integration/network are unpacked into its cache, not installed: that would start daemons here.
# They run as root only, so nobody else needs them.
[ "$(id -u)" -eq 0 ] || exit 0
servers=${KRUNBOX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/krunbox}/servers
complete=yes
for program in usr/sbin/dnsmasq usr/sbin/kea-dhcp4 usr/sbin/kea-dhcp6 usr/sbin/dhcpd usr/sbin/radvd usr/bin/passt; do
	[ -x "$servers/$program" ] || complete=no
done
[ $complete = no ] || exit 0

packages='dnsmasq-base kea-dhcp4-server kea-dhcp6-server isc-dhcp-server radvd passt'
if ! command -v apt-get >/dev/null; then
	echo "deps: no apt-get to fetch network servers for the tests (Debian has them in: $packages)" >&2
	exit 1
fi
echo "deps: unpacking $packages" >&2
mkdir -p "$(dirname "$servers")"
scratch=$(mktemp -d "$servers.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/archives/partial" "$scratch/root"
chmod 755 "$scratch/root"
# apt-get checks what it fetches, and knows the libraries that this machine lacks.
apt_install --download-only --reinstall -o Dir::Cache::archives="$scratch/archives" -o APT::Sandbox::User=root $packages
for archive in "$scratch"/archives/*.deb; do
	dpkg-deb -x "$archive" "$scratch/root"
done
rm -rf "$servers"
mv "$scratch/root" "$servers"
