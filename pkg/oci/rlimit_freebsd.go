package oci

// system is the system whose resources the table lists.
const system = "FreeBSD"

// resources holds the name of each resource at the index of its number, sys/resource.h of FreeBSD
// 14. Names that Linux has too mean the same there.
var resources = [...]string{
	0:  "RLIMIT_CPU",
	1:  "RLIMIT_FSIZE",
	2:  "RLIMIT_DATA",
	3:  "RLIMIT_STACK",
	4:  "RLIMIT_CORE",
	5:  "RLIMIT_RSS",
	6:  "RLIMIT_MEMLOCK",
	7:  "RLIMIT_NPROC",
	8:  "RLIMIT_NOFILE",
	9:  "RLIMIT_SBSIZE",
	10: "RLIMIT_AS",
	11: "RLIMIT_NPTS",
	12: "RLIMIT_SWAP",
	13: "RLIMIT_KQUEUES",
	14: "RLIMIT_UMTXP",
	15: "RLIMIT_PIPEBUF",
}
