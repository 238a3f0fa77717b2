// Package probe records the state of a process that the process itself can observe. A program that
// uses it runs as a workload, so that the states of workloads under two runtimes can be compared
// field by field.
package probe

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A State has the values of fields such as "umask", "limit Max open files" or "mount /proc
// options". The value of a field that cannot be observed is the error.
type State map[string]string

// Request has objects that Take observes in addition to the state of the process.
type Request struct {
	Sysctls []string // kernel parameters, such as net.core.somaxconn
	Paths   []string // files and directories; Take tries whether they can be read and written
}

// Take returns the state that this process had when its program was executed, without the changes
// by Go's runtime. It leaves out which signals were ignored, because the runtime changes that; see
// Parse. It runs /bin/busybox to get the original limit on open files, which the runtime raises.
func Take(r Request) State {
	s := State{}
	onMainThread(func() {
		s.descriptors() // first, before other methods open files
		s.terminal()
		s.process()
		s.status()
		s.limits()
		s.attributes()
		s.scheduling()
	})
	s.names()
	s.mounts()
	s.devices()
	s.interfaces()
	for _, name := range r.Sysctls {
		s.sysctl(name)
	}
	for _, path := range r.Paths {
		s.path(path)
	}
	return s
}

// Parse returns the state in text, the contents of /proc/PID/status followed by /proc/PID/limits. A
// program that does not change its own state, such as cat, can print them.
func Parse(text string) State {
	s := State{}
	s.parse(text)
	return s
}

func (s State) parse(text string) {
	for line := range strings.Lines(text) {
		// See proc_pid_limits(5): a name of fixed width and two values.
		const nameWidth = len("Max realtime priority     ")
		values := strings.Fields(line[min(nameWidth, len(line)):])
		if strings.HasPrefix(line, "Max ") && len(values) >= 2 {
			s["limit "+strings.TrimSpace(line[:nameWidth])] = values[0] + " " + values[1]
			continue
		}
		// See proc_pid_status(5).
		name, value, _ := strings.Cut(line, ":")
		value = strings.Join(strings.Fields(value), " ")
		if field, ok := statusFields[name]; ok {
			switch {
			case strings.HasPrefix(name, "Cap"):
				value = capabilities(value)
			case name == "SigIgn":
				value = withoutInternal(value)
			}
			s[field] = value
		}
	}
}

var statusFields = map[string]string{
	"Umask":             "umask",
	"Uid":               "user IDs",
	"Gid":               "group IDs",
	"Groups":            "supplementary groups",
	"NoNewPrivs":        "no new privileges",
	"Seccomp":           "seccomp mode",
	"Seccomp_filters":   "seccomp filters",
	"SigPnd":            "signals pending",
	"ShdPnd":            "signals pending for all threads",
	"SigBlk":            "signals blocked",
	"SigIgn":            "signals ignored",
	"SigCgt":            "signals caught",
	"CapInh":            "capabilities inheritable",
	"CapPrm":            "capabilities permitted",
	"CapEff":            "capabilities effective",
	"CapBnd":            "capabilities bounding",
	"CapAmb":            "capabilities ambient",
	"Cpus_allowed_list": "CPUs",
}

// withoutInternal returns the signal set without signals 32 and 33, which are internal to the C
// library. A program started by posix_spawn(3) ignores them, and so do its descendants. make starts
// programs that way, so the signals do not depend on the runtime that is observed.
func withoutInternal(set string) string {
	bits, err := strconv.ParseUint(set, 16, 64)
	if err != nil {
		return set
	}
	return fmt.Sprintf("%016x", bits&^(3<<31))
}

// capabilities returns the names of the capabilities in set, a hexadecimal number; see
// capabilities(7). It returns the numbers of capabilities that are not in capabilityNames.
func capabilities(set string) string {
	bits, err := strconv.ParseUint(set, 16, 64)
	if err != nil {
		return set
	}
	var list []string
	for n := range 64 {
		if bits&(1<<n) == 0 {
			continue
		}
		name := strconv.Itoa(n)
		if n < len(capabilityNames) {
			name = capabilityNames[n]
		}
		list = append(list, name)
	}
	return strings.Join(list, " ")
}

// capabilityNames has the names of the capabilities, without CAP_, by number.
var capabilityNames = []string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
	"IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
	"SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
	"LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
	"WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// A Difference is a field whose values differ in two states. The value is empty for a state without
// the field.
type Difference struct {
	Field string
	A, B  string
}

// Compare returns the differences between two states, sorted by field.
func Compare(a, b State) []Difference {
	var list []Difference
	for field, value := range a {
		if other := b[field]; value != other {
			list = append(list, Difference{field, value, other})
		}
	}
	for field, other := range b {
		if _, both := a[field]; !both && other != "" {
			list = append(list, Difference{Field: field, B: other})
		}
	}
	slices.SortFunc(list, func(x, y Difference) int { return cmp.Compare(x.Field, y.Field) })
	return list
}
