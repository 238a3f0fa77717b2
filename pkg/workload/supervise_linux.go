package workload

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
)

// Signals delivers the signals that Supervise deals with: SIGCHLD, and those that are for the workload. From then on they
// do not end this process, and none is lost before there is a workload to get it.
func Signals() <-chan os.Signal {
	c := make(chan os.Signal, 64)
	signal.Notify(c, unix.SIGCHLD, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH)
	return c
}

// Supervise looks after a child until it ends, and returns its status. One loop reaps the child and every orphan that this
// process inherits, and hands on to the child each signal that this process gets, see Signals.
func Supervise(pid int, signals <-chan os.Signal) (unix.WaitStatus, error) {
	for {
		// Whatever the signal: when the channel was full, that of a child may be missing.
		status, ended, err := reap(pid)
		if ended || err != nil {
			return status, err
		}
		if sig := <-signals; sig != unix.SIGCHLD {
			// The child is there: nobody but this loop reaps it.
			_ = unix.Kill(pid, sig.(syscall.Signal))
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
			return 0, false, os.NewSyscallError("wait for the workload: wait4", err)
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
	Signals <-chan os.Signal
	Status  *unix.WaitStatus
}

// Describe implements boot.Op.
func (Watch) Describe() boot.Desc {
	return boot.Desc{Verb: "supervise", Object: "workload", Attrs: []boot.Attr{
		boot.A("reap", "all children"), boot.A("signals", "to the workload"),
	}}
}

// Do implements boot.Op.
func (w Watch) Do() (err error) {
	*w.Status, err = Supervise(*w.PID, w.Signals)
	return err
}
