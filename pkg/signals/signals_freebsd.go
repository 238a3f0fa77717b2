// Package signals delivers signals one after the other, for PID 1 of a small guest. On FreeBSD they come from a kqueue(2).
package signals

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pipe is where signals arrive.
type Pipe struct {
	fd      int
	pending []unix.Kevent_t // read from fd, not returned yet
	buf     [8]unix.Kevent_t
}

// Open takes over the signals, for the life of the process. The queue sees even those that are ignored, and ignored they are,
// but for SIGCHLD, with which the kernel would reap children by itself: so none of them can end the process. SIGILL, SIGBUS,
// SIGFPE and SIGSEGV are not to be among them, for those can be faults of the process's own.
func Open(signals ...syscall.Signal) (*Pipe, error) {
	fd, err := unix.Kqueue()
	if err != nil {
		return nil, fmt.Errorf("open the signal queue: %w", err)
	}
	unix.CloseOnExec(fd)
	events := make([]unix.Kevent_t, len(signals))
	for i, sig := range signals {
		unix.SetKevent(&events[i], int(sig), unix.EVFILT_SIGNAL, unix.EV_ADD)
	}
	if _, err := unix.Kevent(fd, events, nil, nil); err != nil {
		return nil, fmt.Errorf("open the signal queue: %w", err)
	}
	for _, sig := range signals {
		if sig == unix.SIGCHLD {
			continue // Go's handler has it, and does nothing
		}
		if err := ignore(sig); err != nil {
			return nil, fmt.Errorf("handle %v: %w", sig, err)
		}
	}
	return &Pipe{fd: fd}, nil
}

// FD returns the descriptor that can be read from, poll(2), when Next need not wait.
func (p *Pipe) FD() int { return p.fd }

// Pending tells whether Next has a signal that is no longer in the queue.
func (p *Pipe) Pending() bool { return len(p.pending) > 0 }

// Next waits for a signal. Several of one kind that came meanwhile are one.
func (p *Pipe) Next() (syscall.Signal, error) {
	for len(p.pending) == 0 {
		n, err := unix.Kevent(p.fd, nil, p.buf[:], nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read the signal queue: %w", err)
		}
		p.pending = p.buf[:n]
	}
	sig := syscall.Signal(p.pending[0].Ident)
	p.pending = p.pending[1:]
	return sig, nil
}

// sigaction is the kernel's struct sigaction, see sigaction(2).
type sigaction struct {
	handler uintptr
	flags   int32
	mask    [4]uint32
}

// sigIgnore is SIG_IGN.
const sigIgnore = 1

func ignore(sig syscall.Signal) error {
	action := sigaction{handler: sigIgnore}
	if _, _, errno := unix.RawSyscall(unix.SYS_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0); errno != 0 {
		return errno
	}
	return nil
}
