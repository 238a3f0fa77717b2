// Package loop runs tasks beside each other in one thread, by poll(2): what PID 1 does while it waits for its workload. There
// are no goroutines in it, whose panics nobody could catch, and nothing to lock.
package loop

import (
	"fmt"
	"time"

	"github.com/krunbox/krunbox/pkg/op"

	"golang.org/x/sys/unix"
)

// Task is work that waits for descriptors and times most of the time.
type Task interface {
	// Poll adds to fds the descriptors that the task wants to read from, and returns how long it can wait for them at most:
	// Forever, or a time.
	Poll(fds []unix.PollFd) (all []unix.PollFd, wait time.Duration)
	// Run does what is due, if anything, and does not wait. It is called for all tasks when any has something to do.
	Run()
}

// Forever is a wait without an end.
const Forever time.Duration = -1

// Now is the time since the machine's boot, with that in suspension: CLOCK_BOOTTIME of clock_gettime(2).
func Now() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // fails for no clock that there is
	return time.Duration(t.Nano())
}

// Loop is a list of tasks. The zero value has none.
type Loop struct {
	Tasks []Task
	// Warn is told of a task that panicked. The task is not run again.
	Warn func(error)

	fds []unix.PollFd
}

// Step waits until a task has something to do, fd can be read from (none if negative), or the time limit has passed, and
// runs the tasks. It returns whether fd can be read from, or was closed.
func (l *Loop) Step(fd int, limit time.Duration) (ready bool, err error) {
	l.fds = append(l.fds[:0], unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	for i := 0; i < len(l.Tasks); i++ {
		var wait time.Duration
		err := op.Protect(func() error {
			l.fds, wait = l.Tasks[i].Poll(l.fds)
			return nil
		})
		if err != nil {
			l.drop(i, err)
			i--
			continue
		}
		if wait >= 0 && (limit < 0 || wait < limit) {
			limit = wait
		}
	}
	if err := poll(l.fds, limit); err != nil {
		return false, err
	}
	ready = l.fds[0].Revents != 0
	for i := 0; i < len(l.Tasks); i++ {
		err := op.Protect(func() error {
			l.Tasks[i].Run()
			return nil
		})
		if err != nil {
			l.drop(i, err)
			i--
		}
	}
	return ready, nil
}

// poll waits for one of fds, for a time limit or, if it is negative, for ever. A signal ends it early.
func poll(fds []unix.PollFd, limit time.Duration) error {
	milliseconds := -1
	if limit >= 0 {
		// Rounded up, or the last millisecond would be spent in a busy loop.
		milliseconds = int(min((limit+time.Millisecond-1)/time.Millisecond, 1<<30))
	}
	if _, err := unix.Poll(fds, milliseconds); err != nil && err != unix.EINTR {
		return fmt.Errorf("wait for input: %w", err)
	}
	return nil
}

func (l *Loop) drop(i int, err error) {
	l.Tasks = append(l.Tasks[:i:i], l.Tasks[i+1:]...)
	if l.Warn != nil {
		l.Warn(err)
	}
}
