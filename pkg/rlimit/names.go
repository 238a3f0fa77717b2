package rlimit

import (
	"slices"
	"strconv"
)

// Resource returns the number of the resource that the OCI runtime-spec calls
// name, RLIMIT_NOFILE for one, and whether the system has it.
func Resource(name string) (int, bool) {
	resource := slices.Index(names[:], name)
	return resource, resource >= 0
}

// Name returns the OCI runtime-spec's name of a resource, and the number itself
// in decimal where the system has no such resource.
func Name(resource int) string {
	if resource < 0 || resource >= len(names) {
		return strconv.Itoa(resource)
	}
	return names[resource]
}
