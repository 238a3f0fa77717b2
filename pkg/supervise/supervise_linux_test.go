package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/loop"
)

// watch supervises a running workload.
func watch(t *testing.T, pid int, w Watch) unix.WaitStatus {
	t.Helper()
	var status unix.WaitStatus
	w.PID, w.Status = &pid, &status
	if err := w.Do(); err != nil {
		t.Errorf("Do() = %v", err)
	}
	return status
}

const exitStatus = 1 << 8 // times n: the wait status of exit n

// A signal that a process sends to process 1 has on the workload the effect that it would have on
// any process. That includes those that would make Go panic or exit.
func TestWatchEverySignal(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		signals := catch(t)
		signals.Notify(lateSignals()...)
		for sig := syscall.Signal(1); sig <= 64; sig++ {
			script, want := "kill -%d 1; exec sleep 1000", unix.WaitStatus(sig)
			switch sig {
			case unix.SIGPWR:
				want = unix.WaitStatus(unix.SIGTERM)
			case unix.SIGWINCH, unix.SIGCONT, unix.SIGTSTP: // their default effect is not the end
				script, want = "trap 'exit 9' %[1]d; kill -%[1]d 1; while :; do sleep 0.01; done", 9*exitStatus
			case unix.SIGCHLD, unix.SIGPIPE, unix.SIGKILL, unix.SIGSTOP, unix.SIGTTIN, unix.SIGTTOU,
				unix.SIGURG, unix.SIGPROF, 32, 33, 34: // not handed on
				script, want = "kill -%d 1; exit 8", 8*exitStatus
			}
			pid := start(t, exec.Command("/bin/sh", "-c", fmt.Sprintf(script, sig)))
			ws := watch(t, pid, Watch{Signals: signals, Stop: StopPolicy{Timeout: time.Hour}})
			if ws&^0x80 != want { // 0x80: it dumped core
				t.Errorf("signal %d to process 1: status %#x, want %#x", sig, ws, want)
			}
		}

		// A signal that comes before the workload waits for it.
		send(t, signals, unix.SIGUSR2)
		pid := startScript(t, dir, ">ready; exec sleep 1000")
		if ws := watch(t, pid, Watch{Signals: signals}); ws.Signal() != unix.SIGUSR2 {
			t.Errorf("status %#x after SIGUSR2 before the start, want killed by it", ws)
		}
	})
}

func TestWatchStopPolicy(t *testing.T) {
	const (
		working = "; >ready; while :; do sleep 0.01; done"
		child   = "(trap 'echo x >got; exit' USR1; >listens; while :; do sleep 0.01; done) & " +
			"while ! test -e listens; do :; done; "
	)
	nstest.Run(t, func(t *testing.T, dir string) {
		signals := catch(t)
		for _, c := range []struct {
			name, script string
			signal       syscall.Signal // to this process when the script is ready
			ctrlAltDel   bool           // instead
			policy       StopPolicy
			want         unix.WaitStatus
		}{
			{name: "two signals", signal: unix.SIGUSR2, want: 3 * exitStatus,
				script: "trap 'exit 3' HUP; trap 'kill -HUP 1' USR2" + working},
			{name: "TERM", signal: unix.SIGTERM, want: 4 * exitStatus,
				script: "trap 'exit 4' TERM" + working},
			{name: "INT", signal: unix.SIGINT, want: 4 * exitStatus,
				script: "trap '' TERM; trap 'exit 4' INT" + working},
			{name: "PWR", signal: unix.SIGPWR, want: 4 * exitStatus,
				script: "trap 'exit 4' TERM" + working},
			{name: "Ctrl-Alt-Del", ctrlAltDel: true, policy: StopPolicy{Signal: unix.SIGUSR1},
				want:   5 * exitStatus,
				script: "trap 'exit 5' USR1; trap '' INT" + working},
			{name: "ignored", signal: unix.SIGTERM, policy: StopPolicy{Timeout: 200 * time.Millisecond},
				want:   unix.WaitStatus(unix.SIGKILL),
				script: "trap '' TERM INT" + working},
			{name: "second request", signal: unix.SIGPWR, want: unix.WaitStatus(unix.SIGKILL),
				script: "trap '' INT; trap 'kill -INT 1' TERM" + working},
			{name: "stopped", signal: unix.SIGPWR, want: unix.WaitStatus(unix.SIGTERM),
				script: ">ready; kill -STOP $$"},
			{name: "group", signal: unix.SIGUSR1, policy: StopPolicy{Group: true}, want: 6 * exitStatus,
				script: child + "trap '' USR1; >ready; while ! test -s got; do :; done; exit 6"},
			{name: "no group", signal: unix.SIGUSR1, want: 7 * exitStatus,
				script: child + "trap 'exit 7' USR1; >ready; " +
					"while :; do sleep 0.01; test -e got && exit 8; done"},
		} {
			t.Run(c.name, func(t *testing.T) {
				if c.policy.Timeout == 0 {
					c.policy.Timeout = time.Hour
				}
				pid := startScript(t, dir, "rm -f got listens; "+c.script)
				if c.ctrlAltDel {
					kernelInterrupt(t)
				} else {
					send(t, signals, c.signal)
				}
				began := loop.Now()
				if ws := watch(t, pid, Watch{Signals: signals, Stop: c.policy}); ws != c.want {
					t.Errorf("status %#x, want %#x", ws, c.want)
				}
				if took := loop.Now() - began; c.policy.Timeout < time.Hour && took < c.policy.Timeout {
					t.Errorf("killed after %v, want %v", took, c.policy.Timeout)
				}
				if err := (StopOthers{Signals: signals}).Do(); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// kernelInterrupt makes the kernel itself send SIGINT to this process, as Ctrl-Alt-Del does.
func kernelInterrupt(t *testing.T) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]int{
		{unix.F_SETOWN, os.Getpid()}, {unix.F_SETSIG, int(unix.SIGINT)}, {unix.F_SETFL, unix.O_ASYNC},
	} {
		if _, err := unix.FcntlInt(uintptr(fds[0]), c[0], c[1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := unix.Write(fds[1], []byte{0}); err != nil { // sends it: there is something to read
		t.Fatal(err)
	}
	unix.Close(fds[0])
	unix.Close(fds[1])
}

// ticker is a task that runs every millisecond.
type ticker struct{ runs int }

func (*ticker) Poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) {
	return fds, time.Millisecond
}

func (t *ticker) Run() { t.runs++ }

// Watch takes the status of its child and of no other, whatever else ends, and leaves no zombies.
func TestWatchReaps(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		// The middle shells end at once, so that their children are orphans. They stay in /proc until
		// they are reaped.
		const script = `for i in $(seq 100); do sh -c '(exit 3) & (exit 4) &'; done
			for i in $(seq 1000); do test $(ls -d /proc/[0-9]* | wc -l) -le 6 && exit 42; done
			ls -d /proc/[0-9]* | wc -l`
		signals := catch(t)
		pid := start(t, exec.Command("/bin/sh", "-c", script))
		var task ticker
		ws := watch(t, pid, Watch{Signals: signals, Tasks: &loop.Loop{Tasks: []loop.Task{&task}}})
		if ws != 42*exitStatus {
			t.Errorf("status %#x, want exit 42", ws)
		}
		if task.runs == 0 {
			t.Error("the task was not run")
		}
		if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
			t.Errorf("wait4 after Do() = %v, want ECHILD: no zombies are left", err)
		}
	})
}

// Thousands of orphans leave nothing behind: neither zombies nor memory of this process.
func TestWatchOrphans(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		const orphans = 5000
		signals := catch(t)
		signals.Notify(lateSignals()...)
		pid := startScript(t, dir, ">ready; i=0; while [ $i -lt "+strconv.Itoa(orphans)+
			" ]; do (exit 3 &); i=$((i+1)); done; exit 42")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ws := watch(t, pid, Watch{Signals: signals, Tasks: &loop.Loop{Tasks: []loop.Task{&ticker{}}}})
		runtime.ReadMemStats(&after)
		if ws != 42*exitStatus {
			t.Errorf("status %#x, want exit 42", ws)
		}
		n := after.Mallocs - before.Mallocs
		t.Logf("%d allocations for %d orphans", n, orphans)
		if n > orphans/20 {
			t.Errorf("%d allocations for %d orphans, want none for each", n, orphans)
		}
		if err := (StopOthers{Signals: signals, Grace: time.Hour}).Do(); err != nil {
			t.Error(err)
		}
		if pids := processes(t); len(pids) != 1 {
			t.Errorf("processes at the end = %v, want one", pids)
		}
	})
}

// Watch gives up on a workload that can't be killed: the machine must come to its end.
func TestWatchUnkillable(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		someoneWaits, server := nstest.Silence(t, dir)
		signals := catch(t)
		pid := start(t, exec.Command("ls", dir))
		someoneWaits()
		send(t, signals, unix.SIGTERM)
		var status unix.WaitStatus
		err := Watch{PID: &pid, Signals: signals, Status: &status}.Do()
		if err == nil || !strings.Contains(err.Error(), "does not end") {
			t.Errorf("Do() = %v, want an error: the workload does not end", err)
		}
		unix.Close(server)
	})
}
