package rlimit

import (
	"slices"
	"strconv"
)

// names holds the OCI runtime-spec's name of each resource in the place of its
// number, include/uapi/asm-generic/resource.h of Linux.
var names = [...]string{
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

// Resource returns the number of the resource that the OCI runtime-spec calls
// name, RLIMIT_NOFILE for one, and whether there is one.
func Resource(name string) (int, bool) {
	resource := slices.Index(names[:], name)
	return resource, resource >= 0
}

// Name returns the OCI runtime-spec's name of a resource, and the number itself
// in decimal where Linux has no such resource.
func Name(resource int) string {
	if resource < 0 || resource >= len(names) {
		return strconv.Itoa(resource)
	}
	return names[resource]
}
