package loop

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSignals(t *testing.T) {
	s, err := NotifySignals(unix.SIGUSR1, unix.SIGUSR2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Next(); got != 0 {
		t.Errorf("Next() = %v before any signal", got)
	}
	for range 3 {
		for _, sig := range []syscall.Signal{unix.SIGUSR2, unix.SIGUSR1} {
			if err := unix.Kill(unix.Getpid(), sig); err != nil {
				t.Fatal(err)
			}
		}
		got := map[syscall.Signal]bool{}
		var l Loop
		for deadline := Now() + 10*time.Second; len(got) < 2 && Now() < deadline; {
			if _, err := l.Step(s.FD(), deadline-Now()); err != nil {
				t.Fatal(err)
			}
			for sig := s.Next(); sig != 0; sig = s.Next() {
				got[sig] = true
			}
		}
		if !got[unix.SIGUSR1] || !got[unix.SIGUSR2] {
			t.Fatalf("Next() returned %v, want SIGUSR1 and SIGUSR2", got)
		}
	}
}
