// Package signals delivers signals through a pipe, to be read one after the other.
//
// It is for PID 1 of a small guest. Package os/signal does the same for any program, with three threads and 80 kB more;
// here the kernel calls a handler of a few instructions that writes the signal's number into the pipe.
package signals

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/fault"
)

// Pipe is where signals arrive.
type Pipe struct {
	fd      int
	pending []byte // read from fd, not returned yet
	buf     [64]byte
}

// writeEnd is the descriptor that the handler writes to, and runtimeHandler the address of Go's own handler; one of each a
// process. They change once.
var (
	writeEnd       int32
	runtimeHandler uintptr
)

// Open makes the pipe and takes over the handling of the signals, for the life of the process. It can be called once, and
// not by a program that uses package os/signal for the same signals.
//
// Of SIGILL, SIGBUS, SIGFPE and SIGSEGV only those are taken that somebody has sent; the process's own faults stay Go's
// panics.
func Open(signals ...syscall.Signal) (*Pipe, error) {
	if writeEnd != 0 {
		return nil, fault.Wrap(unix.EBUSY, "open the signal pipe")
	}
	var fds [2]int
	// A handler must not block. Where a full pipe swallows a signal, there are thousands before it.
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, fault.Wrap(err, "open the signal pipe")
	}
	if err := unix.SetNonblock(fds[1], true); err != nil {
		return nil, fault.Wrap(err, "open the signal pipe")
	}
	writeEnd = int32(fds[1])
	for _, sig := range signals {
		if err := handle(sig); err != nil {
			return nil, fault.Wrap(err, "handle ", sig.String())
		}
	}
	return &Pipe{fd: fds[0]}, nil
}

// FD returns the descriptor that can be read from when Next need not wait. Whoever waits for it calls Next once, then again
// while Pending.
func (p *Pipe) FD() int { return p.fd }

// Pending tells whether Next has a signal that is no longer in the pipe.
func (p *Pipe) Pending() bool { return len(p.pending) > 0 }

// Next waits for a signal. It is not to be called by two goroutines at once.
func (p *Pipe) Next() (syscall.Signal, error) {
	for len(p.pending) == 0 {
		n, err := unix.Read(p.fd, p.buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, fault.Wrap(err, "read the signal pipe")
		}
		p.pending = p.buf[:n]
	}
	sig := syscall.Signal(p.pending[0])
	p.pending = p.pending[1:]
	return sig, nil
}

// sigaction is the kernel's struct sigaction of amd64 and arm64, which is not that of the C library; see rt_sigaction(2).
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// Flags of sigaction(2): an alternate stack, which each thread of Go has, and system calls that go on.
const (
	saOnStack = 0x08000000
	saRestart = 0x10000000
)

func handle(sig syscall.Signal) error {
	var action sigaction
	switch sig {
	case unix.SIGILL, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV:
		// As Go has it, but for the handler.
		if err := rtSigaction(sig, nil, &action); err != nil {
			return err
		}
		if runtimeHandler == 0 { // it is the same for all
			runtimeHandler = action.handler
		}
		action.handler = faultHandlerAddress()
	default:
		action = sigaction{handlerAddress(), saOnStack | saRestart | saRestorer, restorerAddress(), ^uint64(0)}
	}
	return rtSigaction(sig, &action, nil)
}

func rtSigaction(sig syscall.Signal, action, old *sigaction) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(action)),
		uintptr(unsafe.Pointer(old)), unsafe.Sizeof(action.mask), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// handlerAddress returns the address of the handler.
func handlerAddress() uintptr

// faultHandlerAddress returns the address of the handler for signals that may be faults.
func faultHandlerAddress() uintptr

// restorerAddress returns the address of the code that ends a handler, or 0 where the kernel has its own.
func restorerAddress() uintptr
