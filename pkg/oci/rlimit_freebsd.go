package oci

// system is the system that has the resources.
const system = "FreeBSD"

// MaxOpenFiles is the greatest limit RLIMIT_NOFILE. The kernel lowers it to kern.maxfilesperproc.
const MaxOpenFiles uint64 = 1<<63 - 1

// resources holds the names of the resources by number, sys/resource.h of FreeBSD 14. A name that
// Linux has too means the same there.
var resources = [...]string{
	0: "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK",
	4: "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_MEMLOCK", "RLIMIT_NPROC",
	8: "RLIMIT_NOFILE", "RLIMIT_SBSIZE", "RLIMIT_AS", "RLIMIT_NPTS",
	12: "RLIMIT_SWAP", "RLIMIT_KQUEUES", "RLIMIT_UMTXP", "RLIMIT_PIPEBUF",
}
