//go:build linux || freebsd

// Package loop runs tasks side by side in one goroutine, by poll(2). It is what PID 1 does while
// its workload runs: tasks share state without locks, and a panic in one of them is caught.
package loop

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Task is work that mostly waits for descriptors and times.
type Task interface {
	// Poll appends to fds the descriptors that the task wants to read from, and returns how long
	// it can wait for them: Forever, or a time of 0 or more.
	Poll(fds []unix.PollFd) (all []unix.PollFd, wait time.Duration)
	// Run does the work that is due, if any, without blocking. The loop calls it when a descriptor
	// of the task is ready or its time may have passed.
	Run()
}

// Forever is a wait without a time limit.
const Forever time.Duration = -1

// Pause waits for a time, at most d, before the caller looks again for what it waits for. An error
// means that the caller must give up. A nil Pause sleeps.
type Pause func(d time.Duration) error

// For calls the Pause.
func (p Pause) For(d time.Duration) error {
	if p == nil {
		time.Sleep(d)
		return nil
	}
	return p(d)
}

// Now returns the time since some moment at or before the boot. It never goes back, and includes
// the time in which the machine was suspended.
func Now() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(clock, &t) // cannot fail for a clock that exists
	return time.Duration(t.Nano())
}

// Loop is a list of tasks. The zero value has none.
type Loop struct {
	Tasks []Task
	// Warn, unless nil, receives the error of a task that panicked. The task is removed.
	Warn func(error)

	fds   []unix.PollFd
	polls []polled
}

// polled is what a task's Poll has returned.
type polled struct {
	first, end int // its part of fds
	due        bool
}

// Step waits until fd (if not negative) or a task's descriptor can be read from, or the time limit
// or a task's time has passed. Then it runs the tasks that may have work. It returns whether fd can
// be read from or was closed. A negative limit stands for no limit. A signal may end the wait early.
// An error means that poll(2) failed; the tasks have not been run then.
func (l *Loop) Step(fd int, limit time.Duration) (ready bool, err error) {
	l.fds = append(l.fds[:0], unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	l.polls = l.polls[:0]
	l.each(func(t Task) {
		first := len(l.fds)
		var wait time.Duration
		if l.fds, wait = t.Poll(l.fds); wait >= 0 && (limit < 0 || wait < limit) {
			limit = wait
		}
		l.polls = append(l.polls, polled{first, len(l.fds), wait == 0})
	})
	n, err := poll(l.fds, limit)
	if err != nil {
		return false, err
	}
	ready = l.fds[0].Revents != 0
	i := 0
	l.each(func(t Task) {
		p := l.polls[i]
		i++
		if n <= 0 || p.due || slices.ContainsFunc(l.fds[p.first:p.end], isReady) {
			t.Run()
		}
	})
	return ready, nil
}

func isReady(fd unix.PollFd) bool { return fd.Revents != 0 }

// each calls f for each task. It removes a task for which f panics.
func (l *Loop) each(f func(Task)) {
	for i := 0; i < len(l.Tasks); i++ {
		err := op.Protect(func() error {
			f(l.Tasks[i])
			return nil
		})
		if err == nil {
			continue
		}
		l.Tasks = slices.Delete(l.Tasks, i, i+1)
		i--
		if l.Warn != nil {
			l.Warn(err)
		}
	}
}

// poll waits for one of fds, for at most limit or, if that is negative, without a time limit. It
// returns how many are ready, a negative number if a signal has ended the wait.
func poll(fds []unix.PollFd, limit time.Duration) (n int, err error) {
	milliseconds := -1
	if limit >= 0 {
		// Rounded up: rounded down, the last fraction would be spent in a busy loop.
		milliseconds = int(min((limit+time.Millisecond-1)/time.Millisecond, 1<<30))
	}
	if n, err = unix.Poll(fds, milliseconds); err != nil && err != unix.EINTR {
		return 0, fmt.Errorf("poll: %w", err)
	}
	return n, nil
}
