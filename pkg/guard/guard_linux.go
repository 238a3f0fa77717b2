package guard

import "golang.org/x/sys/unix"

const alternatives = "in a mount namespace of its own, or with --force"

// inOwnNamespace reports whether this process and PID 1 are in different mount namespaces.
func inOwnNamespace() bool {
	var own, first unix.Stat_t
	return unix.Stat("/proc/self/ns/mnt", &own) == nil && unix.Stat("/proc/1/ns/mnt", &first) == nil &&
		(own.Dev != first.Dev || own.Ino != first.Ino)
}
