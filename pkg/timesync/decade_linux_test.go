package timesync

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/simtest"
)

// driftingClock is a clock that runs too fast, and stands still while the host sleeps.
type driftingClock struct{ now, host Time }

func (c *driftingClock) Now() Time { return c.now }

func (c *driftingClock) Step(offset time.Duration) error {
	c.now += Time(offset)
	return nil
}

func (c *driftingClock) Slew(offset time.Duration) error { return c.Step(offset) } // at once

// hostSocket has one datagram, or one of a process that lies.
type hostSocket struct {
	datagram [size]byte
	from     Address
	full     bool
}

func (*hostSocket) fd() int { return 42 }
func (*hostSocket) close()  {}

func (s *hostSocket) receive(b *[size]byte) (int, Address, error) {
	if !s.full {
		return 0, Address{}, unix.EAGAIN
	}
	s.full = false
	return copy(b[:], s.datagram[:]), s.from, nil
}

// TestDecade keeps a clock for ten years, by a datagram every ten minutes. The clock gains ten
// milliseconds in between, and the host sleeps now and then.
func TestDecade(t *testing.T) {
	const start, gain = Time(1893456000e9), 10 * time.Millisecond // 2030
	random := rand.New(rand.NewPCG(1, 2))                         //nolint:gosec // repeatable
	for _, slew := range []bool{false, true} {
		policy := Policy{Threshold: DefaultThreshold, Slew: slew}
		clock := &driftingClock{now: start, host: start}
		socket := &hostSocket{from: hostClock}
		s := New(Config{Policy: policy, Clock: clock})
		s.socket = socket
		var last time.Duration
		steps := simtest.Decade(t, func(now time.Duration) time.Duration {
			passed := now - last
			last = now
			clock.host += Time(passed)
			clock.now += Time(passed + gain)
			sleep := time.Duration(0)
			if random.IntN(1000) == 0 {
				sleep = time.Duration(random.Int64N(int64(24 * time.Hour)))
				clock.host += Time(sleep) // for the guest no time has passed
			}
			binary.LittleEndian.PutUint64(socket.datagram[:], uint64(clock.host))
			socket.full = true
			if random.IntN(100) == 0 { // before it, one from somebody else
				right := socket.datagram
				socket.from.CID = 3
				socket.datagram[7] ^= 1
				s.Run()
				socket.datagram, socket.full, socket.from = right, true, hostClock
			}
			s.Run()
			off := time.Duration(clock.now - clock.host)
			if off.Abs() > DefaultThreshold || slew && off != 0 {
				t.Errorf("at %v, after a datagram, the clock is off by %v", now, off)
			}
			return now + 10*time.Minute
		})
		c := s.Counts()
		if accepted := uint64(steps); c.Received-c.Refused != accepted || c.Refused < accepted/200 || c.Stepped < 100 ||
			slew != (c.Slewed > 0) {
			t.Errorf("counts after %d steps = %+v", steps, c)
		}
	}
}
