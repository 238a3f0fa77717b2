package loop

import (
	"os"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Signals that stand for a fault arrive as signals if a process sent them, in whatever way, and a
// fault remains a panic that can be recovered from.
func TestFaults(t *testing.T) {
	for name, send := range map[string]func(*testing.T, syscall.Signal){
		"kill": send, "sigqueue": queue, "F_SETSIG": setSignal,
	} {
		t.Run(name, func(t *testing.T) {
			for _, sig := range faults {
				s := newSignals(t, sig)
				for range 10 {
					send(t, sig)
					if got := next(t, s); got != sig {
						t.Errorf("Next() = %v after %v", got, sig)
					}
					if err := fault(); err == nil {
						t.Errorf("no panic at an access to address 0, after %v", sig)
					}
				}
			}
		})
	}
}

// Signals without a handler have no effect.
func TestUnhandled(t *testing.T) {
	s := newSignals(t, unix.SIGUSR1)
	for _, sig := range unhandled {
		send(t, sig)
		queue(t, sig)
	}
	send(t, unix.SIGUSR1)
	if got := next(t, s); got != unix.SIGUSR1 {
		t.Errorf("Next() = %v, want SIGUSR1", got)
	}
}

// fault returns what an access to address 0 panics with.
func fault() (reason any) {
	defer func() { reason = recover() }()
	var nowhere *int
	*nowhere = 1
	return nil
}

// queue sends a signal to this process as sigqueue(3) does.
func queue(t *testing.T, sig syscall.Signal) {
	t.Helper()
	const siQueue = -1
	info := [16]int64{int64(sig), siQueue & 0xFFFFFFFF} // siginfo_t: si_signo, si_errno, si_code
	if _, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(os.Getpid()), uintptr(sig),
		uintptr(unsafe.Pointer(&info))); errno != 0 {
		t.Fatal(errno)
	}
}

// setSignal has the kernel send a signal to this process because a pipe can be read.
func setSignal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	read, write := pipe(t)
	for _, c := range []struct{ command, arg int }{
		{unix.F_SETOWN, os.Getpid()}, {unix.F_SETSIG, int(sig)}, {unix.F_SETFL, unix.O_ASYNC},
	} {
		if _, err := unix.FcntlInt(uintptr(read), c.command, c.arg); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := unix.Write(write, []byte("x")); err != nil {
		t.Fatal(err)
	}
}
