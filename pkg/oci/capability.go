package oci

import "slices"

// Capabilities are the five sets of process.capabilities of the OCI runtime specification, capabilities(7).
type Capabilities struct {
	Bounding, Effective, Inheritable, Permitted, Ambient CapabilitySet
}

// CapabilitySet is a set of capabilities: bit N stands for the one with number N.
type CapabilitySet uint64

var capabilities = [...]string{ // by number, include/uapi/linux/capability.h of Linux
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
}

// ParseCapability returns the capability that capabilities(7) calls name, and whether there is one.
func ParseCapability(name string) (CapabilitySet, bool) {
	i := slices.Index(capabilities[:], name)
	return CapabilitySet(1) << max(i, 0), i >= 0
}

// Names returns the names of the capabilities in the set, those with low numbers first.
func (s CapabilitySet) Names() []string { return namesOf(capabilities[:], uint64(s)) }

// Has tells whether the set has the capability with a number.
func (s CapabilitySet) Has(number int) bool { return s>>number&1 != 0 }

// Grantable returns the sets without what the kernel would refuse to a process that starts with no inheritable capability:
// effective but not permitted, inheritable but not in the bounding set, ambient but not both permitted and inheritable;
// and what that is.
func (c Capabilities) Grantable() (granted Capabilities, refused CapabilitySet) {
	granted = c
	granted.Effective &= c.Permitted
	granted.Inheritable &= c.Bounding
	granted.Ambient &= c.Permitted & granted.Inheritable
	return granted, c.Effective&^granted.Effective | c.Inheritable&^granted.Inheritable | c.Ambient&^granted.Ambient
}
