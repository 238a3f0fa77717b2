package loop

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signals receives signals by package os/signal, for a poll loop: a descriptor can be read from
// when a signal waits. Signals of one number that wait together are one.
type Signals struct {
	fd      int // eventfd(2)
	channel chan os.Signal
	pending atomic.Uint64 // bit N-1 stands for signal N
}

// NotifySignals returns a Signals that receives the given ones from now on.
func NotifySignals(signals ...os.Signal) (*Signals, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open an eventfd for signals: %w", err)
	}
	s := &Signals{fd: fd, channel: make(chan os.Signal, 64)}
	signal.Notify(s.channel, signals...)
	go s.receive()
	return s, nil
}

// receive makes the descriptor readable for each signal.
func (s *Signals) receive() {
	defer unix.Close(s.fd)
	one := binary.NativeEndian.AppendUint64(nil, 1)
	for sig := range s.channel {
		if n, ok := sig.(syscall.Signal); ok && n >= 1 && n <= 64 {
			s.pending.Or(1 << (n - 1))
			// It fails only where the counter is at its limit, and the descriptor readable.
			_, _ = unix.Write(s.fd, one)
		}
	}
}

// FD returns the descriptor that poll(2) reports as readable when a signal waits.
func (s *Signals) FD() int { return s.fd }

// Next returns a signal that waits, the one with the lowest number first, or 0 where none does.
// Call it until it returns 0.
func (s *Signals) Next() syscall.Signal {
	set := s.pending.Load()
	if set == 0 {
		var count [8]byte
		_, _ = unix.Read(s.fd, count[:])
		// A signal that came before the read is here, and one that comes later makes the
		// descriptor readable again.
		if set = s.pending.Load(); set == 0 {
			return 0
		}
	}
	n := bits.TrailingZeros64(set)
	s.pending.And(^uint64(1 << n))
	return syscall.Signal(n + 1)
}

// Close ends the reception: the signals have their default effect again. FD is closed soon after.
func (s *Signals) Close() {
	signal.Stop(s.channel)
	close(s.channel)
}
