package oci

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		in   specs.Scheduler
		want string
	}{
		{specs.Scheduler{Policy: "SCHED_OTHER"}, "SCHED_OTHER"},
		{specs.Scheduler{Policy: "SCHED_BATCH", Nice: -5}, "SCHED_BATCH nice=-5"},
		{specs.Scheduler{Policy: "SCHED_FIFO", Priority: 7, Flags: []specs.LinuxSchedulerFlag{"A", "B"}},
			"SCHED_FIFO priority=7 A|B"},
		{specs.Scheduler{Policy: "SCHED_DEADLINE", Runtime: 1, Deadline: 2, Period: 3},
			"SCHED_DEADLINE runtime=1ns deadline=2ns period=3ns"},
	} {
		if got := FormatScheduler(c.in); got != c.want {
			t.Errorf("FormatScheduler(%v) = %q, want %q", c.in, got, c.want)
		}
	}
	in, want := specs.LinuxIOPriority{Class: "IOPRIO_CLASS_IDLE", Priority: 7}, "IOPRIO_CLASS_IDLE priority=7"
	if got := FormatIOPriority(in); got != want {
		t.Errorf("FormatIOPriority(%v) = %q, want %q", in, got, want)
	}
}

// Each name has its number, and other names have none.
func TestNames(t *testing.T) {
	for name, want := range map[string]int{"SCHED_OTHER": 0, "SCHED_RR": 2, "SCHED_DEADLINE": 6,
		"SCHED_ISO": 4, "": -1, "SCHED_NORMAL": -1, "4": -1} {
		if got, ok := ParsePolicy(name); ok != (want >= 0) || ok && int(got) != want {
			t.Errorf("ParsePolicy(%q) = %d, %v, want %d", name, got, ok, want)
		}
	}
	for name, want := range map[string]uint64{"SCHED_FLAG_RESET_ON_FORK": 1,
		"SCHED_FLAG_UTIL_CLAMP_MIN": 0x20, "SCHED_FLAG": 0, "": 0} {
		if got, ok := ParseSchedulerFlag(name); ok != (want != 0) || ok && got != want {
			t.Errorf("ParseSchedulerFlag(%q) = %#x, %v, want %#x", name, got, ok, want)
		}
	}
	for name, want := range map[string]uint32{"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_IDLE": 3, "": 0,
		"IOPRIO_CLASS_NONE": 0} {
		if got, ok := ParseIOClass(name); ok != (want != 0) || ok && got != want {
			t.Errorf("ParseIOClass(%q) = %d, %v, want %d", name, got, ok, want)
		}
	}
	for name, want := range map[string]int{"CAP_CHOWN": 0, "CAP_SETPCAP": 8, "CAP_SYS_ADMIN": 21,
		"CAP_AUDIT_READ": 37, "CAP_CHECKPOINT_RESTORE": 40, "": -1, "CHOWN": -1, "cap_chown": -1, "CAP_41": -1} {
		got, ok := ParseCapability(name)
		if ok != (want >= 0) || ok && got != 1<<want {
			t.Errorf("ParseCapability(%q) = %#x, %v, want bit %d", name, got, ok, want)
		}
	}
	set, want := CapabilitySet(1<<63|1<<40|1), []string{"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE", "63"}
	if got := set.Names(); !slices.Equal(got, want) {
		t.Errorf("Names() = %q, want %q", got, want)
	}
	if got := len(CapabilitySet(1<<(unix.CAP_LAST_CAP+1) - 1).Names()); got != len(capabilities) {
		t.Errorf("%d capabilities have names, Linux has %d", len(capabilities), got)
	}
}

func TestParseCapabilities(t *testing.T) {
	list := func(names ...string) []string { return names }
	c := specs.LinuxCapabilities{Bounding: list("CAP_CHOWN", "CAP_KILL"), Effective: list("CAP_KILL"),
		Inheritable: list("CAP_FOWNER"), Permitted: list("CAP_FSETID"), Ambient: list("CAP_CHOWN")}
	want := Capabilities{Bounding: 0x21, Effective: 0x20, Inheritable: 8, Permitted: 0x10, Ambient: 1}
	if got, err := ParseCapabilities(c); got != want || err != nil {
		t.Errorf("ParseCapabilities(%v) = %v, %v, want %v", c, got, err, want)
	}
	c.Bounding = list("CAP_X", "CAP_KILL")
	if _, err := ParseCapabilities(c); err == nil || err.Error() != `unknown capability "CAP_X"` {
		t.Errorf("ParseCapabilities(%v) = %v, want an error that names CAP_X", c, err)
	}
}

func TestGrantable(t *testing.T) {
	for _, c := range []struct {
		in, want Capabilities
		refused  CapabilitySet
	}{
		{Capabilities{}, Capabilities{}, 0},
		{Capabilities{7, 3, 3, 3, 3}, Capabilities{7, 3, 3, 3, 3}, 0},
		// The program gets it, but no program that it executes.
		{Capabilities{Permitted: 1}, Capabilities{Permitted: 1}, 0},
		{Capabilities{Bounding: 1, Effective: 2}, Capabilities{Bounding: 1}, 2},
		{Capabilities{Bounding: 1, Inheritable: 5}, Capabilities{Bounding: 1, Inheritable: 1}, 4},
		{Capabilities{Bounding: 7, Permitted: 3, Inheritable: 6, Ambient: 15},
			Capabilities{Bounding: 7, Permitted: 3, Inheritable: 6, Ambient: 2}, 13},
		{Capabilities{Permitted: 1, Inheritable: 1, Ambient: 1}, Capabilities{Permitted: 1}, 1},
	} {
		if got, refused := c.in.Grantable(); got != c.want || refused != c.refused {
			t.Errorf("%v.Grantable() = %v, %d, want %v, %d", c.in, got, refused, c.want, c.refused)
		}
	}
}

// format formats a set as a list of numbers without ranges.
func format(cpus CPUs) string {
	var numbers []string
	for n := range 64 * len(cpus) {
		if cpus[n/64]>>(n%64)&1 != 0 {
			numbers = append(numbers, strconv.Itoa(n))
		}
	}
	return strings.Join(numbers, ",")
}

func TestParseCPUs(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"0", "0"},
		{"0-3,7", "0,1,2,3,7"},
		{"7, 1-1 ,,2,0-1,63-65,1023", "0,1,2,7,63,64,65,1023"},
	} {
		got, ok := ParseCPUs(c.in)
		if !ok || format(got) != c.want {
			t.Errorf("ParseCPUs(%q) = %s, %v, want %s", c.in, format(got), ok, c.want)
		}
	}
	all := CPUs{}
	for i := range all {
		all[i] = 1<<64 - 1
	}
	if got, ok := ParseCPUs("0-1023"); got != all || !ok {
		t.Errorf("ParseCPUs(\"0-1023\") = %s, %v, want all CPUs", format(got), ok)
	}
	for _, in := range []string{"a", "1024", "-1", "1-", "-", "3-1", "1-2-3", "0x1", "1 2",
		"0-99999999999999999999", "\n1", "+1"} {
		if got, ok := ParseCPUs(in); ok || got != (CPUs{}) {
			t.Errorf("ParseCPUs(%q) = %s, %v, want none", in, format(got), ok)
		}
	}
}

func FuzzParseCPUs(f *testing.F) {
	f.Add("0-3,7")
	f.Fuzz(func(t *testing.T, list string) {
		cpus, ok := ParseCPUs(list)
		if again, ok2 := ParseCPUs(format(cpus)); ok && (!ok2 || again != cpus) {
			t.Errorf("ParseCPUs(%q) = %s, which parses as %s", list, format(cpus), format(again))
		}
	})
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]int{
		"SIGTERM": 15, "TERM": 15, "term": 15, "sigTerm": 15, "15": 15, "SIGHUP": 1, "SYS": 31, "64": 64,
		"KILL": 9, "IOT": 6, "SIGPOLL": 29, "CLD": 17, "SIGRTMIN": 34, "RTMIN+0": 34, "SIGRTMIN+3": 37,
		"rtmin+30": 64, "SIGRTMAX": 64, "RTMAX-1": 63, "RTMAX-30": 34,
	} {
		if got, ok := ParseSignal(in); got != want || !ok {
			t.Errorf("ParseSignal(%q) = %d, %v, want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "SIG", "0", "65", "-15", "SIGSIGTERM", "TERM ", "RTMIN-1",
		"RTMIN+31", "RTMIN3", "RTMAX+1", "RTMAX-31", "RTMIN+-1", "RTMIN+9223372036854775807", "SIGFOO",
		"15.0"} {
		if got, ok := ParseSignal(in); ok {
			t.Errorf("ParseSignal(%q) = %d, want none", in, got)
		}
	}
	for number, name := range signals {
		if got := int(unix.SignalNum("SIG" + name)); name != "" && got != number {
			t.Errorf("SIG%s = %d in this kernel, want %d", name, got, number)
		}
	}
}
