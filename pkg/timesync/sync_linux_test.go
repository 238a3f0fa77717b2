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

// fakeClock records what is done to it. A test must not set the machine's clock.
type fakeClock struct {
	now  Time
	done []string
	err  error
}

func (c *fakeClock) Now() Time { return c.now }

func (c *fakeClock) Step(offset time.Duration) error { return c.record("step", offset) }

func (c *fakeClock) Slew(offset time.Duration) error { return c.record("slew", offset) }

func (c *fakeClock) record(what string, offset time.Duration) error {
	if c.err != nil {
		return c.err
	}
	c.done = append(c.done, what+" "+offset.String())
	if what == "step" {
		c.now += Time(offset)
	}
	return nil
}

// fakeSocket returns datagrams and errors from a list.
type fakeSocket struct {
	queue  []any // []byte (from the host), from, or error
	closed bool
}

// from is a datagram of another sender.
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

// bench is a Sync with fakes around it.
type bench struct {
	*Sync
	clock    fakeClock
	sockets  []any // the results of listen: *fakeSocket or error
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

// at returns a datagram of the host that is ahead of start by offset.
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
		{"ahead", strict, []any{at(time.Hour)}, []string{"step 1h0m0s"},
			Counts{Received: 1, Stepped: 1, Offset: time.Hour}},
		{"behind", strict, []any{at(-time.Hour)}, []string{"step -1h0m0s"},
			Counts{Received: 1, Stepped: 1, Offset: -time.Hour}},
		{"whole buffer", strict, []any{datagram(uint64(start)+1e9, 3732)}, []string{"step 1s"},
			Counts{Received: 1, Stepped: 1, Offset: time.Second}},
		{"right", strict, []any{at(50 * time.Millisecond)}, nil,
			Counts{Received: 1, Offset: 50 * time.Millisecond}},
		{"slew", slewing, []any{at(-50 * time.Millisecond)}, []string{"slew -50ms"},
			Counts{Received: 1, Slewed: 1, Offset: -50 * time.Millisecond}},
		{"newest", strict, []any{at(time.Hour), at(time.Minute), at(time.Second)}, []string{"step 1s"},
			Counts{Received: 3, Stepped: 1, Offset: time.Second}},
		{"refused", strict, []any{at(time.Hour)[:7], datagram(1, size), []byte{}}, nil,
			Counts{Received: 3, Refused: 3}},
		{"wrong sender", strict, []any{
			from{stranger, at(time.Hour)}, from{Address{HostCID, 124}, at(time.Hour)},
			from{Address{3, Port}, at(time.Hour)}, from{Address{}, at(time.Hour)}}, nil,
			Counts{Received: 4, Refused: 4}},
		{"refused after accepted", strict,
			[]any{at(time.Second), from{stranger, at(time.Hour)}, []byte{1}},
			[]string{"step 1s"}, Counts{Received: 3, Refused: 2, Stepped: 1, Offset: time.Second}},
		{"interrupted", strict, []any{unix.EINTR, at(time.Second)}, []string{"step 1s"},
			Counts{Received: 1, Stepped: 1, Offset: time.Second}},
	} {
		b := newBench(tt.policy, &fakeSocket{queue: tt.queue})
		if err := b.Open(); err != nil {
			t.Fatal(err)
		}
		b.Run()
		got := b.Counts()
		if got != tt.counts || !slices.Equal(b.clock.done, tt.done) || b.warnings != nil {
			t.Errorf("%s: counts %+v, clock %q, warnings %q, want %+v, %q, none",
				tt.name, got, b.clock.done, b.warnings, tt.counts, tt.done)
		}
	}
}

// One Run reads a limited number of datagrams, however many are queued.
func TestRunIsBounded(t *testing.T) {
	s := &fakeSocket{queue: slices.Repeat([]any{[]byte{1}}, 1000)}
	b := newBench(strict, s)
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	b.Run()
	if read := 1000 - len(s.queue); read != maxDatagrams {
		t.Errorf("Run() read %d datagrams, want %d", read, maxDatagrams)
	}
}

func TestTrace(t *testing.T) {
	stranger := Address{1, 1024}
	b := newBench(strict, &fakeSocket{queue: []any{
		[]byte{1}, from{stranger, at(0)}, at(time.Hour), at(time.Second),
	}})
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

// A clock that can't be set causes one warning, and another one after it has worked again.
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

// timeOut checks that Poll waits for the next attempt to open the socket, and makes it due.
func (b *bench) timeOut(t *testing.T) {
	t.Helper()
	fds, wait := b.Poll(nil)
	if len(fds) != 0 || wait <= retryInterval/2 || wait > retryInterval {
		t.Errorf("Poll() = %v, %v, want no descriptor, the retry interval", fds, wait)
	}
	b.Run() // too early
	b.retry = loop.Now()
	if _, wait := b.Poll(nil); wait != 0 {
		t.Errorf("Poll() with an attempt due waits %v, want 0", wait)
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
	fds, wait := b.Poll(nil)
	want := []unix.PollFd{{Fd: 42, Events: unix.POLLIN}}
	if !slices.Equal(fds, want) || wait != loop.Forever {
		t.Errorf("Poll() = %v, %v, want %v, Forever", fds, wait, want)
	}
	if b.Counts().Stepped != 1 || b.warnings != nil {
		t.Errorf("counts %+v, warnings %q, want a step and no warnings", b.Counts(), b.warnings)
	}
}

// A socket that is lost again and again causes one warning, and another one after a datagram.
func TestSocketLost(t *testing.T) {
	first := &fakeSocket{queue: []any{at(time.Second), unix.ENETDOWN}}
	last := &fakeSocket{queue: []any{at(0), unix.ENETDOWN}}
	b := newBench(strict, first, &fakeSocket{queue: []any{unix.ENETDOWN}}, unix.ENOBUFS, last)
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	b.Run()
	if !first.closed || b.FD() != -1 || b.Counts().Stepped != 1 {
		t.Errorf("closed %v, FD() = %d, counts %+v, want true, -1, a step by the earlier datagram",
			first.closed, b.FD(), b.Counts())
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

// Without vsock, Sync does nothing and warns of nothing.
func TestNoVsock(t *testing.T) {
	for _, errno := range []unix.Errno{
		unix.EAFNOSUPPORT, unix.ENODEV, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EOPNOTSUPP,
	} {
		b := newBench(strict, errno)
		if err := b.Open(); err != nil {
			t.Errorf("Open() with %v = %v, want nil", errno, err)
		}
		b.Run()
		fds, wait := b.Poll(nil)
		if len(fds) != 0 || wait != loop.Forever || !b.Missing() || b.FD() != -1 || b.warnings != nil {
			t.Errorf("with %v: Poll() = %v, %v, Missing() = %v, FD() = %d, warnings %q",
				errno, fds, wait, b.Missing(), b.FD(), b.warnings)
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
	fds, wait := b.Poll(nil)
	if !s.closed || len(fds) != 0 || wait != loop.Forever || b.Counts() != (Counts{}) {
		t.Errorf("after Close: closed %v, Poll() = %v, %v, counts %+v", s.closed, fds, wait, b.Counts())
	}
}

// Adopt takes over a socket and the datagrams that are queued there. The test uses an AF_UNIX
// socket, whose sender is not the host.
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
		t.Errorf("counts %+v, clock %q, want %+v, none", got, b.clock.done, want)
	}
	if e := b.events[0]; e.Err != ErrSender || e.From != (Address{}) {
		t.Errorf("event = %+v, want a refused unknown sender", e)
	}
}

// A datagram allocates nothing: they come every minute, for years.
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
		s.apply(start)
	}); n != 0 {
		t.Errorf("a datagram makes %v allocations, want 0", n)
	}
}

func TestOps(t *testing.T) {
	policy := Policy{Threshold: DefaultThreshold, Slew: true}
	b := newBench(policy, &fakeSocket{queue: []any{at(time.Hour)}})
	for _, op := range []interface{ Do() error }{Start{b.Sync}, Apply{b.Sync}} {
		if err := op.Do(); err != nil {
			t.Fatal(err)
		}
	}
	want := `listen to the host's clock "vsock port 123" stepAbove=100ms below=slew`
	if got := (Start{b.Sync}).Describe().String(); got != want {
		t.Errorf("Describe() = %s, want %s", got, want)
	}
	if got, want := b.clock.done, []string{"step 1h0m0s"}; !slices.Equal(got, want) {
		t.Errorf("clock %q, want %q", got, want)
	}
}
