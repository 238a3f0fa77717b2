package loop

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Every signal arrives, however a process sent it, also those that stand for a fault. A fault of this
// process remains a panic that can be recovered from.
func TestSignalsHowever(t *testing.T) {
	s := newSignals(t)
	for name, send := range map[string]func(*testing.T, syscall.Signal){
		"kill": send, "sigqueue": queue, "F_SETSIG": setSignal,
	} {
		for sig := syscall.Signal(1); sig <= 64; sig++ {
			if sig == unix.SIGKILL || sig == unix.SIGSTOP || sig == unix.SIGURG {
				continue
			}
			s.Notify(sig)
			for range 3 {
				send(t, sig)
				if got := next(t, s); got != sig {
					t.Errorf("Next() = %v after %v by %s", got, sig, name)
				}
			}
			if err := fault(); err == nil {
				t.Errorf("no panic at an access to address 0 after %v by %s", sig, name)
			}
		}
	}
}

// While a Signals is open there is no other one. Closed, it leaves signals as they were.
func TestSignalsClose(t *testing.T) {
	s := newSignals(t, unix.SIGCONT, unix.SIGUSR1)
	if other, err := NotifySignals(unix.SIGUSR2); err == nil {
		other.Close()
		t.Error("NotifySignals() succeeds twice")
	}
	s.Close()
	if s, err := NotifySignals(unix.SIGUSR1); err != nil {
		t.Error(err)
	} else {
		s.Close()
	}
	send(t, unix.SIGCONT) // without a handler it has no effect
	received := make(chan os.Signal, 1)
	signal.Notify(received, unix.SIGUSR1)
	defer signal.Stop(received)
	send(t, unix.SIGUSR1)
	if sig := <-received; sig != unix.SIGUSR1 {
		t.Errorf("package os/signal received %v, want SIGUSR1", sig)
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
	unix.Close(read)
	unix.Close(write)
}
