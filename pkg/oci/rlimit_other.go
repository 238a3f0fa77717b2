//go:build !freebsd

package oci

// system is the system that has the resources. It is Linux on all hosts except FreeBSD, because
// they prepare Linux guests.
const system = "Linux"

// MaxOpenFiles is the greatest limit RLIMIT_NOFILE: that of the sysctl fs.nr_open.
const MaxOpenFiles uint64 = 1<<31 - 64

// resources holds the names of the resources by number, include/uapi/asm-generic/resource.h of Linux.
var resources = [...]string{
	0: "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK",
	4: "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE",
	8: "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING",
	12: "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
}
