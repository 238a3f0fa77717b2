package guestconfig

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// validate checks what the types of a document do not: words of enumerations, members that must be
// present, and resource limits. It returns the first error, of errorAt.
func (doc *document) validate() (err error) {
	check := func(e error) { err = cmp.Or(err, e) }
	check(validateRlimits(doc.Process.Rlimits))
	if s := doc.Process.Scheduler; s != nil {
		const pointer = "/process/scheduler"
		check(validateWord(pointer+"/policy", "policy", s.Policy, oci.ParsePolicy))
		for i, flag := range s.Flags {
			pointer := fmt.Sprintf("%s/flags/%d", pointer, i)
			check(validateWord(pointer, "flag", flag, oci.ParseSchedulerFlag))
		}
	}
	if p := doc.Process.IOPriority; p != nil {
		check(validateWord("/process/ioPriority/class", "class", p.Class, oci.ParseIOClass))
	}
	if a := doc.Process.ExecCPUAffinity; a != nil {
		const pointer, name = "/process/execCPUAffinity", "list of CPUs"
		check(validateWord(pointer+"/initial", name, a.Initial, oci.ParseCPUs))
		check(validateWord(pointer+"/final", name, a.Final, oci.ParseCPUs))
	}
	propagation := oneOf("", "shared", "slave", "private", "unbindable",
		"rshared", "rslave", "rprivate", "runbindable")
	word := doc.Linux.RootfsPropagation
	check(validateWord("/linux/rootfsPropagation", "propagation", word, propagation))
	deviceType := oneOf("b", "c", "u", "p")
	for i, device := range doc.Linux.Devices {
		pointer := fmt.Sprintf("/linux/devices/%d", i)
		if device.Path == "" {
			check(errorAt(pointer+"/path", "no path"))
		}
		check(validateWord(pointer+"/type", "type of device", device.Type, deviceType))
	}
	return err
}

// validateRlimits checks process.rlimits.
func validateRlimits(limits []specs.POSIXRlimit) error {
	for i, limit := range limits {
		pointer := fmt.Sprintf("/process/rlimits/%d", i)
		if err := validateWord(pointer, "resource", limit.Type, oci.ParseResource); err != nil {
			return err
		}
		isSame := func(l specs.POSIXRlimit) bool { return l.Type == limit.Type }
		if slices.ContainsFunc(limits[:i], isSame) {
			return errorAt(pointer, "%s is limited twice", limit.Type)
		}
		if err := oci.ValidateRlimit(limit); err != nil {
			return errorAt(pointer, "%s: %w", limit.Type, err)
		}
	}
	return nil
}

// validateWord returns an error if parse does not know word. The name is for the message.
func validateWord[W ~string, T any](
	pointer, name string, word W, parse func(string) (T, bool),
) error {
	if _, ok := parse(string(word)); ok {
		return nil
	}
	if word == "" {
		return errorAt(pointer, "no %s", name)
	}
	return errorAt(pointer, "unknown %s %q", name, clip(string(word)))
}

// oneOf returns a function that reports whether a string is one of words.
func oneOf(words ...string) func(s string) (i int, ok bool) {
	return func(s string) (int, bool) { return 0, slices.Contains(words, s) }
}
