#!/bin/sh
# Makes sure that the programs are there that the tests and krunhost need, besides Go.
# As root on Debian or one of its kin it installs what is missing; otherwise it says what that is.
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

need qemu-system-x86_64 qemu-system-x86
need qemu-system-aarch64 qemu-system-arm
need busybox busybox-static
need npm npm

[ -n "$missing" ] || exit 0

install="apt-get install --no-install-recommends$packages"
if ! command -v apt-get >/dev/null; then
	echo "deps: missing commands:$missing (Debian has them in:$packages)" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: missing commands:$missing" >&2
	echo "deps: run as root: $install" >&2
	exit 1
fi

echo "deps: installing$packages" >&2
export DEBIAN_FRONTEND=noninteractive
# Without package lists, or with outdated ones, the first attempt fails.
if ! $install -y -qq >/dev/null 2>&1; then
	apt-get update -qq
	$install -y -qq >/dev/null
fi
