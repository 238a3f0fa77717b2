// Package rootfs finds, mounts and enters the root file system of a guest: a block device, named by
// its path or by what its superblock or partition table says, or an overlay over such a device or
// over the current root. The current root, the host's, may be empty: not even a directory or device
// node is needed on it. Afterwards only a descriptor leads to it, and nothing of it is visible.
package rootfs
