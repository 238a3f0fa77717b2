// Package signals delivers signals through a pipe, to be read one after the other.
//
// It is for PID 1 of a small guest. Package os/signal does the same for any program, with three threads and 80 kB more;
// here the kernel calls a handler of a few instructions that writes the signal's number into the pipe.
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
	last    byte   // what Next has returned
	pending []byte // read from fd, not returned yet
	buf     [64]byte
}

// fromKernel is the bit beside a signal's number that says that no process sent it.
const fromKernel = 0x80

// What the handlers use, one of each a process. They change once.
//
// The kernel hands signals to any thread that does not block them, and of two threads the one that got the later signal may
// be first to write it. So every thread but the first, which is there as long as the process is, blocks them once it has
// handled one: from then on they keep the kernel's order.
var (
	writeEnd       int32   // the descriptor that signals are written to
	runtimeHandler uintptr // the address of Go's own handler
	ordered        uint64  // the set of signals that other threads block
)

// Open makes the pipe and takes over the handling of the signals, for the life of the process. It can be called once, and
// not by a program that uses package os/signal for the same signals.
//
// Signals come in the kernel's order: of those that wait for a thread to handle them the lowest first, a real-time signal as
// often as it was sent. Threads may have them blocked: whoever executes a program sets its mask.
//
// Of SIGILL, SIGBUS, SIGFPE and SIGSEGV only those are taken that somebody has sent; the process's own faults stay Go's
// panics.
func Open(signals ...syscall.Signal) (*Pipe, error) {
	if writeEnd != 0 {
		return nil, fmt.Errorf("open the signal pipe: %w", unix.EBUSY)
	}
	var fds [2]int
	// A handler must not block. Where a full pipe swallows a signal, there are thousands before it.
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("open the signal pipe: %w", err)
	}
	writeEnd = int32(fds[1])
	for _, sig := range signals {
		if err := handle(sig); err != nil {
			return nil, fmt.Errorf("handle %v: %w", sig, err)
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
		if err == unix.EAGAIN {
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, -1)
			n = 0
		}
		if err != nil && err != unix.EINTR {
			return 0, fmt.Errorf("read the signal pipe: %w", err)
		}
		p.pending = p.buf[:max(n, 0)]
	}
	p.last, p.pending = p.pending[0], p.pending[1:]
	return syscall.Signal(p.last &^ fromKernel), nil
}

// FromKernel tells whether the kernel raised the signal that Next returned last, and not a process by kill(2): a child's
// end, a timer, a key of a terminal, Ctrl-Alt-Del. A process can't pretend it: see si_code in sigaction(2).
func (p *Pipe) FromKernel() bool { return p.last&fromKernel != 0 }

// Flags of sigaction(2): an alternate stack, which each thread of Go has, system calls that go on, and a siginfo_t.
const (
	saOnStack = 0x08000000
	saRestart = 0x10000000
	saSiginfo = 0x00000004
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
		action = newAction(handlerAddress())
		if sig != unix.SIGALRM { // RestartAfter needs any thread that there is
			ordered = ordered | 1<<(sig-1)
		}
	}
	return rtSigaction(sig, &action, nil)
}

// newAction returns the action of a handler during which no other signal is handled.
func newAction(handler uintptr) sigaction {
	return sigaction{handler: handler, flags: saOnStack | saRestart | saSiginfo | saRestorer, restorer: restorerAddress(),
		mask: ^uint64(0)}
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

// restartHandlerAddress returns the address of the handler that restarts the machine.
func restartHandlerAddress() uintptr

// restorerAddress returns the address of the code that ends a handler, or 0 where the kernel has its own.
func restorerAddress() uintptr
