// Package oci knows what the OCI runtime specification says of a process beyond its program and its limits:
// capabilities, scheduling, I/O priority, CPUs; and signals, which image configurations name. It has the numbers and names
// of Linux, and the notations; to apply them is up to the caller.
package oci

import (
	"slices"
	"strconv"
	"strings"
)

// Scheduler is process.scheduler of the OCI runtime specification, sched_setattr(2).
type Scheduler struct {
	Policy   Policy
	Nice     int32 // -20 to 19, of SCHED_OTHER and SCHED_BATCH
	Priority int32 // 1 to 99, of SCHED_FIFO and SCHED_RR
	Flags    SchedulerFlags
	// Runtime, Deadline and Period are those of SCHED_DEADLINE, in nanoseconds.
	Runtime, Deadline, Period uint64
}

// Policy is a scheduling policy, SCHED_* of Linux.
type Policy uint32

var policies = [...]string{
	0: "SCHED_OTHER",
	1: "SCHED_FIFO",
	2: "SCHED_RR",
	3: "SCHED_BATCH",
	4: "SCHED_ISO", // no kernel has it, but the specification
	5: "SCHED_IDLE",
	6: "SCHED_DEADLINE",
}

// ParsePolicy returns the policy that the OCI runtime specification calls name, and whether there is one.
func ParsePolicy(name string) (Policy, bool) {
	i := slices.Index(policies[:], name)
	return Policy(max(i, 0)), i >= 0
}

func (p Policy) String() string { return nameOf(policies[:], int(p)) }

// SchedulerFlags are SCHED_FLAG_* of Linux.
type SchedulerFlags uint64

var schedulerFlags = [...]string{ // by number of the bit
	"SCHED_FLAG_RESET_ON_FORK",
	"SCHED_FLAG_RECLAIM",
	"SCHED_FLAG_DL_OVERRUN",
	"SCHED_FLAG_KEEP_POLICY",
	"SCHED_FLAG_KEEP_PARAMS",
	"SCHED_FLAG_UTIL_CLAMP_MIN",
	"SCHED_FLAG_UTIL_CLAMP_MAX",
}

// ParseSchedulerFlag returns the flag that the OCI runtime specification calls name, and whether there is one.
func ParseSchedulerFlag(name string) (SchedulerFlags, bool) {
	i := slices.Index(schedulerFlags[:], name)
	return SchedulerFlags(1) << max(i, 0), i >= 0
}

// Names returns the names of the flags.
func (f SchedulerFlags) Names() []string { return namesOf(schedulerFlags[:], uint64(f)) }

// String renders s as "SCHED_RR priority=7", with what is not 0 of policy, nice value, priority, times and flags.
func (s Scheduler) String() string {
	text := s.Policy.String()
	if s.Nice != 0 {
		text += " nice=" + strconv.Itoa(int(s.Nice))
	}
	if s.Priority != 0 {
		text += " priority=" + strconv.Itoa(int(s.Priority))
	}
	if s.Runtime != 0 || s.Deadline != 0 || s.Period != 0 {
		text += " runtime=" + utoa(s.Runtime) + "ns deadline=" + utoa(s.Deadline) + "ns period=" + utoa(s.Period) + "ns"
	}
	if s.Flags != 0 {
		text += " " + strings.Join(s.Flags.Names(), "|")
	}
	return text
}

// IOPriority is process.ioPriority of the OCI runtime specification, ioprio_set(2).
type IOPriority struct {
	Class    IOClass
	Priority uint32 // 0, the highest, to 7
}

// IOClass is an I/O scheduling class, IOPRIO_CLASS_* of Linux.
type IOClass uint32

var ioClasses = [...]string{
	1: "IOPRIO_CLASS_RT",
	2: "IOPRIO_CLASS_BE",
	3: "IOPRIO_CLASS_IDLE",
}

// ParseIOClass returns the class that the OCI runtime specification calls name, and whether there is one.
func ParseIOClass(name string) (IOClass, bool) {
	i := slices.Index(ioClasses[1:], name) + 1
	return IOClass(i), i > 0
}

func (c IOClass) String() string { return nameOf(ioClasses[:], int(c)) }

// String renders p as "IOPRIO_CLASS_BE priority=4".
func (p IOPriority) String() string {
	return p.Class.String() + " priority=" + utoa(uint64(p.Priority))
}

// nameOf returns the name in place i, or i itself where there is none.
func nameOf(names []string, i int) string {
	if i < 0 || i >= len(names) || names[i] == "" {
		return strconv.Itoa(i)
	}
	return names[i]
}

// namesOf returns the names of the bits that are set; of one without a name, its number.
func namesOf(names []string, bits uint64) []string {
	var list []string
	for i := range 64 {
		if bits>>i&1 != 0 {
			list = append(list, nameOf(names, i))
		}
	}
	return list
}

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }
