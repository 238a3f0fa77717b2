//go:build !freebsd

package oci

// system is the system whose resources the table lists. Hosts of other systems prepare Linux
// guests.
const system = "Linux"

// resources holds the OCI runtime-spec's name of each resource at the index of its number,
// include/uapi/asm-generic/resource.h of Linux.
var resources = [...]string{
	0:  "RLIMIT_CPU",
	1:  "RLIMIT_FSIZE",
	2:  "RLIMIT_DATA",
	3:  "RLIMIT_STACK",
	4:  "RLIMIT_CORE",
	5:  "RLIMIT_RSS",
	6:  "RLIMIT_NPROC",
	7:  "RLIMIT_NOFILE",
	8:  "RLIMIT_MEMLOCK",
	9:  "RLIMIT_AS",
	10: "RLIMIT_LOCKS",
	11: "RLIMIT_SIGPENDING",
	12: "RLIMIT_MSGQUEUE",
	13: "RLIMIT_NICE",
	14: "RLIMIT_RTPRIO",
	15: "RLIMIT_RTTIME",
}
