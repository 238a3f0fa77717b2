package exec

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/oci"
)

// status runs grep on the program's /proc/self/status, or a script, in the state of a Spec, and returns its output with single
// blanks.
func status(t *testing.T, spec Spec, script string) string {
	t.Helper()
	out, text := output(t)
	if err := out.Chmod(0o666); err != nil {
		t.Fatal(err)
	}
	if script == "" {
		spec.Args = []string{"grep", "-E", "^(Uid|Gid|Groups|Cap|NoNewPrivs|Cpus_allowed_list)", "/proc/self/status"}
	} else {
		spec.Args = []string{"sh", "-c", script}
	}
	spec.Env = []string{"PATH=/usr/bin:/bin"}
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

func capabilities(t *testing.T, names ...string) (set oci.CapabilitySet) {
	t.Helper()
	for _, name := range names {
		c, ok := oci.ParseCapability(name)
		if !ok {
			t.Fatal(name)
		}
		set |= c
	}
	return set
}

// hex is a set as /proc/PID/status prints it.
func hex(set oci.CapabilitySet) string {
	s := strconv.FormatUint(uint64(set), 16)
	return strings.Repeat("0", 16-len(s)) + s
}

// bounding is this process's bounding set.
func bounding(t *testing.T) (set oci.CapabilitySet) {
	t.Helper()
	for n := range 64 {
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0); err == nil && has == 1 {
			set |= 1 << n
		}
	}
	return set
}

func TestStartCapabilities(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to change its identity")
	}
	all := bounding(t)
	kill, chown, bind := capabilities(t, "CAP_KILL"), capabilities(t, "CAP_CHOWN"), capabilities(t, "CAP_NET_BIND_SERVICE")
	user := &User{UID: 1234, GID: 2345, AdditionalGIDs: []uint32{7, 9}}
	for _, c := range []struct {
		name string
		spec Spec
		want string
	}{
		{"root", Spec{}, "CapInh: 0 CapPrm: " + hex(all) + " CapEff: " + hex(all) + " CapBnd: " + hex(all) + " CapAmb: 0 NoNewPrivs: 0"},
		{"user", Spec{User: user}, "Groups: 7 9 CapInh: 0 CapPrm: 0 CapEff: 0 CapBnd: " + hex(all) + " CapAmb: 0 NoNewPrivs: 0"},
		{"no new privileges", Spec{User: user, NoNewPrivileges: true}, "CapAmb: 0 NoNewPrivs: 1"},
		{
			// What root is executed with is the kernel's rule: the bounding set, whatever it had before.
			"root with few",
			Spec{Capabilities: &oci.Capabilities{Bounding: kill | chown, Effective: kill, Permitted: kill}},
			"CapInh: 0 CapPrm: " + hex(kill|chown) + " CapEff: " + hex(kill|chown) + " CapBnd: " + hex(kill|chown) + " CapAmb: 0 NoNewPrivs: 0",
		},
		{
			"root with few and no new privileges",
			Spec{Capabilities: &oci.Capabilities{Bounding: kill | chown, Effective: kill, Permitted: kill}, NoNewPrivileges: true},
			"CapInh: 0 CapPrm: " + hex(kill) + " CapEff: " + hex(kill) + " CapBnd: " + hex(kill|chown) + " CapAmb: 0 NoNewPrivs: 1",
		},
		{"root with none", Spec{Capabilities: &oci.Capabilities{}}, "CapInh: 0 CapPrm: 0 CapEff: 0 CapBnd: 0 CapAmb: 0"},
		{
			"user with some",
			Spec{User: user, Capabilities: &oci.Capabilities{
				Bounding: kill | chown | bind, Effective: kill | bind, Permitted: kill | bind, Inheritable: bind | chown, Ambient: bind,
			}},
			"Uid: 1234 1234 1234 1234 Gid: 2345 2345 2345 2345 Groups: 7 9 CapInh: " + hex(bind|chown) + " CapPrm: " + hex(bind) +
				" CapEff: " + hex(bind) + " CapBnd: " + hex(kill|chown|bind) + " CapAmb: " + hex(bind),
		},
		{
			"user with all but one",
			Spec{User: user, Capabilities: &oci.Capabilities{Bounding: all &^ kill, Effective: all, Permitted: all}},
			"CapInh: 0 CapPrm: 0 CapEff: 0 CapBnd: " + hex(all&^kill) + " CapAmb: 0",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := status(t, c.spec, "")
			want := strings.ReplaceAll(c.want, ": 0 Cap", ": "+hex(0)+" Cap")
			want = strings.ReplaceAll(want+" ", "CapAmb: 0 ", "CapAmb: "+hex(0)+" ")
			if !strings.Contains(got, want) {
				t.Errorf("state = %s\nwant %s", got, want)
			}
		})
	}
}

// The rest of the state; what needs rights beyond those of a container's root is looked at in a guest.
func TestStartScheduling(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	var cpus oci.CPUs
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		t.Fatal(err)
	}
	for n := range 1024 {
		if own.IsSet(n) {
			cpus[n/64] |= 1 << (n % 64)
			break
		}
	}
	score := 321
	got := status(t, Spec{
		OOMScoreAdj: &score,
		CPUs:        cpus,
		Scheduler:   &oci.Scheduler{Policy: unix.SCHED_BATCH, Nice: 7},
		IOPriority:  &oci.IOPriority{Class: 2, Priority: 6},
	}, `echo oom $(cat /proc/self/oom_score_adj); grep Cpus_allowed_list /proc/self/status
		set -- $(cat /proc/self/stat); echo nice ${19} policy ${41}; ionice -p $$`)
	want := "oom 321 Cpus_allowed_list: " + cpus.String() + " nice 7 policy 3 best-effort: prio 6"
	if got != want {
		t.Errorf("state = %s, want %s", got, want)
	}
	if own, err := os.ReadFile("/proc/self/oom_score_adj"); err != nil || strings.TrimSpace(string(own)) == "321" {
		t.Errorf("this process's oom_score_adj = %s, %v, want it as it was", own, err)
	}
}

// What can't be given is an error, and no program runs without it.
func TestStartStateErrors(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	kill, chown := capabilities(t, "CAP_KILL"), capabilities(t, "CAP_CHOWN")
	tooHigh := 1001
	for _, c := range []struct {
		name string
		spec Spec
		err  error
		want string
	}{
		{"effective but not permitted", Spec{Capabilities: &oci.Capabilities{Effective: kill | chown, Permitted: kill}}, unix.EPERM, "set the capabilities CAP_KILL: "},
		{"ambient but not inheritable", Spec{Capabilities: &oci.Capabilities{Ambient: chown, Permitted: chown}}, unix.EPERM, "set the ambient capability CAP_CHOWN: "},
		{"inheritable but not bounding", Spec{Capabilities: &oci.Capabilities{Inheritable: chown}}, unix.EPERM, "set the capabilities : "},
		{"score", Spec{OOMScoreAdj: &tooHigh}, unix.EINVAL, "set oom_score_adj 1001: "},
		{"CPUs", Spec{CPUs: oci.CPUs{15: 1 << 63}}, unix.EINVAL, "set the CPUs 1023: "},
		{"scheduler", Spec{Scheduler: &oci.Scheduler{Policy: 4}}, unix.EINVAL, "set the scheduler SCHED_ISO: "},
		{"I/O priority", Spec{IOPriority: &oci.IOPriority{Class: 7}}, unix.EINVAL, "set the I/O priority 7 priority=0: "},
		{"user", Spec{User: &User{UID: 1<<32 - 1}}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spec.Args, c.spec.Streams = []string{"/bin/true"}, [3]int{0, 1, 2}
			pid, err := c.spec.Start()
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				wait(t, pid)
				return
			}
			if !errors.Is(err, c.err) || ExitCode(err) != 125 || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("Start() = %v with code %d, want %s%v, 125", err, ExitCode(err), c.want, c.err)
			}
		})
	}
}

// A process without root's rights can't give them away either, and does not start a program that would have too many.
func TestStartWithoutRights(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		if err := syscall.Setreuid(-1, 1234); err != nil { // all threads
			t.Fatal(err)
		}
		defer syscall.Setreuid(-1, 0)
		for want, spec := range map[string]Spec{
			"set the additional groups: ":              {User: &User{UID: 0}},
			"drop CAP_CHOWN from the bounding set: ":   {Capabilities: &oci.Capabilities{}},
			"set the scheduler SCHED_RR priority=1: ":  {Scheduler: &oci.Scheduler{Policy: unix.SCHED_RR, Priority: 1}},
			"set oom_score_adj -1000: ":                {OOMScoreAdj: new(-1000)},
			"set the I/O priority IOPRIO_CLASS_RT pri": {IOPriority: &oci.IOPriority{Class: 1}},
		} {
			spec.Args, spec.Streams = []string{"/bin/true"}, [3]int{0, 1, 2}
			if _, err := spec.Start(); err == nil || !strings.HasPrefix(err.Error(), want) || ExitCode(err) != 125 {
				t.Errorf("Start() = %v, want %s...", err, want)
			}
		}
	})
}

// A closed standard stream is /dev/null for the program, whichever it is, and this process keeps its own as they are.
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
			spec := Spec{Streams: c.streams, CloseOthers: true, Args: []string{"/bin/sh", "-c", `
				for fd in $(seq 3 300); do test -e /proc/$$/fd/$fd && exit 3; done
				n=0; for fd in 0 1 2; do test "$(readlink /proc/$$/fd/$fd)" = /dev/null && n=$((n+1)); done; exit 1$n`}}
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
				t.Errorf("%v: exit status = %d, want %d, for so many /dev/null", c, ws.ExitStatus()-10, want)
			}
		}
	})
}

// Nobody told the kernel to kill the program with its parent, or to treat root as nobody special.
func TestStartDefaults(t *testing.T) {
	got := status(t, Spec{}, "cat /proc/self/oom_score_adj; setpriv --dump | tail -2")
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(own)) + " Securebits: [none] Parent death signal: [none]"; got != want {
		t.Errorf("state = %s, want %s", got, want)
	}
}

// Exec gives the same state, and after a failure everything that belongs to the thread is as it was.
func TestExecState(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		kill := capabilities(t, "CAP_KILL")
		score := 55
		spec := Spec{
			Args:            []string{"/no/such"},
			Streams:         [3]int{0, 1, 2},
			User:            &User{UID: 1234, GID: 5},
			Capabilities:    &oci.Capabilities{Bounding: kill, Effective: kill, Permitted: kill, Inheritable: kill, Ambient: kill},
			NoNewPrivileges: true,
			OOMScoreAdj:     &score,
			Scheduler:       &oci.Scheduler{Policy: unix.SCHED_BATCH},
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
		for _, field := range []string{"Uid", "Gid", "Groups", "CapPrm", "CapBnd", "CapAmb", "NoNewPrivs"} {
			if a, b := line(string(before), field), line(string(after), field); a != b || a == "" {
				t.Errorf("after a failed Exec: %s, want %s", b, a)
			}
		}
		set := hex(kill)
		spec.Args = []string{"/bin/sh", "-c", `
			want="Uid: 1234 1234 1234 1234 Gid: 5 5 5 5 CapInh: ` + set + ` CapPrm: ` + set + ` CapEff: ` + set + ` CapBnd: ` + set + ` CapAmb: ` + set + ` NoNewPrivs: 1 policy 3 oom 55 pid 1"
			set -- $(cat /proc/self/stat); policy=${41}
			got=$(echo $(grep -E '^(Uid|Gid|Cap|NoNew)' /proc/self/status) policy $policy oom $(cat /proc/self/oom_score_adj) pid $$)
			test "$got" = "$want" && echo PASS && exit; echo "state = $got"; echo "want $want"; exit 1`}
		spec.Env = []string{"PATH=/usr/bin:/bin"}
		t.Error(spec.Exec())
	})
}

// line returns a line of /proc/PID/status.
func line(status, field string) string {
	_, rest, _ := strings.Cut(status, "\n"+field+":")
	value, _, _ := strings.Cut(rest, "\n")
	return field + ":" + value
}
