package timesync

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

// Config is the configuration of a Sync.
type Config struct {
	Policy
	Clock Clock // nil: SystemClock

	// Warn, unless nil, is called once when the socket is lost, and once when the clock can't be
	// changed.
	Warn func(error)
	// LastFile, unless empty, is a file to which a Last is written, at most once a second.
	LastFile string
	// Trace, unless nil, is called for each datagram that is refused or applied to the clock.
	Trace func(Event)
}

const (
	// retryInterval is the time between attempts to open the socket after a failure.
	retryInterval = 10 * time.Second
	// saveInterval is the minimum time between two writes to LastFile.
	saveInterval = time.Second
	// maxDatagrams limits the datagrams that one Run reads, so that a flood can't keep the caller
	// from other work.
	maxDatagrams = 32
)

// Sync synchronizes a clock with the host. It is a loop.Task.
type Sync struct {
	cfg    Config
	counts Counts

	listen  func() (socket, error)
	socket  socket        // nil: none
	missing bool          // the socket is not to be opened again
	retry   time.Duration // when to open the socket, by loop.Now

	lost     bool          // the loss of the socket was reported, and no datagram was received since
	clockErr error         // the error of the last change of the clock
	saveAt   time.Duration // the earliest time of the next write to LastFile, by loop.Now
	datagram [size]byte
}

var _ loop.Task = (*Sync)(nil)

// New returns a Sync without a socket.
func New(cfg Config) *Sync {
	if cfg.Clock == nil {
		cfg.Clock = SystemClock{}
	}
	if cfg.Warn == nil {
		cfg.Warn = func(error) {}
	}
	if cfg.Trace == nil {
		cfg.Trace = func(Event) {}
	}
	return &Sync{cfg: cfg, listen: listen}
}

// Open opens the socket. After an error, Run tries again. If the machine has no vsock, Open returns
// nil and Missing returns true.
func (s *Sync) Open() error {
	socket, err := s.listen()
	switch {
	case err == nil:
		s.socket = socket
	case isMissing(err):
		s.missing = true
	default:
		s.retry = loop.Now() + retryInterval
		return fmt.Errorf("listen to vsock port 123: %w", err)
	}
	return nil
}

// Adopt replaces Open. It takes over fd, the socket of another Sync.
func (s *Sync) Adopt(fd int) { s.socket = vsock(fd) }

// FD returns the descriptor of the socket, or -1 if there is none.
func (s *Sync) FD() int {
	if s.socket == nil {
		return -1
	}
	return s.socket.fd()
}

// Missing reports whether the machine has no vsock with datagrams. It is valid after Open.
func (s *Sync) Missing() bool { return s.missing }

// Close closes the socket for good.
func (s *Sync) Close() {
	if s.socket != nil {
		s.socket.close()
	}
	s.socket, s.missing = nil, true
}

// Counts returns the numbers of datagrams so far.
func (s *Sync) Counts() Counts { return s.counts }

func (s *Sync) Poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) {
	switch {
	case s.socket != nil:
		return append(fds, unix.PollFd{Fd: int32(s.socket.fd()), Events: unix.POLLIN}), loop.Forever
	case s.missing:
		return fds, loop.Forever
	}
	return fds, max(0, s.retry-loop.Now())
}

// Run reads the queued datagrams and corrects the clock by the newest one that is accepted. The
// times in older datagrams are outdated.
func (s *Sync) Run() {
	if s.socket == nil && !s.missing && loop.Now() >= s.retry {
		_ = s.Open() // the first attempt was reported
	}
	if s.socket == nil {
		return
	}
	var newest Time
	for range maxDatagrams {
		n, from, err := s.socket.receive(&s.datagram)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			s.lose(err)
			break
		}
		if t, ok := s.accept(n, from); ok {
			newest = t
		}
	}
	if newest != 0 {
		s.apply(newest)
	}
}

// accept returns the time in a datagram of n bytes, or false if the datagram is refused.
func (s *Sync) accept(n int, from Address) (t Time, ok bool) {
	s.counts.Received++
	s.lost = false
	t, err := Parse(s.datagram[:min(n, size)])
	if from != hostClock {
		err = ErrSender
	}
	if err != nil {
		s.counts.Refused++
		s.cfg.Trace(Event{From: from, Err: err})
		return 0, false
	}
	return t, true
}

// lose closes the socket after the error err.
func (s *Sync) lose(err error) {
	s.socket.close()
	s.socket = nil
	s.retry = loop.Now() + retryInterval
	if !s.lost {
		s.lost = true
		s.cfg.Warn(fmt.Errorf("receive the host's time: %w", err))
	}
}

// apply steps, slews or keeps the clock, given the host's time.
func (s *Sync) apply(host Time) {
	e := Event{From: hostClock, Offset: time.Duration(host - s.cfg.Clock.Now())}
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
			s.cfg.Warn(e.Err)
		}
	case e.Action == Step:
		s.counts.Stepped++
	case e.Action == Slew:
		s.counts.Slewed++
	}
	s.clockErr = e.Err
	if now := loop.Now(); s.cfg.LastFile != "" && now >= s.saveAt {
		s.saveAt = now + saveInterval
		saveLast(s.cfg.LastFile, time.Unix(0, int64(s.cfg.Clock.Now())), e)
	}
	s.cfg.Trace(e)
}

// Start is the operation that opens the socket of a Sync. Datagrams queue there until Apply or Run.
type Start struct{ Sync *Sync }

func (s Start) Describe() op.Description {
	below := "leave"
	if s.Sync.cfg.Slew {
		below = "slew"
	}
	return op.Describe("listen to the host's clock", "vsock port 123",
		"stepAbove", s.Sync.cfg.Threshold, "below", below)
}

func (s Start) Do() error { return s.Sync.Open() }

// Apply is the operation that corrects the clock by the queued datagrams, if there are any.
type Apply struct{ Sync *Sync }

func (Apply) Describe() op.Description {
	return op.Describe("set the clock", "by a datagram that has come")
}

func (a Apply) Do() error {
	a.Sync.Run()
	return nil
}
