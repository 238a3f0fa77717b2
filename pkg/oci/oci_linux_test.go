package oci

import (
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestScheduler(t *testing.T) {
	for _, c := range []struct {
		in   Scheduler
		want string
	}{
		{Scheduler{}, "SCHED_OTHER"},
		{Scheduler{Policy: 3, Nice: -5}, "SCHED_BATCH nice=-5"},
		{Scheduler{Policy: 1, Priority: 7, Flags: 1 | 0x40}, "SCHED_FIFO priority=7 SCHED_FLAG_RESET_ON_FORK|SCHED_FLAG_UTIL_CLAMP_MAX"},
		{Scheduler{Policy: 6, Runtime: 1, Deadline: 2, Period: 3}, "SCHED_DEADLINE runtime=1ns deadline=2ns period=3ns"},
		{Scheduler{Policy: 99}, "99"},
	} {
		if got := c.in.String(); got != c.want {
			t.Errorf("%#v.String() = %q, want %q", c.in, got, c.want)
		}
	}
	if got := (IOPriority{Class: 3, Priority: 7}).String(); got != "IOPRIO_CLASS_IDLE priority=7" {
		t.Errorf("IOPriority{3, 7}.String() = %q", got)
	}
}

// Every name is that of its number, and no other name is one.
func TestNames(t *testing.T) {
	for name, want := range map[string]int{"SCHED_OTHER": 0, "SCHED_RR": 2, "SCHED_DEADLINE": 6, "SCHED_ISO": 4, "": -1, "SCHED_NORMAL": -1, "4": -1} {
		if got, ok := ParsePolicy(name); ok != (want >= 0) || ok && int(got) != want {
			t.Errorf("ParsePolicy(%q) = %d, %v, want %d", name, got, ok, want)
		}
	}
	for name, want := range map[string]SchedulerFlags{"SCHED_FLAG_RESET_ON_FORK": 1, "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20, "SCHED_FLAG": 0, "": 0} {
		if got, ok := ParseSchedulerFlag(name); ok != (want != 0) || ok && got != want {
			t.Errorf("ParseSchedulerFlag(%q) = %#x, %v, want %#x", name, got, ok, want)
		}
	}
	for name, want := range map[string]IOClass{"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_IDLE": 3, "": 0, "IOPRIO_CLASS_NONE": 0} {
		if got, ok := ParseIOClass(name); ok != (want != 0) || ok && got != want {
			t.Errorf("ParseIOClass(%q) = %d, %v, want %d", name, got, ok, want)
		}
	}
	for name, want := range map[string]int{"CAP_CHOWN": 0, "CAP_SETPCAP": 8, "CAP_SYS_ADMIN": 21, "CAP_AUDIT_READ": 37,
		"CAP_CHECKPOINT_RESTORE": 40, "": -1, "CHOWN": -1, "cap_chown": -1, "CAP_41": -1} {
		got, ok := ParseCapability(name)
		if ok != (want >= 0) || ok && got != 1<<want {
			t.Errorf("ParseCapability(%q) = %#x, %v, want bit %d", name, got, ok, want)
		}
	}
	if got, want := CapabilitySet(1<<63|1<<40|1).Names(), []string{"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE", "63"}; !slices.Equal(got, want) {
		t.Errorf("Names() = %q, want %q", got, want)
	}
	if got := len(CapabilitySet(1<<(unix.CAP_LAST_CAP+1) - 1).Names()); got != len(capabilities) {
		t.Errorf("%d capabilities have names, Linux has %d", len(capabilities), got)
	}
}

func TestGrantable(t *testing.T) {
	for _, c := range []struct {
		in, want Capabilities
		refused  CapabilitySet
	}{
		{Capabilities{}, Capabilities{}, 0},
		{Capabilities{7, 3, 3, 3, 3}, Capabilities{7, 3, 3, 3, 3}, 0},
		{Capabilities{Permitted: 1}, Capabilities{Permitted: 1}, 0}, // the program gets it, but no program it executes
		{Capabilities{Bounding: 1, Effective: 2}, Capabilities{Bounding: 1}, 2},
		{Capabilities{Bounding: 1, Inheritable: 5}, Capabilities{Bounding: 1, Inheritable: 1}, 4},
		{Capabilities{Bounding: 7, Permitted: 3, Inheritable: 6, Ambient: 15}, Capabilities{Bounding: 7, Permitted: 3, Inheritable: 6, Ambient: 2}, 13},
		{Capabilities{Permitted: 1, Inheritable: 1, Ambient: 1}, Capabilities{Permitted: 1}, 1},
	} {
		if got, refused := c.in.Grantable(); got != c.want || refused != c.refused {
			t.Errorf("%v.Grantable() = %v, %d, want %v, %d", c.in, got, refused, c.want, c.refused)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"0", "0"},
		{"0-3,7", "0-3,7"},
		{"7, 1-1 ,,2,0-1,63-65,1023", "0-2,7,63-65,1023"},
		{"0-1023", "0-1023"},
	} {
		got, ok := ParseCPUs(c.in)
		if !ok || got.String() != c.want {
			t.Errorf("ParseCPUs(%q) = %s, %v, want %s", c.in, got.String(), ok, c.want)
		}
	}
	for _, in := range []string{"a", "1024", "-1", "1-", "-", "3-1", "1-2-3", "0x1", "1 2", "0-99999999999999999999", "\n1", "+1"} {
		if got, ok := ParseCPUs(in); ok || got != (CPUs{}) {
			t.Errorf("ParseCPUs(%q) = %s, %v, want nothing", in, got.String(), ok)
		}
	}
}

func FuzzParseCPUs(f *testing.F) {
	f.Add("0-3,7")
	f.Fuzz(func(t *testing.T, list string) {
		cpus, ok := ParseCPUs(list)
		if again, ok2 := ParseCPUs(cpus.String()); ok && (!ok2 || again != cpus) {
			t.Errorf("ParseCPUs(%q) = %s, which reads as %s", list, cpus.String(), again.String())
		}
	})
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]int{
		"SIGTERM": 15, "TERM": 15, "term": 15, "sigTerm": 15, "15": 15, "SIGHUP": 1, "SYS": 31, "64": 64, "KILL": 9, "IOT": 6, "SIGPOLL": 29,
		"SIGRTMIN": 34, "RTMIN+0": 34, "SIGRTMIN+3": 37, "rtmin+30": 64, "SIGRTMAX": 64, "RTMAX-1": 63, "RTMAX-30": 34, "CLD": 17,
	} {
		if got, ok := ParseSignal(in); got != want || !ok {
			t.Errorf("ParseSignal(%q) = %d, %v, want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "SIG", "0", "65", "-15", "SIGSIGTERM", "TERM ", "RTMIN-1", "RTMIN+31", "RTMIN3", "RTMAX+1", "RTMAX-31", "RTMIN+-1",
		"RTMIN+9223372036854775807", "SIGFOO", "15.0"} {
		if got, ok := ParseSignal(in); ok {
			t.Errorf("ParseSignal(%q) = %d, want none", in, got)
		}
	}
	// The numbers are this kernel's.
	for number, name := range signals {
		if name != "" && int(unix.SignalNum("SIG"+name)) != number {
			t.Errorf("SIG%s is %s here, want %d", name, strconv.Itoa(int(unix.SignalNum("SIG"+name))), number)
		}
	}
}
