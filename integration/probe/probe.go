// Package probe takes down the state that a process is in, as far as the process itself can see it: for a program that runs
// as a workload, so that the states of two runtimes can be compared field by field.
package probe

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A State has what was seen, by the names of fields such as "umask", "limit Max open files" or "mount /proc options". A part
// that can't be seen has its error there, so that two states that can't be compared differ.
type State map[string]string

// Request is what Take looks at besides what every process has.
type Request struct {
	Sysctls []string // in dots, such as net.core.somaxconn
	Paths   []string // files and directories that are tried: can they be read, can they be written?
}

// Take takes down the state of this process as it was when the program was executed: what Go's runtime opens and installs
// by itself is not in it, nor is the limit on open files that it raises, for which it runs /bin/busybox. Only Parse can know
// which signals were ignored.
func Take(r Request) State {
	s := State{}
	onMainThread(func() {
		s.descriptors() // first: nothing is open yet that was not there at the start
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

// Parse returns the state that is in the files status and limits of /proc/PID, one after the other: what a program that changes
// nothing about itself can show, such as cat.
func Parse(text string) State {
	s := State{}
	s.parse(text)
	return s
}

func (s State) parse(text string) {
	for line := range strings.Lines(text) {
		// See proc_pid_limits(5): a name of fixed width, and two values.
		const nameWidth = len("Max realtime priority     ")
		if values := strings.Fields(line[min(nameWidth, len(line)):]); strings.HasPrefix(line, "Max ") && len(values) >= 2 {
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

// withoutInternal takes the C library's own signals, 32 and 33, out of a set. Who starts a program by posix_spawn(3), make for one,
// has it ignore them: that says nothing of who started it in the end.
func withoutInternal(set string) string {
	bits, err := strconv.ParseUint(set, 16, 64)
	if err != nil {
		return set
	}
	return fmt.Sprintf("%016x", bits&^(3<<31))
}

// capabilities are the names of the bits of a set, see capabilities(7), and the numbers of those that are newer than the
// names.
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

var capabilityNames = []string{"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE",
	"SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN",
	"SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"}

// A Difference is a field with another value in each of two states. A state without the field has an empty value.
type Difference struct {
	Field string
	A, B  string
}

// Compare returns the differences of two states, by name of field.
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
