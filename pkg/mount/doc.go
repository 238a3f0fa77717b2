// Package mount mounts and unmounts the file systems of a guest. Its operations (see package op)
// cover the base file systems that every guest has, the mounts and protected paths of an OCI
// configuration, and the file systems on disks when the machine ends. On FreeBSD, it mounts the
// disk with the configuration.
package mount
