package supervise

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/signals"
)

func TestEnding(t *testing.T) {
	const s = time.Second
	type event struct {
		now     time.Duration
		request bool // else time passes
		sig     syscall.Signal
		over    bool
		wait    time.Duration
	}
	for _, c := range []struct {
		name     string
		patience time.Duration
		events   []event
	}{
		{"nobody asks", 10 * s, []event{{now: 0, wait: loop.Forever}, {now: 1000 * s, wait: loop.Forever}}},
		{"in time", 10 * s, []event{
			{now: 100 * s, request: true, sig: unix.SIGHUP, wait: 10 * s},
			{now: 105 * s, wait: 5 * s},
			{now: 110*s - 1, wait: 1},
		}},
		{"too late", 10 * s, []event{
			{now: 100 * s, request: true, sig: unix.SIGHUP, wait: 10 * s},
			{now: 110 * s, sig: unix.SIGKILL, wait: dyingTime},
			{now: 111 * s, wait: dyingTime - s},
			{now: 110*s + dyingTime, over: true},
		}},
		{"late by much", s, []event{
			{now: 1 * s, request: true, sig: unix.SIGHUP, wait: s},
			{now: 1000 * s, sig: unix.SIGKILL, wait: dyingTime},
			{now: 1000 * s, wait: dyingTime},
		}},
		{"second request", 10 * s, []event{
			{now: 100 * s, request: true, sig: unix.SIGHUP, wait: 10 * s},
			{now: 101 * s, request: true, sig: unix.SIGKILL, wait: dyingTime},
			{now: 102 * s, request: true, sig: unix.SIGKILL, wait: dyingTime - s}, // is no reason to wait longer
			{now: 101*s + dyingTime, over: true},
		}},
		{"no patience", 0, []event{
			{now: 100 * s, request: true, sig: unix.SIGHUP},
			{now: 100 * s, sig: unix.SIGKILL, wait: dyingTime},
		}},
		{"all patience", -1, []event{
			{now: 100 * s, request: true, sig: unix.SIGHUP, wait: loop.Forever},
			{now: 9999 * s, wait: loop.Forever},
			{now: 10000 * s, request: true, sig: unix.SIGKILL, wait: dyingTime},
			{now: 10000*s + dyingTime, over: true},
		}},
	} {
		e := ending{ask: unix.SIGHUP, patience: c.patience}
		for i, v := range c.events {
			var sig syscall.Signal
			var over bool
			if v.request {
				sig = e.request(v.now)
			} else {
				sig, over = e.expire(v.now)
			}
			if sig != v.sig || over != v.over {
				t.Errorf("%s, event %d: signal %d, over %v, want %d, %v", c.name, i, sig, over, v.sig, v.over)
			}
			if got := e.wait(v.now); got != v.wait {
				t.Errorf("%s, event %d: wait = %v, want %v", c.name, i, got, v.wait)
			}
		}
	}
}

// script starts a shell on a script with files in dir, and waits until it has made the file ready.
func startScript(t *testing.T, dir, script string) (pid int) {
	t.Helper()
	ready := filepath.Join(dir, "ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
	spec := Spec{Args: []string{"/bin/sh", "-c", "cd " + dir + "\n" + script}, Env: []string{"PATH=/usr/bin:/bin"}, Streams: [3]int{0, 1, 2},
		NewSession: true}
	pid, err := spec.Start()
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the script is ready", func() bool { return unix.Access(ready, unix.F_OK) == nil })
	return pid
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute: ", what)
		}
	}
}

// A test whose grace is an hour shows by its end that nobody waited for it.
func TestStopOthers(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		source, err := signals.Open(Handled()...)
		if err != nil {
			t.Fatal(err)
		}
		stop := func(t *testing.T, s StopOthers) {
			t.Helper()
			if err := s.Do(); err != nil {
				t.Errorf("Do() = %v", err)
			}
			if pids := processes(t); len(pids) != 1 {
				t.Errorf("processes after Do() = %v, want this one", pids)
			}
			if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
				t.Errorf("wait4 after Do() = %v, want ECHILD", err)
			}
		}
		patient := StopOthers{Signals: source, Grace: time.Hour}
		t.Run("nobody", func(t *testing.T) { stop(t, patient) })
		t.Run("obedient", func(t *testing.T) {
			startScript(t, dir, "for i in $(seq 20); do sleep 1000 & (sleep 1000 & sleep 1000) & done; >ready; wait")
			stop(t, patient)
		})
		t.Run("zombies", func(t *testing.T) { // that nobody waits for
			pid := startScript(t, dir, "for i in $(seq 20); do while ! test -e go; do sleep 0.01; done & done; >ready; exec sleep 1000")
			waitFor(t, "no shell that would reap them", func() bool {
				comm, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
				return string(comm) == "sleep\n"
			})
			if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "zombies", func() bool {
				return slices.ContainsFunc(processes(t), func(pid int) bool { return state(t, pid) == "Z" })
			})
			stop(t, patient)
		})
		t.Run("stopped", func(t *testing.T) {
			pid := startScript(t, dir, ">ready; kill -STOP $$")
			waitFor(t, "stopped", func() bool { return state(t, pid) == "T" })
			stop(t, patient)
		})
		t.Run("clean", func(t *testing.T) { // a request from before the end is not one in its grace
			startScript(t, dir, "trap 'sleep 0.2; >clean; exit' TERM; >ready; while :; do sleep 0.01; done")
			for range 3 {
				before := waiting(t, source)
				if err := unix.Kill(1, unix.SIGTERM); err != nil {
					t.Fatal(err)
				}
				waitFor(t, "the signal has come", func() bool { return waiting(t, source) > before })
			}
			stop(t, patient)
			if _, err := os.Stat(dir + "/clean"); err != nil {
				t.Error("a process was killed that was about to end")
			}
		})
		t.Run("without signals", func(t *testing.T) {
			startScript(t, dir, "sleep 1000 & >ready; wait")
			stop(t, StopOthers{Grace: time.Hour})
		})
		const deaf = "trap '' TERM INT HUP; sleep 1000 & "
		for _, sig := range []string{"TERM", "INT", "PWR"} {
			t.Run("second request "+sig, func(t *testing.T) {
				startScript(t, dir, "("+deaf+"wait) & trap 'kill -"+sig+" 1' TERM; >ready; while :; do sleep 0.01; done")
				stop(t, patient)
			})
		}
		t.Run("deaf", func(t *testing.T) {
			startScript(t, dir, deaf+">ready; wait")
			start := loop.Now()
			stop(t, StopOthers{Signals: source, Grace: 300 * time.Millisecond})
			if took := loop.Now() - start; took < 300*time.Millisecond {
				t.Errorf("the grace was %v, want 300ms", took)
			}
		})
		t.Run("fork storm", func(t *testing.T) { // each process leaves the rest to its child
			storm := filepath.Join(dir, "storm")
			if err := os.WriteFile(storm, []byte("#!/bin/sh\n"+storm+" &\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			startScript(t, dir, "trap '' TERM; for i in $(seq 20); do ./storm & done; >ready")
			start := loop.Now()
			stop(t, StopOthers{Signals: source, Grace: 100 * time.Millisecond})
			if took := loop.Now() - start; took < 100*time.Millisecond {
				t.Errorf("the storm was over after %v, before its grace", took)
			}
		})
	})
}

// processes returns the process IDs of the namespace.
func processes(t *testing.T) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// waiting returns how many signals nobody has asked for yet.
func waiting(t *testing.T, source *signals.Pipe) int {
	t.Helper()
	n, err := unix.IoctlGetInt(source.FD(), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// state returns the state of a process, a letter as in proc_pid_stat(5), or "" where there is none.
func state(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, fields, _ := strings.Cut(string(stat), ") ")
	return fields[:1]
}

// A process that waits for a server's answer can't be killed. It is named, and not waited for for ever.
func TestStopOthersUnkillable(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		someoneWaits, server := nstest.Silence(t, dir)
		spec := Spec{Args: []string{"ls", dir}, Env: []string{"PATH=/usr/bin:/bin"}, Streams: [3]int{0, 1, 2}}
		pid, err := spec.Start()
		if err != nil {
			t.Fatal(err)
		}
		someoneWaits()
		waitFor(t, "the process waits", func() bool { return state(t, pid) == "D" || state(t, pid) == "S" })
		err = StopOthers{}.Do()
		if want := "stop processes: 1 left (" + strconv.Itoa(pid) + " ls)"; err == nil || err.Error() != want {
			t.Errorf("Do() = %v, want %s", err, want)
		}
		unix.Close(server)
		if err := (StopOthers{}).Do(); err != nil {
			t.Errorf("Do() without the server = %v", err)
		}
	})
}

// TestStopOthersElsewhere is done by a process that is not the first, in a namespace where it could do harm to none.
func TestStopOthersElsewhere(t *testing.T) {
	const marker = "KRUNBOX_TEST_ELSEWHERE"
	if os.Getenv(marker) != "" {
		if os.Getppid() != 1 || os.Getpid() > 100 {
			t.Fatal("this is not the namespace of the test")
		}
		if err := (StopOthers{}).Do(); err == nil || err.Error() != "stop processes: this is not process 1" {
			t.Errorf("Do() = %v, want an error", err)
		}
		return
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		startScript(t, dir, "trap 'exit 1' TERM; >ready; sleep 1000 & wait")
		spec := Spec{Path: "/proc/self/exe", Args: []string{"test", "-test.run=^" + t.Name() + "$"}, Env: []string{marker + "=1"}, Streams: [3]int{0, 1, 2}}
		pid, err := spec.Start()
		if err != nil {
			t.Fatal(err)
		}
		if ws := wait(t, pid); ws != 0 {
			t.Errorf("status = %#x, want 0", ws)
		}
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid != 0 || err != nil {
			t.Errorf("wait4 = %d, %v: another process has ended", pid, err)
		}
	})
}

func TestSurvivor(t *testing.T) {
	for _, c := range []struct {
		stat, name string
		ok         bool
	}{
		{"12 (sh) D 1 12 12 0 -1 4194304 1 2 3", "sh", true},
		{"12 (a) b (c)) S 1 12 12 0 -1 4194304 1 2 3", "a) b (c)", true},
		{"12 () T 1 12 12 0 -1 0", "", true},
		{"12 (sh) Z 1 12 12 0 -1 4194304 1 2 3", "", false},
		{"12 (sh) X 1 12 12 0 -1 4194304 1 2 3", "", false},
		{"2 (kthreadd) S 0 0 0 0 -1 2129984 0", "kthreadd", false},
		{"12 (sh) S 1 12", "", false},
		{"12 (sh) S 1 12 12 0 -1 x", "sh", false},
		{"12 )sh(", "", false},
		{"", "", false},
	} {
		if name, ok := survivor([]byte(c.stat)); name != c.name || ok != c.ok {
			t.Errorf("survivor(%q) = %q, %v, want %q, %v", c.stat, name, ok, c.name, c.ok)
		}
	}
}

func FuzzSurvivor(f *testing.F) {
	f.Add([]byte("12 (a) b (c)) S 1 12 12 0 -1 4194304 1 2 3"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		if name, ok := survivor(stat); ok && !strings.Contains(string(stat), "("+name+")") {
			t.Errorf("survivor(%q) = %q, which is not in it", stat, name)
		}
	})
}
