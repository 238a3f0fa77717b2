package loop

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Signals receives signals for a poll loop, in place of package os/signal, which would take two
// threads for it. Equal signals that wait together are one. The methods of a nil *Signals behave as
// if no signal ever came.
type Signals struct {
	fd     int         // an eventfd, which can be read from when a signal waits
	caught uint64      // bit N-1 is set for signal N
	before [64]uintptr // handlers of the signals that are caught
}

// What the handler uses, which is the same for all threads.
var (
	// waiting has bit N-1 set if signal N waits.
	waiting atomic.Uint64
	// wake is the eventfd.
	wake atomic.Int32
	// opened says that there is a Signals.
	opened atomic.Bool
)

// handler is the address of the handler, which is in assembly because the kernel calls it. It leaves
// a fault to Go's runtime, and notes any other signal.
//
// A fault is one of SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV and SIGSYS with an si_code above 0, which
// the kernel sets, and no other process can. Go's runtime, which looks for the si_code of kill(2) and
// tgkill(2) instead, takes a signal for a fault that was sent by sigqueue(3), or by fcntl(2) with
// F_SETSIG, and ends the process.
var handler uintptr

// NotifySignals returns a Signals that receives the given signals from now on, however they are
// sent. SIGKILL and SIGSTOP never arrive. A fault of this process remains a panic. SIGURG is not
// possible: Go interrupts its own threads with it.
//
// It fails if the process has a Signals already.
func NotifySignals(signals ...os.Signal) (*Signals, error) {
	if !opened.CompareAndSwap(false, true) {
		return nil, errors.New("receive signals: the process does so already")
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		opened.Store(false)
		return nil, fmt.Errorf("open an eventfd for signals: %w", err)
	}
	waiting.Store(0)
	wake.Store(int32(fd))
	s := &Signals{fd: fd}
	s.Notify(signals...)
	return s, nil
}

// Notify adds signals.
func (s *Signals) Notify(signals ...os.Signal) {
	if s == nil {
		return
	}
	for _, sig := range signals {
		n, ok := sig.(syscall.Signal)
		if !ok || n < 1 || n > 64 || s.caught&(1<<(n-1)) != 0 {
			continue
		}
		s.before[n-1] = setHandler(n, handler)
		s.caught |= 1 << (n - 1)
	}
}

// setHandler changes the handler of a signal, and returns the one before. All else is as Go's runtime
// has it: the handler runs on a stack for signals, and no signal interrupts it.
func setHandler(sig syscall.Signal, handler uintptr) (before uintptr) {
	type sigaction struct { // of the kernel
		handler uintptr
		_       [3]uintptr // flags, restorer and mask, whose order depends on the architecture
	}
	call := func(sig syscall.Signal, action, before *sigaction) {
		const sigsetSize = 8
		// It fails for SIGKILL and SIGSTOP only.
		_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
			uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(before)), sigsetSize, 0, 0)
	}
	var action, old sigaction
	call(unix.SIGSEGV, nil, &action)
	action.handler = handler
	call(sig, &action, &old)
	return old.handler
}

// FD returns the descriptor that poll(2) reports as readable when a signal waits, and now and then
// when none does, or -1 for a nil *Signals. The caller must not read from it.
func (s *Signals) FD() int {
	if s == nil {
		return -1
	}
	return s.fd
}

// Next returns a signal that waits, the lowest number first, or 0 if there is none. FD stays
// readable until Next has returned 0.
func (s *Signals) Next() syscall.Signal {
	if s == nil {
		return 0
	}
	set := waiting.Load()
	if set == 0 {
		var count [8]byte
		_, _ = unix.Read(s.fd, count[:])
		// A signal that came before the read is found here; a later one writes again.
		if set = waiting.Load(); set == 0 {
			return 0
		}
	}
	n := bits.TrailingZeros64(set)
	waiting.And(^uint64(1 << n))
	return syscall.Signal(n + 1)
}

// Waiting reports whether a signal waits, which Next will return.
func (s *Signals) Waiting(sig syscall.Signal) bool {
	return s != nil && waiting.Load()&(1<<(sig-1)) != 0
}

// Close stops the reception: the signals have the effect again that they had before.
func (s *Signals) Close() {
	for set := s.caught; set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(set)
		setHandler(syscall.Signal(n+1), s.before[n])
	}
	_ = unix.Close(s.fd)
	opened.Store(false)
}
