package network

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// sleepWatch detects that the machine was suspended, or that its clock was set forward, which
// happens after the host was suspended. The timeout of poll(2) does not detect either.
type sleepWatch struct {
	wanted bool
	timer  int           // of timerfd_create(2); 0: not open yet, -1: not possible
	ahead  time.Duration // the last result of ahead
}

// minSleep is the shortest sleep that counts. Smaller steps of the clock correct its drift.
const minSleep = time.Second

// ConfirmAfterSleep makes the Network ask servers, each time the machine has slept, whether its
// configuration is still valid. It takes effect at the next call of Poll.
func (n *Network) ConfirmAfterSleep() { n.sleep.wanted = true }

// poll appends the descriptor that becomes readable after a sleep. The first call opens it.
func (s *sleepWatch) poll(fds []unix.PollFd) ([]unix.PollFd, error) {
	var err error
	if s.wanted && s.timer == 0 {
		err = s.open()
	}
	if s.timer > 0 {
		fds = append(fds, unix.PollFd{Fd: int32(s.timer), Events: unix.POLLIN})
	}
	return fds, err
}

func (s *sleepWatch) open() error {
	s.timer = -1
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("timerfd_create: %w", err)
	}
	// The timer never expires. A change of the clock cancels it, which makes it readable.
	const flags = unix.TFD_TIMER_ABSTIME | unix.TFD_TIMER_CANCEL_ON_SET
	never := unix.ItimerSpec{Value: unix.Timespec{Sec: 1 << 33}}
	if err := unix.TimerfdSettime(fd, flags, &never, nil); err != nil {
		unix.Close(fd)
		return fmt.Errorf("timerfd_settime: %w", err)
	}
	s.timer, s.ahead = fd, ahead()
	return nil
}

// ended reports whether the machine has slept since the last call.
func (s *sleepWatch) ended() bool {
	if s.timer <= 0 {
		return false
	}
	var expirations [8]byte
	if _, err := unix.Read(s.timer, expirations[:]); err != unix.ECANCELED {
		return false
	}
	before := s.ahead
	s.ahead = ahead()
	return s.ahead-before >= minSleep
}

func (s *sleepWatch) close() {
	if s.timer > 0 {
		unix.Close(s.timer)
	}
	*s = sleepWatch{}
}

// ahead returns by how much CLOCK_REALTIME is ahead of CLOCK_MONOTONIC. A suspension adds to that,
// and so does a step of the clock.
func ahead() time.Duration {
	var wall, monotonic unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &wall) // cannot fail for a clock that exists
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic)
	return time.Duration(wall.Nano() - monotonic.Nano())
}
