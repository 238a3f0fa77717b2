package exec

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/oci"
)

// status runs a script in the state of a Spec, and returns its output with single blanks. Without
// a script it prints a part of the program's own /proc/self/status.
func status(t *testing.T, spec Spec, script string) string {
	t.Helper()
	out, text := output(t)
	if err := out.Chmod(0o666); err != nil {
		t.Fatal(err)
	}
	if script == "" {
		const fields = "^(Uid|Gid|Groups|Cap|NoNewPrivs)"
		spec.Process.Args = []string{"grep", "-E", fields, "/proc/self/status"}
	} else {
		spec.Process.Args = []string{"sh", "-c", script}
	}
	spec.Process.Env = []string{"PATH=/usr/bin:/bin"}
	spec.Streams, spec.CloseOthers = [3]int{0, int(out.Fd()), 2}, true
	pid, err := spec.Start()
	if err != nil {
		t.Fatalf("Start() = %v", err)
	}
	if ws := wait(t, pid); ws != 0 {
		t.Errorf("status = %#x, want 0", ws)
	}
	return strings.Join(strings.Fields(text()), " ")
}

// hex returns the set of some capabilities as /proc/PID/status prints it.
func hex(t *testing.T, names ...string) string {
	t.Helper()
	sets, err := oci.ParseCapabilities(specs.LinuxCapabilities{Bounding: names})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%016x", uint64(sets.Bounding))
}

// bounding returns this process's bounding set.
func bounding(t *testing.T) []string {
	t.Helper()
	var set oci.CapabilitySet
	for n := range 64 {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		if err == nil && has == 1 {
			set |= 1 << n
		}
	}
	return set.Names()
}

type capabilityTest struct {
	name    string
	process specs.Process
	setUser bool
	want    string // a part of /proc/self/status, with single blanks; 0 is an empty set
}

func testCapabilities(t *testing.T, tests []capabilityTest) {
	if os.Getuid() != 0 {
		t.Skip("needs root to change its identity")
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got := status(t, Spec{Process: c.process, SetUser: c.setUser}, "") + " "
			want := strings.ReplaceAll(c.want, ": 0 Cap", ": "+hex(t)+" Cap")
			want = strings.ReplaceAll(want+" ", "CapAmb: 0 ", "CapAmb: "+hex(t)+" ")
			if !strings.Contains(got, want) {
				t.Errorf("state = %s\nwant %s", got, want)
			}
		})
	}
}

var testUser = specs.User{UID: 1234, GID: 2345, AdditionalGids: []uint32{7, 9}}

func TestStartCapabilities(t *testing.T) {
	const kill, chown = "CAP_KILL", "CAP_CHOWN"
	all := bounding(t)
	few := &specs.LinuxCapabilities{
		Bounding: []string{kill, chown}, Effective: []string{kill}, Permitted: []string{kill},
	}
	testCapabilities(t, []capabilityTest{
		{"root", specs.Process{}, false,
			"CapInh: 0 CapPrm: " + hex(t, all...) + " CapEff: " + hex(t, all...) +
				" CapBnd: " + hex(t, all...) + " CapAmb: 0 NoNewPrivs: 0"},
		{
			// The kernel gives root the bounding set on execution, whatever it had before.
			"root with few", specs.Process{Capabilities: few}, false,
			"CapInh: 0 CapPrm: " + hex(t, kill, chown) + " CapEff: " + hex(t, kill, chown) +
				" CapBnd: " + hex(t, kill, chown) + " CapAmb: 0 NoNewPrivs: 0",
		},
		{
			"root with few and no new privileges",
			specs.Process{Capabilities: few, NoNewPrivileges: true}, false,
			"CapInh: 0 CapPrm: " + hex(t, kill) + " CapEff: " + hex(t, kill) +
				" CapBnd: " + hex(t, kill, chown) + " CapAmb: 0 NoNewPrivs: 1",
		},
		{"root with none", specs.Process{Capabilities: &specs.LinuxCapabilities{}}, false,
			"CapInh: 0 CapPrm: 0 CapEff: 0 CapBnd: 0 CapAmb: 0"},
	})
}

func TestStartUserCapabilities(t *testing.T) {
	const kill, chown, bind = "CAP_KILL", "CAP_CHOWN", "CAP_NET_BIND_SERVICE"
	list := func(names ...string) []string { return names }
	all := bounding(t)
	isKill := func(name string) bool { return name == kill }
	allButKill := slices.DeleteFunc(slices.Clone(all), isKill)
	testCapabilities(t, []capabilityTest{
		{"user", specs.Process{User: testUser}, true, "Groups: 7 9 CapInh: 0 CapPrm: 0 CapEff: 0 " +
			"CapBnd: " + hex(t, all...) + " CapAmb: 0 NoNewPrivs: 0"},
		{"no new privileges", specs.Process{User: testUser, NoNewPrivileges: true}, true,
			"CapAmb: 0 NoNewPrivs: 1"},
		{
			"user with some",
			specs.Process{User: testUser, Capabilities: &specs.LinuxCapabilities{
				Bounding: list(kill, chown, bind), Effective: list(kill, bind),
				Permitted: list(kill, bind), Inheritable: list(bind, chown), Ambient: list(bind),
			}},
			true,
			"Uid: 1234 1234 1234 1234 Gid: 2345 2345 2345 2345 Groups: 7 9 " +
				"CapInh: " + hex(t, bind, chown) + " CapPrm: " + hex(t, bind) +
				" CapEff: " + hex(t, bind) +
				" CapBnd: " + hex(t, kill, chown, bind) + " CapAmb: " + hex(t, bind),
		},
		{
			"user with all but one",
			specs.Process{User: testUser, Capabilities: &specs.LinuxCapabilities{
				Bounding: allButKill, Effective: all, Permitted: all,
			}},
			true,
			"CapInh: 0 CapPrm: 0 CapEff: 0 CapBnd: " + hex(t, allButKill...) + " CapAmb: 0",
		},
	})
}

// States that need more rights than root of a container has are tested in a guest.
func TestStartScheduling(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !own.IsSet(cpu) {
		cpu++
	}
	got := status(t, Spec{Process: specs.Process{
		OOMScoreAdj:     new(321),
		ExecCPUAffinity: &specs.CPUAffinity{Final: strconv.Itoa(cpu)},
		Scheduler:       &specs.Scheduler{Policy: specs.SchedBatch, Nice: 7},
		IOPriority:      &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6},
	}}, `echo oom $(cat /proc/self/oom_score_adj); grep Cpus_allowed_list /proc/self/status
		set -- $(cat /proc/self/stat); echo nice ${19} policy ${41}; ionice -p $$`)
	want := fmt.Sprintf("oom 321 Cpus_allowed_list: %d nice 7 policy 3 best-effort: prio 6", cpu)
	if got != want {
		t.Errorf("state = %s, want %s", got, want)
	}
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil || strings.TrimSpace(string(score)) == "321" {
		t.Errorf("this process's oom_score_adj = %s, %v, want it unchanged", score, err)
	}
}

// A program does not start without a part of its state.
func TestStartStateErrors(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	kill, chown := []string{"CAP_KILL"}, []string{"CAP_CHOWN"}
	capabilities := func(c specs.LinuxCapabilities) specs.Process {
		return specs.Process{Capabilities: &c}
	}
	scheduler := func(
		policy specs.LinuxSchedulerPolicy, flags ...specs.LinuxSchedulerFlag,
	) specs.Process {
		return specs.Process{Scheduler: &specs.Scheduler{Policy: policy, Flags: flags}}
	}
	cpus := func(list string) specs.Process {
		return specs.Process{ExecCPUAffinity: &specs.CPUAffinity{Final: list}}
	}
	ioPriority := func(class specs.IOPriorityClass, priority int) specs.Process {
		return specs.Process{IOPriority: &specs.LinuxIOPriority{Class: class, Priority: priority}}
	}
	for _, c := range []struct {
		name    string
		process specs.Process
		want    string
	}{
		{"effective but not permitted",
			capabilities(specs.LinuxCapabilities{Effective: chown, Permitted: kill}),
			"set the capabilities CAP_KILL: operation not permitted"},
		{"ambient but not inheritable",
			capabilities(specs.LinuxCapabilities{Ambient: chown, Permitted: chown}),
			"set the ambient capability CAP_CHOWN: operation not permitted"},
		{"inheritable but not bounding",
			capabilities(specs.LinuxCapabilities{Inheritable: chown}),
			"set the capabilities : operation not permitted"},
		{"unknown capability",
			capabilities(specs.LinuxCapabilities{Bounding: []string{"CAP_X"}}),
			`set the capabilities: unknown capability "CAP_X"`},
		{"OOM score", specs.Process{OOMScoreAdj: new(1001)},
			"set oom_score_adj 1001: invalid argument"},
		{"CPUs", cpus("1023"), "set the CPUs 1023: invalid argument"},
		{"malformed CPUs", cpus("1-"), "set the CPUs 1-: malformed list"},
		{"scheduler", scheduler(specs.SchedISO), "set the scheduler SCHED_ISO: invalid argument"},
		{"unknown scheduler", scheduler("X"), `set the scheduler X: unknown policy "X"`},
		{"unknown flag", scheduler(specs.SchedOther, "F"),
			`set the scheduler SCHED_OTHER F: unknown flag "F"`},
		{"I/O class", ioPriority("X", 0), "set the I/O priority X priority=0: invalid argument"},
		{"I/O priority", ioPriority(specs.IOPRIO_CLASS_BE, 8),
			"set the I/O priority IOPRIO_CLASS_BE priority=8: invalid argument"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.process.Args = []string{"/bin/true"}
			_, err := (&Spec{Process: c.process}).Start()
			if err == nil || ExitCode(err) != 125 || err.Error() != c.want {
				t.Errorf("Start() = %v with code %d, want %s, 125", err, ExitCode(err), c.want)
			}
		})
	}
}

// To setresuid(2), the largest number means no change.
func TestStartLargestUID(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	spec := Spec{
		Process: specs.Process{Args: []string{"/bin/true"}, User: specs.User{UID: 1<<32 - 1}},
		SetUser: true,
	}
	pid, err := spec.Start()
	if err != nil {
		t.Fatal(err)
	}
	wait(t, pid)
}

// A process without root's rights does not start a program that would have too many.
func TestStartWithoutRights(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		if err := syscall.Setreuid(-1, 1234); err != nil { // all threads
			t.Fatal(err)
		}
		defer syscall.Setreuid(-1, 0)
		for want, spec := range map[string]Spec{
			"set the additional groups: ": {SetUser: true},
			"drop CAP_CHOWN from the bounding set: ": {Process: specs.Process{
				Capabilities: &specs.LinuxCapabilities{},
			}},
			"set the scheduler SCHED_RR priority=1: ": {Process: specs.Process{
				Scheduler: &specs.Scheduler{Policy: specs.SchedRR, Priority: 1},
			}},
			"set oom_score_adj -1000: ": {Process: specs.Process{OOMScoreAdj: new(-1000)}},
			"set the I/O priority IOPRIO_CLASS_RT priority=0: ": {Process: specs.Process{
				IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT},
			}},
		} {
			spec.Process.Args = []string{"/bin/true"}
			_, err := spec.Start()
			if err == nil || !strings.HasPrefix(err.Error(), want) || ExitCode(err) != 125 {
				t.Errorf("Start() = %v, want %s...", err, want)
			}
		}
	})
}

// countNull is a script that exits with 10 plus the number of its standard streams that are
// /dev/null, or with 3 if it has other descriptors.
const countNull = `cd /proc/$$/fd; for fd in $(seq 3 300); do test -e $fd && exit 3; done; n=0
	for fd in 0 1 2; do test "$(readlink $fd)" = /dev/null && n=$((n+1)); done; exit 1$n`

// A closed standard stream is /dev/null for the program. This process's streams don't change.
func TestStartClosedStreams(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		result, err := unix.Open(dir+"/result", unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if result, err = unix.FcntlInt(uintptr(result), unix.F_DUPFD_CLOEXEC, 100); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			closed  []int
			streams [3]int
		}{
			{[]int{0}, [3]int{0, 1, 2}},
			{[]int{0, 1, 2}, [3]int{0, 1, 2}},
			{[]int{0, 2}, [3]int{result, 1, 2}},
			{nil, [3]int{99, 98, 97}}, // never opened
		} {
			own := [3]int{}
			for i := range own {
				if own[i], err = unix.FcntlInt(uintptr(i), unix.F_DUPFD_CLOEXEC, 200); err != nil {
					t.Fatal(err)
				}
			}
			for _, fd := range c.closed {
				unix.Close(fd)
			}
			spec := Spec{
				Process:     specs.Process{Args: []string{"/bin/sh", "-c", countNull}},
				Streams:     c.streams,
				CloseOthers: true,
			}
			pid, err := spec.Start()
			if err != nil {
				t.Errorf("%v: Start() = %v", c, err)
			}
			for _, fd := range c.closed {
				if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
					t.Errorf("%v: descriptor %d of this process = %v, want it closed", c, fd, err)
				}
			}
			for i := range own {
				if err := unix.Dup3(own[i], i, 0); err != nil {
					t.Fatal(err)
				}
				unix.Close(own[i])
			}
			want := 0
			for i, fd := range c.streams {
				if fd > 2 && fd != result || fd == i && slices.Contains(c.closed, i) {
					want++
				}
			}
			if ws := wait(t, pid); ws.ExitStatus() != 10+want {
				t.Errorf("%v: exit status = %d, want %d", c, ws.ExitStatus(), 10+want)
			}
		}
	})
}

// Without a state, a program has that of this process, and default securebits and parent death
// signal.
func TestStartDefaults(t *testing.T) {
	got := status(t, Spec{}, "cat /proc/self/oom_score_adj; setpriv --dump | tail -2")
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(string(own)) + " Securebits: [none] Parent death signal: [none]"
	if got != want {
		t.Errorf("state = %s, want %s", got, want)
	}
}

// Exec gives a program the same state as Start. If it fails, the state of this process's threads
// does not change.
func TestExecState(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		kill := []string{"CAP_KILL"}
		spec := Spec{
			Process: specs.Process{
				Args: []string{"/no/such"},
				User: specs.User{UID: 1234, GID: 5},
				Capabilities: &specs.LinuxCapabilities{
					Bounding: kill, Effective: kill, Permitted: kill, Inheritable: kill,
					Ambient: kill,
				},
				NoNewPrivileges: true,
				OOMScoreAdj:     new(55),
				Scheduler:       &specs.Scheduler{Policy: specs.SchedBatch},
			},
			SetUser: true,
		}
		before, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		if err := spec.Exec(); ExitCode(err) != 127 {
			t.Errorf("Exec() = %v with code %d, want 127", err, ExitCode(err))
		}
		after, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{
			"Uid", "Gid", "Groups", "CapPrm", "CapBnd", "CapAmb", "NoNewPrivs",
		} {
			if a, b := line(string(before), field), line(string(after), field); a != b || a == "" {
				t.Errorf("after a failed Exec: %s, want %s", b, a)
			}
		}
		spec.Process.Args = []string{"/bin/sh", "-c", `
			want="Uid: 1234 1234 1234 1234 Gid: 5 5 5 5
				CapInh: $set CapPrm: $set CapEff: $set CapBnd: $set CapAmb: $set
				NoNewPrivs: 1 policy 3 oom 55 pid 1"
			set -- $(cat /proc/self/stat); policy=${41}
			got=$(grep -E '^(Uid|Gid|Cap|NoNew)' /proc/self/status
				echo policy $policy oom $(cat /proc/self/oom_score_adj) pid $$)
			want=$(echo $want) got=$(echo $got)
			test "$got" = "$want" && echo PASS && exit
			echo "state = $got"; echo "want $want"; exit 1`}
		spec.Process.Env = []string{"PATH=/usr/bin:/bin", "set=" + hex(t, kill...)}
		t.Error(spec.Exec())
	})
}

// line returns a line of /proc/PID/status.
func line(status, field string) string {
	_, rest, _ := strings.Cut(status, "\n"+field+":")
	value, _, _ := strings.Cut(rest, "\n")
	return field + ":" + value
}
