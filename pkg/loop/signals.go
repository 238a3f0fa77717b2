//go:build linux || freebsd

package loop

import (
	"fmt"
	"math/bits"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signals receives signals by package os/signal, for a poll loop. A signal that comes again before
// Next has returned it counts once. The methods of a nil *Signals behave as if no signal ever came.
type Signals struct {
	read, write int // ends of a pipe, which has a byte in it when a signal waits
	channel     chan os.Signal
	waiting     atomic.Uint64 // bit N-1 stands for signal N
	wakes       [16]byte      // buffer of Next
}

// NotifySignals returns a Signals that receives the given signals from now on. The constraints of
// signal.Notify apply: SIGKILL, SIGSTOP and SIGPROF never arrive, nor do 32 to 34 on Linux. SIGILL,
// SIGBUS, SIGFPE and SIGSEGV arrive if a process sent them; a fault remains a panic. On Linux it does
// not matter how they were sent: by kill(2), sigqueue(3), or fcntl(2) with F_SETSIG.
func NotifySignals(signals ...os.Signal) (*Signals, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("open a pipe for signals: %w", err)
	}
	// Large enough for one of each signal.
	s := &Signals{read: fds[0], write: fds[1], channel: make(chan os.Signal, 64)}
	acceptQueued()
	s.Notify(signals...)
	go s.receive()
	return s, nil
}

// Notify adds signals. It takes some 20 µs for each, because package runtime changes the signal
// mask of a thread of its own and waits for it.
func (s *Signals) Notify(signals ...os.Signal) {
	if s == nil {
		return
	}
	for _, sig := range signals { // one by one: signal.Notify delivers nothing while it runs
		signal.Notify(s.channel, sig)
	}
}

// receive takes signals from the channel and wakes the poll loop, until it receives nil.
func (s *Signals) receive() {
	wake := []byte{0}
	for sig := <-s.channel; sig != nil; sig = <-s.channel {
		n, ok := sig.(syscall.Signal)
		if ok && n >= 1 && n <= 64 && s.waiting.Or(1<<(n-1)) == 0 {
			_, _ = unix.Write(s.write, wake) // fails if the pipe is full, and then it is readable
		}
	}
	_ = unix.Close(s.read)
	_ = unix.Close(s.write)
}

// FD returns the descriptor that poll(2) reports as readable when a signal waits, and sometimes when
// none does, or -1 for a nil *Signals. The caller must not read from it.
func (s *Signals) FD() int {
	if s == nil {
		return -1
	}
	return s.read
}

// Next returns a signal that waits, the lowest number first, or 0 if there is none. FD stays
// readable until Next has returned 0.
func (s *Signals) Next() syscall.Signal {
	if s == nil {
		return 0
	}
	set := s.waiting.Load()
	if set == 0 {
		_, _ = unix.Read(s.read, s.wakes[:])
		// A signal that came before the read is found here; a later one writes again.
		if set = s.waiting.Load(); set == 0 {
			return 0
		}
	}
	n := bits.TrailingZeros64(set)
	s.waiting.And(^uint64(1 << n))
	return syscall.Signal(n + 1)
}

// Waiting reports whether a signal waits, which Next will return.
func (s *Signals) Waiting(sig syscall.Signal) bool {
	return s != nil && s.waiting.Load()&(1<<(sig-1)) != 0
}

// Close stops the reception: the signals have their default effect again. FD is closed soon after.
func (s *Signals) Close() {
	signal.Stop(s.channel)
	s.channel <- nil
}
