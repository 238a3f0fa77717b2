package supervise

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/signals"
)

// watch supervises a workload that is running.
func watch(t *testing.T, pid int, source SignalSource, policy StopPolicy) unix.WaitStatus {
	t.Helper()
	var status unix.WaitStatus
	if err := (Watch{PID: &pid, Signals: source, Tasks: &loop.Loop{}, Stop: policy, Status: &status}).Do(); err != nil {
		t.Errorf("Do() = %v", err)
	}
	return status
}

const exitStatus = 1 << 8 // times n: the wait status of exit n

func TestWatchSignals(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		source, err := signals.Open(Handled()...)
		if err != nil {
			t.Fatal(err)
		}
		patient := StopPolicy{Timeout: time.Hour}
		send := func(t *testing.T, sig syscall.Signal) {
			t.Helper()
			before := waiting(t, source)
			if err := unix.Kill(1, sig); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the signal has come", func() bool { return waiting(t, source) > before })
		}

		// Each that is passed on has on the workload the effect that it has on any process.
		for sig := syscall.Signal(1); sig <= lastRealTime; sig++ {
			want, then := sig, "exec sleep 1000"
			switch {
			case sig == unix.SIGWINCH, sig == unix.SIGCONT, sig == unix.SIGTSTP: // they don't end it
				continue
			case sig == unix.SIGPWR:
				want = unix.SIGTERM
			case sig == unix.SIGCHLD, !slices.Contains(Handled(), sig):
				want, then = unix.SIGKILL, "kill -KILL $$"
			}
			spec := Spec{Args: []string{"/bin/sh", "-c", "kill -" + strconv.Itoa(int(sig)) + " 1; " + then}, Streams: [3]int{0, 1, 2}}
			pid, err := spec.Start()
			if err != nil {
				t.Fatal(err)
			}
			if ws := watch(t, pid, source, patient); !ws.Signaled() || ws.Signal() != want {
				t.Errorf("signal %d to process 1: status %#x, want the workload killed by signal %d", sig, ws, want)
			}
		}

		// A signal that comes before the workload waits for it.
		send(t, unix.SIGUSR2)
		pid := startScript(t, dir, ">ready; exec sleep 1000")
		if ws := watch(t, pid, source, patient); ws.Signal() != unix.SIGUSR2 {
			t.Errorf("status %#x after SIGUSR2 before the start, want killed by it", ws)
		}

		for _, c := range []struct {
			name, script string
			before       []syscall.Signal // sent to this process when the script is ready
			ctrlAltDel   bool             // then
			policy       StopPolicy
			want         unix.WaitStatus
		}{
			{name: "signals are its own affair", script: "trap 'exit 3' TERM; trap 'echo x >>got' INT; >ready; while ! test -s got; do :; done; kill -TERM 1; while :; do :; done",
				before: []syscall.Signal{unix.SIGINT}, want: 3 * exitStatus},
			{name: "power", script: "trap 'exit 4' TERM; >ready; while :; do sleep 0.01; done",
				before: []syscall.Signal{unix.SIGPWR}, want: 4 * exitStatus},
			{name: "Ctrl-Alt-Del", script: "trap 'exit 5' USR1; trap '' INT; >ready; while :; do sleep 0.01; done",
				ctrlAltDel: true, policy: StopPolicy{Signal: unix.SIGUSR1}, want: 5 * exitStatus},
			{name: "deaf", script: "trap '' TERM INT; >ready; while :; do sleep 0.01; done",
				before: []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGPWR}, policy: StopPolicy{Timeout: 200 * time.Millisecond},
				want: unix.WaitStatus(unix.SIGKILL)},
			{name: "second request", script: "trap '' TERM INT; >ready; while :; do sleep 0.01; done",
				before: []syscall.Signal{unix.SIGPWR}, ctrlAltDel: true, want: unix.WaitStatus(unix.SIGKILL)},
			{name: "stopped", script: ">ready; kill -STOP $$", before: []syscall.Signal{unix.SIGPWR}, want: unix.WaitStatus(unix.SIGTERM)},
			{name: "group", script: "(trap 'echo x >got; exit' USR1; >listens; while :; do sleep 0.01; done) & trap '' USR1; " +
				"while ! test -e listens; do :; done; >ready; while ! test -s got; do :; done; exit 6",
				before: []syscall.Signal{unix.SIGUSR1}, policy: StopPolicy{Group: true}, want: 6 * exitStatus},
			{name: "no group", script: "(trap 'echo x >got; exit' USR1; >listens; while :; do sleep 0.01; done) & trap 'exit 7' USR1; " +
				"while ! test -e listens; do :; done; >ready; while :; do sleep 0.01; test -e got && exit 8; done",
				before: []syscall.Signal{unix.SIGUSR1}, want: 7 * exitStatus},
		} {
			t.Run(c.name, func(t *testing.T) {
				if c.policy.Timeout == 0 {
					c.policy.Timeout = time.Hour
				}
				pid := startScript(t, dir, "rm -f got listens; "+c.script)
				for _, sig := range c.before {
					send(t, sig)
				}
				if c.ctrlAltDel {
					kernelInterrupt(t)
				}
				start := loop.Now()
				if ws := watch(t, pid, source, c.policy); ws != c.want {
					t.Errorf("status %#x, want %#x", ws, c.want)
				}
				if took := loop.Now() - start; c.policy.Timeout < time.Hour && took < c.policy.Timeout {
					t.Errorf("killed after %v, want %v", took, c.policy.Timeout)
				}
				if err := (StopOthers{Signals: source}).Do(); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// kernelInterrupt has the kernel raise SIGINT for this process, as Ctrl-Alt-Del would.
func kernelInterrupt(t *testing.T) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]int{{unix.F_SETOWN, os.Getpid()}, {unix.F_SETSIG, int(unix.SIGINT)}, {unix.F_SETFL, unix.O_ASYNC}} {
		if _, err := unix.FcntlInt(uintptr(fds[0]), c[0], c[1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := unix.Write(fds[1], []byte{0}); err != nil { // raised as soon as there is something to read
		t.Fatal(err)
	}
	unix.Close(fds[0])
	unix.Close(fds[1])
}

// Thousands of orphans leave nothing behind: neither zombies nor memory of this process.
func TestSuperviseOrphans(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		const orphans = 5000
		source, err := signals.Open(Handled()...)
		if err != nil {
			t.Fatal(err)
		}
		pid := startScript(t, dir, ">ready; i=0; while [ $i -lt "+strconv.Itoa(orphans)+" ]; do (exit 3 &); i=$((i+1)); done; exit 42")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ws, err := Supervise(pid, source, &loop.Loop{Tasks: []loop.Task{&ticker{}}})
		runtime.ReadMemStats(&after)
		if err != nil || ws.ExitStatus() != 42 {
			t.Errorf("Supervise() = status %#x, %v, want exit 42", ws, err)
		}
		if n := after.Mallocs - before.Mallocs; n > orphans/20 {
			t.Errorf("%d allocations for %d orphans, want none for each", n, orphans)
		} else {
			t.Logf("%d allocations for %d orphans", n, orphans)
		}
		if err := (StopOthers{Signals: source, Grace: time.Hour}).Do(); err != nil {
			t.Error(err)
		}
		if pids := processes(t); len(pids) != 1 {
			t.Errorf("processes at the end: %v, want one", pids)
		}
	})
}
