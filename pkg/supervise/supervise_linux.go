package supervise

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

// SignalSource delivers the signals that this process gets, one after the other: signals.Pipe is one.
type SignalSource interface {
	Next() (syscall.Signal, error)
	// FromKernel tells of the last one whether the kernel raised it, and not a process.
	FromKernel() bool
	// FD returns a descriptor that can be read from when there is a signal, unless one is Pending.
	FD() int
	Pending() bool
}

// Real-time signals that are for programs; the two before them are the C library's own.
const (
	firstRealTime = 34
	lastRealTime  = 64
)

// Handled are the signals that Supervise deals with: SIGCHLD, and those that are for the workload, among them all that would
// end this process if Go's runtime had them. Others are not for it:
//
//   - SIGKILL and SIGSTOP can't be caught, and the kernel does not let them have an effect on process 1.
//   - SIGPIPE, SIGTTIN and SIGTTOU are the kernel's word on what the process itself has just done.
//   - SIGURG is how Go's runtime interrupts its own threads; 32 and 33 are how the C library does.
func Handled() []syscall.Signal {
	handled := append(make([]syscall.Signal, 0, 64), unix.SIGCHLD, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM,
		unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGABRT, unix.SIGTRAP, unix.SIGSYS, unix.SIGSTKFLT, unix.SIGSEGV,
		unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGALRM, unix.SIGVTALRM, unix.SIGPROF, unix.SIGIO, unix.SIGPWR,
		unix.SIGXCPU, unix.SIGXFSZ, unix.SIGTSTP, unix.SIGCONT)
	for sig := syscall.Signal(firstRealTime); sig <= lastRealTime; sig++ {
		handled = append(handled, sig)
	}
	return handled
}

// DefaultStopTimeout is how long a workload has to end where nothing else is said.
const DefaultStopTimeout = 10 * time.Second

// StopPolicy is how signals reach a workload, and how it is made to end. A request for its end is SIGPWR, which is a power key
// or a failing supply, and SIGINT from the kernel, which is Ctrl-Alt-Del (see exitreport.CtrlAltDel); every other signal is
// the workload's own affair, SIGTERM too.
type StopPolicy struct {
	Signal  syscall.Signal // asks the workload to end; 0: SIGTERM
	Timeout time.Duration  // from asking to SIGKILL, which a second request sends at once; negative: no limit
	Group   bool           // all signals go to the workload's process group
}

// Supervise looks after a child until it ends, and returns its status. One loop reaps the child and every orphan that this
// process inherits, hands on to the child each signal that this process gets, and runs the tasks.
func Supervise(pid int, signals SignalSource, tasks *loop.Loop) (unix.WaitStatus, error) {
	return StopPolicy{Timeout: DefaultStopTimeout}.supervise(pid, signals, tasks)
}

func (p StopPolicy) supervise(pid int, signals SignalSource, tasks *loop.Loop) (unix.WaitStatus, error) {
	end := ending{ask: p.Signal, patience: p.Timeout}
	if end.ask == 0 {
		end.ask = unix.SIGTERM
	}
	send := func(sig syscall.Signal) {
		// The child is there: nobody but this loop reaps it.
		to := pid
		if p.Group {
			to = -pid
		}
		_ = unix.Kill(to, sig)
	}
	for {
		// Whatever the signal was: of many at once, that of a child may be missing.
		status, ended, more, err := reap(pid)
		if ended || err != nil {
			if err != nil {
				return status, fmt.Errorf("wait for the workload: %w", err)
			}
			return status, nil
		}
		// Without tasks and times the wait is that for a signal.
		limit := loop.Forever
		if end.phase != running {
			limit = end.wait(loop.Now())
		}
		if more {
			limit = 0
		}
		if (len(tasks.Tasks) > 0 || limit >= 0) && !signals.Pending() {
			ready, err := tasks.Step(signals.FD(), limit)
			if end.phase != running {
				sig, over := end.expire(loop.Now())
				if over {
					return 0, errors.New("stop the workload: it was killed and does not end")
				}
				if sig != 0 {
					send(sig)
				}
			}
			if !ready && err == nil {
				continue
			}
		}
		sig, err := signals.Next()
		switch {
		case err != nil:
			return 0, err
		case sig == unix.SIGCHLD:
		case sig == unix.SIGPWR, sig == unix.SIGINT && signals.FromKernel():
			send(end.request(loop.Now()))
			send(unix.SIGCONT) // one that is stopped can't end
		default:
			send(sig)
		}
	}
}

// reap takes the status of children that have ended, also that of pid. It leaves more for the next time where there are very
// many of them, so that signals and tasks get their turn whatever the workload's orphans do.
func reap(pid int) (status unix.WaitStatus, ended, more bool, err error) {
	for range 256 {
		var ws unix.WaitStatus
		p, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
		case err != nil && !ended:
			return 0, false, false, err
		case err != nil || p == 0:
			return status, ended, false, nil
		case p == pid && !ended: // later, another can have the number
			status, ended = ws, true
		}
	}
	return status, ended, true, nil
}

// Watch is the operation that supervises the child *PID until it ends, and stores its wait status in Status.
type Watch struct {
	PID     *int
	Signals SignalSource
	Tasks   *loop.Loop // run while it waits
	Stop    StopPolicy
	Status  *unix.WaitStatus
}

func (Watch) Describe() op.Description {
	return op.Describe("supervise", "workload", "reap", "all children", "signals", "to the workload")
}

func (w Watch) Do() (err error) {
	*w.Status, err = w.Stop.supervise(*w.PID, w.Signals, w.Tasks)
	return err
}
