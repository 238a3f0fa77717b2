// Package oci translates between the names of the OCI runtime-spec and image-spec and the numbers
// of Linux: capabilities, scheduling, I/O priority, lists of CPUs, resource limits (those of
// FreeBSD too) and signals. It also formats such values for people. It makes no system calls.
package oci

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// policies holds the names of the scheduling policies, SCHED_* of Linux, by number. SCHED_ISO is
// in the runtime-spec, but in no kernel.
var policies = [...]string{
	"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE",
	"SCHED_DEADLINE",
}

// schedulerFlags holds the names of the scheduler flags, SCHED_FLAG_* of Linux, by number of the
// bit.
var schedulerFlags = [...]string{
	"SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN",
	"SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS",
	"SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX",
}

// ioClasses holds the names of the I/O scheduling classes, IOPRIO_CLASS_* of Linux, by number.
// The runtime-spec does not have the first one.
var ioClasses = [...]string{
	"IOPRIO_CLASS_NONE", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE",
}

// ParsePolicy returns the number of a scheduling policy, given by its name in
// process.scheduler.policy of the runtime-spec, such as SCHED_RR. It returns false for any other
// name.
func ParsePolicy(name string) (number uint32, ok bool) {
	i := slices.Index(policies[:], name)
	return uint32(max(i, 0)), i >= 0
}

// ParseSchedulerFlag returns the bit of a scheduler flag, given by its name in
// process.scheduler.flags of the runtime-spec, such as SCHED_FLAG_RECLAIM. It returns false for any
// other name.
func ParseSchedulerFlag(name string) (bit uint64, ok bool) {
	i := slices.Index(schedulerFlags[:], name)
	return 1 << max(i, 0), i >= 0
}

// ParseIOClass returns the number of an I/O scheduling class, given by its name in
// process.ioPriority.class of the runtime-spec, such as IOPRIO_CLASS_BE. It returns false for any
// other name.
func ParseIOClass(name string) (number uint32, ok bool) {
	i := slices.Index(ioClasses[:], name)
	return uint32(max(i, 0)), i > 0
}

// FormatScheduler formats s as "SCHED_RR priority=7". It leaves out values that are 0.
func FormatScheduler(s specs.Scheduler) string {
	text := string(s.Policy)
	if s.Nice != 0 {
		text += fmt.Sprintf(" nice=%d", s.Nice)
	}
	if s.Priority != 0 {
		text += fmt.Sprintf(" priority=%d", s.Priority)
	}
	if s.Runtime != 0 || s.Deadline != 0 || s.Period != 0 {
		text += fmt.Sprintf(" runtime=%dns deadline=%dns period=%dns",
			s.Runtime, s.Deadline, s.Period)
	}
	if len(s.Flags) > 0 {
		flags := make([]string, len(s.Flags))
		for i, flag := range s.Flags {
			flags[i] = string(flag)
		}
		text += " " + strings.Join(flags, "|")
	}
	return text
}

// FormatIOPriority formats p as "IOPRIO_CLASS_BE priority=4".
func FormatIOPriority(p specs.LinuxIOPriority) string {
	return fmt.Sprintf("%s priority=%d", p.Class, p.Priority)
}

// CPUs is a set of CPUs: bit N%64 of word N/64 stands for CPU N, as sched_setaffinity(2) takes it
// on 64-bit machines.
type CPUs [16]uint64

// ParseCPUs parses a list of CPUs such as "0-3,7", as process.execCPUAffinity of the runtime-spec
// has it. Like container runtimes, it ignores blanks around an element and empty elements. It
// returns false for a malformed list, and for numbers above 1023.
func ParseCPUs(list string) (cpus CPUs, ok bool) {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.Trim(item, " \t")
		if item == "" {
			continue
		}
		low, high, isRange := strings.Cut(item, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(low, 10, 10)
		if err != nil {
			return CPUs{}, false
		}
		last, err := strconv.ParseUint(high, 10, 10)
		if err != nil || last < first {
			return CPUs{}, false
		}
		for n := first; n <= last; n++ {
			cpus[n/64] |= 1 << (n % 64)
		}
	}
	return cpus, true
}

// nameOf returns names[i], or i in decimal if there is no such name.
func nameOf(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return strconv.Itoa(i)
	}
	return names[i]
}
