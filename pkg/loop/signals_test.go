//go:build linux || freebsd

package loop

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newSignals returns a Signals that the test closes at its end.
func newSignals(t *testing.T, signals ...os.Signal) *Signals {
	t.Helper()
	s, err := NotifySignals(signals...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if got := s.Next(); got != 0 {
		t.Errorf("Next() before any signal = %v, want 0", got)
	}
	return s
}

// next waits for a signal.
func next(t *testing.T, s *Signals) syscall.Signal {
	t.Helper()
	var l Loop
	for deadline := Now() + time.Minute; Now() < deadline; {
		if sig := s.Next(); sig != 0 {
			return sig
		}
		if _, err := l.Step(s.FD(), deadline-Now()); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no signal within a minute")
	return 0
}

func send(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := unix.Kill(unix.Getpid(), sig); err != nil {
		t.Fatal(err)
	}
}

// Every signal arrives that a process may send to another, also those that Go makes a panic or
// the end of the process otherwise.
func TestSignals(t *testing.T) {
	all := []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1,
		unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGWINCH, unix.SIGCHLD, unix.SIGABRT, unix.SIGTRAP,
		unix.SIGSYS, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, 35, 64}
	s := newSignals(t)
	for _, sig := range all {
		s.Notify(sig)
	}
	for range 100 {
		for _, want := range all {
			send(t, want)
			if got := next(t, s); got != want {
				t.Fatalf("Next() = %v, want %v", got, want)
			}
		}
	}
	func() { // a fault of this process is a panic nevertheless
		defer func() {
			if recover() == nil {
				t.Error("no panic at an access to address 0")
			}
		}()
		var nowhere *int
		*nowhere = 1
	}()
	if err := exec.Command("/bin/sh", "-c", "kill -TERM $$").Run(); err == nil {
		t.Error("a child process does not have the default signal dispositions")
	}
}

// Signals that wait together all arrive, and equal ones once at least.
func TestSignalsTogether(t *testing.T) {
	s := newSignals(t, unix.SIGUSR1, unix.SIGUSR2)
	for range 100 {
		for range 3 {
			send(t, unix.SIGUSR2)
			send(t, unix.SIGUSR1)
		}
		got := map[syscall.Signal]bool{}
		for len(got) < 2 {
			got[next(t, s)] = true
		}
		if !got[unix.SIGUSR1] || !got[unix.SIGUSR2] {
			t.Fatalf("signals = %v, want SIGUSR1 and SIGUSR2", got)
		}
	}
}

// Receiving a signal allocates nothing: PID 1 gets one for each orphan.
func TestSignalsAllocations(t *testing.T) {
	s := newSignals(t, unix.SIGUSR1)
	var l Loop
	if n := testing.AllocsPerRun(1000, func() {
		_ = unix.Kill(unix.Getpid(), unix.SIGUSR1)
		for s.Next() == 0 {
			_, _ = l.Step(s.FD(), Forever)
		}
	}); n != 0 {
		t.Errorf("a signal makes %v allocations, want 0", n)
	}
}

// A nil *Signals receives nothing.
func TestSignalsNil(t *testing.T) {
	var s *Signals
	s.Notify(unix.SIGUSR1)
	if fd, sig := s.FD(), s.Next(); fd != -1 || sig != 0 {
		t.Errorf("FD(), Next() = %d, %v, want -1, 0", fd, sig)
	}
}
