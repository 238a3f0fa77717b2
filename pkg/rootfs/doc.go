// Package rootfs finds, mounts and enters the root file system of a guest: a block device, named by
// its path or by what its superblock or partition table says, or an overlay over such a device or
// over the current root. The current root, which the host provides, may be empty: it needs no
// directory and no device node. Afterwards no path leads to it, only a file descriptor.
package rootfs
