package timesync

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

// Config says how a Sync works.
type Config struct {
	Policy
	Clock Clock // nil: SystemClock

	// Warn is told once of a socket that is lost, and of a clock that can't be set. Nil: nobody is.
	Warn func(error)
	// Trace is told of datagrams: of each that is refused, and of each that counts for the clock. Nil: nobody is.
	Trace func(Event)
}

const (
	// retryInterval is the time after which a socket that is taken, or was lost, is tried again.
	retryInterval = 10 * time.Second
	// mostDatagrams is how many one Run takes. More of them wait for the next one: others have something to do, too.
	mostDatagrams = 32
)

// Sync keeps a clock right. It is a loop.Task.
type Sync struct {
	cfg    Config
	counts Counts

	listen func() (socket, error)
	socket socket        // nil: none
	never  bool          // there will be none
	retry  time.Duration // when to try again, by loop.Now

	lost     bool  // reported, and no datagram since
	clockErr error // reported last

	datagram [size]byte
}

var _ loop.Task = (*Sync)(nil)

// New returns a Sync that has no socket yet.
func New(cfg Config) *Sync {
	if cfg.Clock == nil {
		cfg.Clock = SystemClock{}
	}
	return &Sync{cfg: cfg, listen: listen}
}

// Open opens the socket. An error means that Run will try again. Where there is no vsock, there is nothing to do, now and
// later, and that is no error.
func (s *Sync) Open() error {
	var err error
	if s.socket, err = s.listen(); err == nil {
		return nil
	}
	s.socket = nil
	if missing(err) {
		s.never = true
		return nil
	}
	s.retry = loop.Now() + retryInterval
	if err != nil {
		return fmt.Errorf("listen to vsock port 123: %w", err)
	}
	return nil
}

// Adopt takes over the socket of another Sync, instead of Open.
func (s *Sync) Adopt(fd int) { s.socket = vsock(fd) }

// FD returns the descriptor of the socket, -1 if there is none.
func (s *Sync) FD() int {
	if s.socket == nil {
		return -1
	}
	return s.socket.fd()
}

// Missing tells whether Open has found that there is no vsock, and never will be.
func (s *Sync) Missing() bool { return s.never }

// Close closes the socket for good.
func (s *Sync) Close() {
	if s.socket != nil {
		s.socket.close()
	}
	s.socket, s.never = nil, true
}

// Counts returns the counts.
func (s *Sync) Counts() Counts { return s.counts }

// Poll implements loop.Task.
func (s *Sync) Poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) {
	switch {
	case s.socket != nil:
		return append(fds, unix.PollFd{Fd: int32(s.socket.fd()), Events: unix.POLLIN}), loop.Forever
	case s.never:
		return fds, loop.Forever
	}
	return fds, max(0, s.retry-loop.Now())
}

// Run implements loop.Task: it takes the datagrams that are waiting, and sees to the clock by the newest that can be
// believed. What an older one says was right when it came.
func (s *Sync) Run() {
	if s.socket == nil && (s.never || loop.Now() < s.retry || s.Open() != nil || s.socket == nil) {
		return
	}
	var newest Time
	var sender Address
	for range mostDatagrams {
		n, from, err := s.socket.receive(&s.datagram)
		if err == unix.EAGAIN {
			break
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			s.lose(err)
			break
		}
		s.counts.Received++
		s.lost = false
		t, err := Parse(s.datagram[:min(n, size)])
		if from != (Address{HostCID, Port}) {
			err = ErrSender
		}
		if err != nil {
			s.counts.Refused++
			s.trace(Event{From: from, Err: err})
			continue
		}
		newest, sender = t, from
	}
	if newest != 0 {
		s.apply(newest, sender)
	}
}

// lose gives up a socket that has failed.
func (s *Sync) lose(err error) {
	s.socket.close()
	s.socket = nil
	s.retry = loop.Now() + retryInterval
	if !s.lost {
		s.lost = true
		s.warn(fmt.Errorf("receive the host's time: %w", err))
	}
}

// apply sees to the clock.
func (s *Sync) apply(host Time, from Address) {
	e := Event{From: from, Offset: time.Duration(host - s.cfg.Clock.Now())}
	e.Action = s.cfg.Decide(e.Offset)
	s.counts.Offset = e.Offset
	switch e.Action {
	case Step:
		e.Err = s.cfg.Clock.Step(e.Offset)
	case Slew:
		e.Err = s.cfg.Clock.Slew(e.Offset)
	}
	switch {
	case e.Err != nil:
		if s.clockErr == nil {
			s.warn(e.Err)
		}
	case e.Action == Step:
		s.counts.Stepped++
	case e.Action == Slew:
		s.counts.Slewed++
	}
	s.clockErr = e.Err
	s.trace(e)
}

func (s *Sync) warn(err error) {
	if s.cfg.Warn != nil {
		s.cfg.Warn(err)
	}
}

func (s *Sync) trace(e Event) {
	if s.cfg.Trace != nil {
		s.cfg.Trace(e)
	}
}
