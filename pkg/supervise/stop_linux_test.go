package supervise

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/loop"
)

// Where the grace is an hour, the test ends only if StopOthers does not wait for it.
func TestStopOthers(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		signals := catch(t)
		stop := func(t *testing.T, s StopOthers) {
			t.Helper()
			if err := s.Do(); err != nil {
				t.Errorf("Do() = %v", err)
			}
			if pids := processes(t); len(pids) != 1 {
				t.Errorf("processes after Do() = %v, want this one only", pids)
			}
			if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
				t.Errorf("wait4 after Do() = %v, want ECHILD", err)
			}
		}
		patient := StopOthers{Signals: signals, Grace: time.Hour}
		t.Run("none", func(t *testing.T) { stop(t, patient) })
		t.Run("obedient", func(t *testing.T) {
			startScript(t, dir, "for i in $(seq 20); do sleep 1000 & (sleep 1000 & sleep 1000) & done; "+
				">ready; wait")
			stop(t, patient)
		})
		t.Run("zombies", func(t *testing.T) {
			pid := startScript(t, dir, "for i in $(seq 20); do "+
				"while ! test -e go; do sleep 0.01; done & done; >ready; exec sleep 1000")
			waitFor(t, "a parent that does not reap", func() bool {
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
		t.Run("earlier request", func(t *testing.T) { // does not shorten the grace
			startScript(t, dir, "trap 'sleep 0.2; >clean; exit' TERM; >ready; while :; do sleep 0.01; done")
			send(t, signals, unix.SIGTERM)
			stop(t, patient)
			if _, err := os.Stat(dir + "/clean"); err != nil {
				t.Error("a process was killed in its grace")
			}
		})
		t.Run("without signals", func(t *testing.T) {
			startScript(t, dir, "sleep 1000 & >ready; wait")
			stop(t, StopOthers{Grace: time.Hour})
		})
		const ignoring = "trap '' TERM INT HUP; sleep 1000 & "
		for _, sig := range []string{"TERM", "INT", "PWR"} {
			t.Run("second request "+sig, func(t *testing.T) {
				startScript(t, dir, "("+ignoring+"wait) & trap 'kill -"+sig+" 1' TERM; >ready; "+
					"while :; do sleep 0.01; done")
				stop(t, patient)
			})
		}
		t.Run("ignoring", func(t *testing.T) {
			startScript(t, dir, ignoring+">ready; wait")
			began := loop.Now()
			stop(t, StopOthers{Signals: signals, Grace: 300 * time.Millisecond})
			if took := loop.Now() - began; took < 300*time.Millisecond {
				t.Errorf("killed after %v, want 300ms", took)
			}
		})
		t.Run("fork storm", func(t *testing.T) { // each process starts another one and ends
			storm := filepath.Join(dir, "storm")
			if err := os.WriteFile(storm, []byte("#!/bin/sh\n"+storm+" &\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			startScript(t, dir, "trap '' TERM; for i in $(seq 20); do ./storm & done; >ready")
			began := loop.Now()
			stop(t, StopOthers{Signals: signals, Grace: 100 * time.Millisecond})
			if took := loop.Now() - began; took < 100*time.Millisecond {
				t.Errorf("the storm was over after %v, want 100ms or more", took)
			}
		})
	})
}

// A process that waits for a file system's server can't be killed. Do names it and returns.
func TestStopOthersUnkillable(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		someoneWaits, server := nstest.Silence(t, dir)
		pid := start(t, exec.Command("ls", dir))
		someoneWaits()
		waitFor(t, "the process waits", func() bool {
			return state(t, pid) == "D" || state(t, pid) == "S"
		})
		err := StopOthers{}.Do()
		want := "stop processes: 1 left (" + strconv.Itoa(pid) + " ls)"
		if err == nil || err.Error() != want {
			t.Errorf("Do() = %v, want %s", err, want)
		}
		unix.Close(server)
		if err := (StopOthers{}).Do(); err != nil {
			t.Errorf("Do() without the server = %v", err)
		}
	})
}

// Any process but the first refuses. The test lets one try in a namespace where it can do no harm.
func TestStopOthersElsewhere(t *testing.T) {
	const marker = "KRUNBOX_TEST_ELSEWHERE"
	if os.Getenv(marker) != "" {
		if os.Getppid() != 1 || os.Getpid() > 100 {
			t.Fatal("this is not the namespace of the test")
		}
		const want = "stop processes: this is not process 1"
		if err := (StopOthers{}).Do(); err == nil || err.Error() != want {
			t.Errorf("Do() = %v, want %s", err, want)
		}
		return
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		startScript(t, dir, "trap 'exit 1' TERM; >ready; sleep 1000 & wait")
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
		cmd.Env = []string{marker + "=1"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid != 0 || err != nil {
			t.Errorf("wait4 = %d, %v, want no process that has ended", pid, err)
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
			t.Errorf("survivor(%q) = %q, want a part of it", stat, name)
		}
	})
}
