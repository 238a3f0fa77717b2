package timesync

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

// fakeClock notes what is done to it. That of this machine is nobody's to set.
type fakeClock struct {
	now  Time
	done []string
	err  error
}

func (c *fakeClock) Now() Time { return c.now }

func (c *fakeClock) Step(offset time.Duration) error { return c.note("step", offset) }

func (c *fakeClock) Slew(offset time.Duration) error { return c.note("slew", offset) }

func (c *fakeClock) note(what string, offset time.Duration) error {
	if c.err != nil {
		return c.err
	}
	c.done = append(c.done, what+" "+offset.String())
	if what == "step" {
		c.now += Time(offset)
	}
	return nil
}

// fakeSocket has a list of datagrams and errors.
type fakeSocket struct {
	queue  []any // []byte from the host, from, or error
	closed bool
}

// from is a datagram of somebody else.
type from struct {
	Address
	datagram []byte
}

func (*fakeSocket) fd() int  { return 42 }
func (s *fakeSocket) close() { s.closed = true }

func (s *fakeSocket) receive(b *[size]byte) (int, Address, error) {
	if s.closed {
		return 0, Address{}, unix.EBADF
	}
	if len(s.queue) == 0 {
		return 0, Address{}, unix.EAGAIN
	}
	next := s.queue[0]
	s.queue = s.queue[1:]
	switch next := next.(type) {
	case []byte:
		return copy(b[:], next), Address{HostCID, Port}, nil
	case from:
		return copy(b[:], next.datagram), next.Address, nil
	default:
		return 0, Address{}, next.(error)
	}
}

// bench is a Sync and what it sees.
type bench struct {
	*Sync
	clock    fakeClock
	sockets  []any // what listen returns: *fakeSocket, or error
	warnings []string
	events   []Event
}

const start = Time(1800000000e9)

func newBench(policy Policy, sockets ...any) *bench {
	b := &bench{clock: fakeClock{now: start}, sockets: sockets}
	b.Sync = New(Config{
		Policy: policy,
		Clock:  &b.clock,
		Warn:   func(err error) { b.warnings = append(b.warnings, err.Error()) },
		Trace:  func(e Event) { b.events = append(b.events, e) },
	})
	b.listen = func() (socket, error) {
		next := b.sockets[0]
		b.sockets = b.sockets[1:]
		if err, failed := next.(error); failed {
			return nil, err
		}
		return next.(*fakeSocket), nil
	}
	return b
}

// at is a datagram that is ahead of start.
func at(offset time.Duration) []byte { return datagram(uint64(start+Time(offset)), size) }

var strict = Policy{Threshold: DefaultThreshold}

func TestRun(t *testing.T) {
	slewing := Policy{Threshold: DefaultThreshold, Slew: true}
	stranger := Address{1, 1024}
	for _, tt := range []struct {
		name   string
		policy Policy
		queue  []any
		done   []string
		counts Counts
	}{
		{"nothing", strict, nil, nil, Counts{}},
		{"ahead", strict, []any{at(time.Hour)}, []string{"step 1h0m0s"}, Counts{Received: 1, Stepped: 1, Offset: time.Hour}},
		{"behind", strict, []any{at(-time.Hour)}, []string{"step -1h0m0s"}, Counts{Received: 1, Stepped: 1, Offset: -time.Hour}},
		{"whole buffer", strict, []any{datagram(uint64(start)+1e9, 3732)}, []string{"step 1s"},
			Counts{Received: 1, Stepped: 1, Offset: time.Second}},
		{"right", strict, []any{at(50 * time.Millisecond)}, nil, Counts{Received: 1, Offset: 50 * time.Millisecond}},
		{"slew", slewing, []any{at(-50 * time.Millisecond)}, []string{"slew -50ms"},
			Counts{Received: 1, Slewed: 1, Offset: -50 * time.Millisecond}},
		{"newest", strict, []any{at(time.Hour), at(time.Minute), at(time.Second)}, []string{"step 1s"},
			Counts{Received: 3, Stepped: 1, Offset: time.Second}},
		{"refused", strict, []any{at(time.Hour)[:7], datagram(1, size), []byte{}}, nil, Counts{Received: 3, Refused: 3}},
		{"wrong sender", strict, []any{from{stranger, at(time.Hour)}, from{Address{HostCID, 124}, at(time.Hour)},
			from{Address{3, Port}, at(time.Hour)}, from{Address{}, at(time.Hour)}}, nil, Counts{Received: 4, Refused: 4}},
		{"refused after believed", strict, []any{at(time.Second), from{stranger, at(time.Hour)}, []byte{1}},
			[]string{"step 1s"}, Counts{Received: 3, Refused: 2, Stepped: 1, Offset: time.Second}},
		{"interrupted", strict, []any{unix.EINTR, at(time.Second)}, []string{"step 1s"},
			Counts{Received: 1, Stepped: 1, Offset: time.Second}},
	} {
		b := newBench(tt.policy, &fakeSocket{queue: tt.queue})
		if err := b.Open(); err != nil {
			t.Fatal(err)
		}
		b.Run()
		if got := b.Counts(); got != tt.counts || !slices.Equal(b.clock.done, tt.done) || b.warnings != nil {
			t.Errorf("%s: counts %+v, clock %q, warnings %q, want %+v, %q, none", tt.name, got, b.clock.done, b.warnings,
				tt.counts, tt.done)
		}
	}
}

// One Run does not take all that somebody can send.
func TestRunIsBounded(t *testing.T) {
	s := &fakeSocket{queue: slices.Repeat([]any{[]byte{1}}, 1000)}
	b := newBench(strict, s)
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	b.Run()
	if taken := 1000 - len(s.queue); taken != mostDatagrams {
		t.Errorf("Run() took %d datagrams, want %d", taken, mostDatagrams)
	}
}

func TestTrace(t *testing.T) {
	stranger := Address{1, 1024}
	b := newBench(strict, &fakeSocket{queue: []any{[]byte{1}, from{stranger, at(0)}, at(time.Hour), at(time.Second)}})
	b.clock.err = unix.EPERM
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	b.Run()
	host := Address{HostCID, Port}
	want := []Event{
		{From: host, Err: ErrShort},
		{From: stranger, Err: ErrSender},
		{From: host, Action: Step, Offset: time.Second, Err: unix.EPERM},
	}
	if !slices.Equal(b.events, want) {
		t.Errorf("events = %+v, want %+v", b.events, want)
	}
}

// A clock that can't be set costs one warning, until it has worked again.
func TestClockFails(t *testing.T) {
	s := &fakeSocket{}
	b := newBench(strict, s)
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		err      error
		warnings int
	}{{unix.EPERM, 1}, {unix.EPERM, 1}, {nil, 1}, {unix.EPERM, 2}} {
		b.clock.now, b.clock.err = start, tt.err
		s.queue = []any{at(time.Hour)}
		b.Run()
		if len(b.warnings) != tt.warnings {
			t.Errorf("after %v: warnings %q, want %d", tt.err, b.warnings, tt.warnings)
		}
	}
	if got, want := b.Counts(), (Counts{Received: 4, Stepped: 1, Offset: time.Hour}); got != want {
		t.Errorf("Counts() = %+v, want %+v", got, want)
	}
}

// timeOut lets the time until the next attempt pass, which Poll must have asked for.
func (b *bench) timeOut(t *testing.T) {
	t.Helper()
	fds, wait := b.Poll(nil)
	if len(fds) != 0 || wait <= retryInterval/2 || wait > retryInterval {
		t.Errorf("Poll() = %v, %v, want to wait for the next attempt", fds, wait)
	}
	b.Run() // too early
	b.retry = loop.Now()
	if _, wait := b.Poll(nil); wait != 0 {
		t.Errorf("Poll() with an attempt due waits %v", wait)
	}
}

func TestSocketTaken(t *testing.T) {
	b := newBench(strict, unix.EADDRINUSE, unix.EADDRINUSE, &fakeSocket{queue: []any{at(time.Second)}})
	if err := b.Open(); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("Open() = %v, want %v", err, unix.EADDRINUSE)
	}
	for range 2 {
		b.timeOut(t)
		b.Run()
	}
	if fds, wait := b.Poll(nil); len(fds) != 1 || fds[0].Fd != 42 || fds[0].Events != unix.POLLIN || wait != loop.Forever {
		t.Errorf("Poll() = %v, %v, want the socket and no end", fds, wait)
	}
	if b.Counts().Stepped != 1 || b.warnings != nil {
		t.Errorf("counts %+v, warnings %q, want a step, and no warnings but Open's error", b.Counts(), b.warnings)
	}
}

// A socket that is lost again and again costs one warning, until a datagram has come.
func TestSocketLost(t *testing.T) {
	first := &fakeSocket{queue: []any{at(time.Second), unix.ENETDOWN}}
	last := &fakeSocket{queue: []any{at(0), unix.ENETDOWN}}
	b := newBench(strict, first, &fakeSocket{queue: []any{unix.ENETDOWN}}, unix.ENOBUFS, last)
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	b.Run()
	if !first.closed || b.FD() != -1 || b.Counts().Stepped != 1 {
		t.Errorf("closed %v, FD %d, counts %+v, want it closed, -1, and what came before applied", first.closed, b.FD(), b.Counts())
	}
	for _, warnings := range []int{1, 1, 2} {
		b.timeOut(t)
		b.Run()
		if len(b.warnings) != warnings {
			t.Errorf("warnings = %q, want %d", b.warnings, warnings)
		}
	}
	if !strings.HasPrefix(b.warnings[0], "receive the host's time: ") {
		t.Errorf("warning = %q", b.warnings[0])
	}
}

// Without vsock there is nothing to do, and nothing to say.
func TestNoVsock(t *testing.T) {
	for _, errno := range []unix.Errno{
		unix.EAFNOSUPPORT, unix.ENODEV, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EOPNOTSUPP,
	} {
		b := newBench(strict, errno)
		if err := b.Open(); err != nil {
			t.Errorf("Open() with %v = %v, want nil", errno, err)
		}
		b.Run()
		if fds, wait := b.Poll(nil); len(fds) != 0 || wait != loop.Forever || b.FD() != -1 || b.warnings != nil {
			t.Errorf("with %v: Poll() = %v, %v, FD() = %d, warnings %q", errno, fds, wait, b.FD(), b.warnings)
		}
	}
}

func TestClose(t *testing.T) {
	s := &fakeSocket{queue: []any{at(time.Hour)}}
	b := newBench(strict, s)
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b.Run()
	if fds, wait := b.Poll(nil); !s.closed || len(fds) != 0 || wait != loop.Forever || b.Counts() != (Counts{}) {
		t.Errorf("after Close: closed %v, Poll() = %v, %v, counts %+v", s.closed, fds, wait, b.Counts())
	}
}

// A Sync that takes over a socket gets what waits there. An AF_UNIX one stands in for it; its sender is nobody's host.
func TestAdopt(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	b := newBench(strict)
	b.Adopt(fds[0])
	defer b.Close()
	for _, d := range [][]byte{at(time.Hour), datagram(uint64(start)+1e9, 3732)} {
		if _, err := unix.Write(fds[1], d); err != nil {
			t.Fatal(err)
		}
	}
	if b.FD() != fds[0] {
		t.Errorf("FD() = %d, want %d", b.FD(), fds[0])
	}
	for range 3 {
		b.Run()
	}
	if got, want := b.Counts(), (Counts{Received: 2, Refused: 2}); got != want || b.clock.done != nil {
		t.Errorf("counts %+v, clock %q, want %+v, nothing done", got, b.clock.done, want)
	}
	if e := b.events[0]; e.Err != ErrSender || e.From != (Address{}) {
		t.Errorf("event = %+v, want a refused sender that is unknown", e)
	}
}

// What comes every minute for years leaves no garbage behind.
func TestRunAllocatesNothing(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	s := New(Config{Policy: strict, Clock: &fakeClock{now: start}})
	s.Adopt(fds[0])
	defer s.Close()
	b := at(time.Hour)
	if n := testing.AllocsPerRun(100, func() {
		unix.Write(fds[1], b)
		s.Run()
		s.apply(start, Address{})
	}); n != 0 {
		t.Errorf("a datagram makes %v allocations, want 0", n)
	}
}

func TestOps(t *testing.T) {
	b := newBench(Policy{Threshold: DefaultThreshold, Slew: true}, &fakeSocket{queue: []any{at(time.Hour)}})
	var texts []string
	for _, op := range []interface{ Do() error }{Start{b.Sync}, Apply{b.Sync}} {
		if err := op.Do(); err != nil {
			t.Fatal(err)
		}
	}
	d := Start{b.Sync}.Describe()
	for _, a := range d.Details {
		texts = append(texts, a.Name+"="+a.Value)
	}
	if want := []string{"stepAbove=100ms", "below=slew"}; !slices.Equal(texts, want) {
		t.Errorf("attributes = %q, want %q", texts, want)
	}
	if got, want := b.clock.done, []string{"step 1h0m0s"}; !slices.Equal(got, want) {
		t.Errorf("clock %q, want %q", got, want)
	}
}
