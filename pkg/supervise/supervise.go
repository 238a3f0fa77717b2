//go:build linux || freebsd

// Package supervise supervises a guest's workload from process 1: it reaps all children, forwards
// signals, and stops the workload and all other processes. Package exec starts the workload.
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

// DefaultStopTimeout is the usual StopPolicy.Timeout.
const DefaultStopTimeout = 10 * time.Second

// StopPolicy says how signals reach a workload, and how it is stopped. A stop request is a SIGTERM
// or SIGINT to this process and, on Linux, a SIGPWR: Ctrl-Alt-Del is a SIGINT after
// poweroff.CtrlAltDel, and a power key is a SIGPWR by PowerKeys.
type StopPolicy struct {
	// Signal is sent to ask the workload to end. If it is 0, the signal of the stop request is sent,
	// but SIGTERM for a SIGPWR.
	Signal syscall.Signal
	// Timeout is the time from the stop request to SIGKILL. A second request sends SIGKILL at once.
	// If Timeout is negative, there is no limit.
	Timeout time.Duration
	Group   bool // signals go to the workload's process group instead of the process
}

// Watch is the operation that supervises the child *PID until it ends, and stores its wait status
// in *Status. Meanwhile one loop reaps every child, also those that this process inherits, hands
// on signals, and runs the tasks.
type Watch struct {
	PID     *int
	Signals *loop.Signals // as Catch makes it
	Tasks   *loop.Loop    // nil: none
	Stop    StopPolicy
	Status  *unix.WaitStatus
}

func (Watch) Describe() op.Description {
	return op.Describe("supervise", "workload", "reap", "all children", "signals", "to the workload")
}

func (w Watch) Do() error {
	go w.Signals.Notify(lateSignals()...)
	tasks := w.Tasks
	if tasks == nil {
		tasks = &loop.Loop{}
	}
	t := terminator{signal: w.Stop.Signal, grace: w.Stop.Timeout}
	var own ownLimits
	for {
		status, ended, more, err := reap(*w.PID)
		if err != nil {
			return fmt.Errorf("wait for the workload: %w", err)
		}
		if ended {
			*w.Status = status
			return nil
		}
		// The tasks may have work many times before a signal comes.
		wait := t.wait(loop.Now())
		for !step(tasks, w.Signals, wait, more) && wait == loop.Forever && !more {
		}
		sig, over := t.expire(loop.Now())
		if over {
			return errors.New("stop the workload: it was killed and does not end")
		}
		w.send(sig)
		for sig := w.Signals.Next(); sig != 0; sig = w.Signals.Next() {
			switch stop := stopSignal(sig); {
			case stop != 0:
				w.send(t.request(loop.Now(), stop))
				w.send(unix.SIGCONT) // a stopped process can't react
			case sig != unix.SIGCHLD && sig != unix.SIGPIPE && !own.exceeded(sig, loop.Now()): // those concern this process
				w.send(sig)
			}
		}
	}
}

// StopRequest returns the signal that would ask a workload to end, if a stop request has come that
// Watch has not taken yet, else 0.
func StopRequest(signals *loop.Signals) syscall.Signal {
	for _, sig := range stopRequests {
		if signals.Waiting(sig) {
			return stopSignal(sig)
		}
	}
	return 0
}

// send sends a signal, unless it is 0, to the workload, which exists: only Do reaps it.
func (w Watch) send(sig syscall.Signal) {
	pid := *w.PID
	if w.Stop.Group {
		pid = -pid
	}
	if sig != 0 {
		_ = unix.Kill(pid, sig)
	}
}

// step waits for signals and tasks, for at most limit; not at all if more children wait for reap.
// It returns whether a signal may wait.
func step(tasks *loop.Loop, signals *loop.Signals, limit time.Duration, more bool) (signaled bool) {
	if more {
		limit = 0
	}
	signaled, err := tasks.Step(signals.FD(), limit)
	if err != nil {
		// The supervision must go on, for instance without memory for poll(2).
		time.Sleep(100 * time.Millisecond)
	}
	return signaled || err != nil
}

// reap takes the wait status of children that have ended, and returns that of pid, if it is among
// them. It takes a limited number, so that a flood of orphans does not keep signals and tasks from
// being handled, and returns whether there may be more.
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
		case p == pid && !ended: // a new child may get the same number at once
			status, ended = ws, true
		}
	}
	return status, ended, true, nil
}

// Catch is the operation that starts to receive signals for Watch and StopOthers, and stores the
// receiver in *Signals. It keeps the signals that arrive before Watch runs.
type Catch struct{ Signals **loop.Signals }

func (Catch) Describe() op.Description { return op.Describe("catch", "signals for the workload") }

func (c Catch) Do() (err error) {
	*c.Signals, err = loop.NotifySignals(earlySignals()...)
	return err
}
