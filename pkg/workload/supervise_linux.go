package workload

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
)

// Supervise looks after a child until it ends, and returns its status. In one loop and on one thread, it reaps the child
// and every orphan that this process inherits, and hands on to the child each signal that this process gets.
//
// For the latter the signals must be blocked in all threads of this process, which only code that runs before Go's runtime
// can do; krunbox's entry code does it for PID 1, from its first instruction on, so that none is lost. Where they are not
// blocked Supervise only reaps.
func Supervise(pid int) (unix.WaitStatus, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals, err := blocked()
	if err != nil {
		return 0, err
	}
	if signals&bit(unix.SIGCHLD) == 0 {
		return waitFor(pid)
	}
	for {
		sig, err := nextSignal(signals)
		if err != nil {
			return 0, err
		}
		if sig != unix.SIGCHLD {
			// The child can be gone in this moment: its status is the next thing to come.
			_ = unix.Kill(pid, sig)
			continue
		}
		status, ended, err := reap(pid)
		if ended || err != nil {
			return status, err
		}
	}
}

// reap takes the status of all children that have ended; one signal may stand for many.
func reap(pid int) (status unix.WaitStatus, ended bool, err error) {
	for {
		var ws unix.WaitStatus
		p, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
		case err != nil && !ended:
			return 0, false, os.NewSyscallError("wait for the workload: wait4", err)
		case err != nil || p == 0:
			return status, ended, nil
		case p == pid:
			status, ended = ws, true
		}
	}
}

// waitFor reaps children until pid ends.
func waitFor(pid int) (unix.WaitStatus, error) {
	for {
		var ws unix.WaitStatus
		p, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, os.NewSyscallError("wait for the workload: wait4", err)
		case p == pid:
			return ws, nil
		}
	}
}

// bit is a signal's place in a set.
func bit(sig syscall.Signal) uint64 { return 1 << (sig - 1) }

// blocked returns the set of signals that the calling thread has blocked.
func blocked() (uint64, error) {
	var set uint64
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, 0, uintptr(unsafe.Pointer(&set)), 8, 0, 0)
	if errno != 0 {
		return 0, fmt.Errorf("get the signal mask: %w", errno)
	}
	return set, nil
}

// nextSignal waits for a signal of a set that is blocked.
func nextSignal(set uint64) (syscall.Signal, error) {
	for {
		sig, _, errno := unix.Syscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&set)), 0, 0, 8, 0, 0)
		if errno == 0 {
			return syscall.Signal(sig), nil
		}
		if errno != unix.EINTR {
			return 0, fmt.Errorf("wait for a signal: %w", errno)
		}
	}
}

// Watch is the operation that supervises the child *PID until it ends, and stores its wait status in Status.
type Watch struct {
	PID    *int
	Status *unix.WaitStatus
}

// Describe implements boot.Op.
func (Watch) Describe() boot.Desc {
	return boot.Desc{Verb: "supervise", Object: "workload", Attrs: []boot.Attr{
		boot.A("reap", "all children"), boot.A("signals", "to the workload"),
	}}
}

// Do implements boot.Op.
func (w Watch) Do() (err error) {
	*w.Status, err = Supervise(*w.PID)
	return err
}
