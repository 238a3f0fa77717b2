package oci

import (
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// CapabilitySet is a set of capabilities: bit N stands for the one with number N.
type CapabilitySet uint64

// Capabilities are the five sets of process.capabilities of the runtime-spec, capabilities(7).
type Capabilities struct {
	Bounding, Effective, Inheritable, Permitted, Ambient CapabilitySet
}

// capabilities holds the names of the capabilities by number, include/uapi/linux/capability.h of
// Linux.
var capabilities = [...]string{
	0: "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER",
	4: "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	8: "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
	12: "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	16: "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
	20: "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
	24: "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	28: "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP",
	32: "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	36: "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
	40: "CAP_CHECKPOINT_RESTORE",
}

// ParseCapability returns the set of one capability, given by its name in capabilities(7), such as
// CAP_KILL. It returns false for any other name.
func ParseCapability(name string) (CapabilitySet, bool) {
	i := slices.Index(capabilities[:], name)
	return 1 << max(i, 0), i >= 0
}

// ParseCapabilities returns the sets of the capabilities that c names. It returns an error for an
// unknown name.
func ParseCapabilities(c specs.LinuxCapabilities) (sets Capabilities, err error) {
	parse := func(names []string) (set CapabilitySet) {
		for _, name := range names {
			capability, ok := ParseCapability(name)
			if !ok {
				err = fmt.Errorf("unknown capability %q", name)
			}
			set |= capability
		}
		return set
	}
	sets = Capabilities{
		Bounding:    parse(c.Bounding),
		Effective:   parse(c.Effective),
		Inheritable: parse(c.Inheritable),
		Permitted:   parse(c.Permitted),
		Ambient:     parse(c.Ambient),
	}
	return sets, err
}

// Names returns the names of the capabilities in the set, in the order of their numbers. For a
// capability without a name it returns the number in decimal.
func (s CapabilitySet) Names() []string {
	var names []string
	for number := range 64 {
		if s.Has(number) {
			names = append(names, CapabilityName(number))
		}
	}
	return names
}

// CapabilityName returns the name of the capability with a number, such as CAP_CHOWN for 0, or the
// number in decimal if there is no such capability.
func CapabilityName(number int) string { return nameOf(capabilities[:], number) }

// Has reports whether the set has the capability with a number from 0 to 63.
func (s CapabilitySet) Has(number int) bool { return s>>number&1 != 0 }

// Grantable returns c without the capabilities that the kernel refuses to a process that has no
// inheritable capabilities: those that are effective but not permitted, inheritable but not in the
// bounding set, or ambient but not both permitted and inheritable. It also returns the set of all
// refused capabilities.
func (c Capabilities) Grantable() (granted Capabilities, refused CapabilitySet) {
	granted = c
	granted.Effective &= c.Permitted
	granted.Inheritable &= c.Bounding
	granted.Ambient &= c.Permitted & granted.Inheritable
	refused = c.Effective&^granted.Effective | c.Inheritable&^granted.Inheritable |
		c.Ambient&^granted.Ambient
	return granted, refused
}
