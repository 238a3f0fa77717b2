package supervise

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// SignalSource delivers the signals that this process gets, one after the other: signals.Pipe is one.
type SignalSource interface {
	Next() (syscall.Signal, error)
}

// Handled are the signals that Supervise deals with: SIGCHLD, and those that are for the workload. SIGSEGV and the like, sent
// by somebody, still end this process.
func Handled() []syscall.Signal {
	return []syscall.Signal{unix.SIGCHLD, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGWINCH, unix.SIGINFO, unix.SIGABRT, unix.SIGTRAP, unix.SIGSYS, unix.SIGEMT}
}

// Supervise looks after a child until it ends, and returns its status. One loop reaps the child and every orphan that this
// process inherits, and hands on to the child each signal that this process gets.
func Supervise(pid int, signals SignalSource) (unix.WaitStatus, error) {
	for {
		// Whatever the signal was: of many at once, that of a child may be missing.
		status, ended, err := reap(pid)
		if ended || err != nil {
			return status, err
		}
		sig, err := signals.Next()
		if err != nil {
			return 0, err
		}
		if sig != unix.SIGCHLD {
			// The child is there: nobody but this loop reaps it.
			_ = unix.Kill(pid, sig)
		}
	}
}

// reap takes the status of all children that have ended.
func reap(pid int) (status unix.WaitStatus, ended bool, err error) {
	for {
		var ws unix.WaitStatus
		p, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
		case err != nil && !ended:
			return 0, false, fmt.Errorf("wait for the workload: %w", err)
		case err != nil || p == 0:
			return status, ended, nil
		case p == pid:
			status, ended = ws, true
		}
	}
}

// Watch is the operation that supervises the child *PID until it ends, and stores its wait status in Status.
type Watch struct {
	PID     *int
	Signals SignalSource
	Status  *unix.WaitStatus
}

func (Watch) Describe() op.Description {
	return op.Describe("supervise", "workload", "reap", "all children", "signals", "to the workload")
}

func (w Watch) Do() (err error) {
	*w.Status, err = Supervise(*w.PID, w.Signals)
	return err
}
