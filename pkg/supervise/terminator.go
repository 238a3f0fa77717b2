//go:build linux || freebsd

package supervise

import (
	"cmp"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

// killTimeout is how long a killed process may take to disappear. One that takes longer is waiting
// in the kernel, for a disk or a server, perhaps forever.
const killTimeout = 5 * time.Second

// terminator decides when processes are asked to end, and when they are killed. It is pure: the
// caller passes times by loop.Now, and sends the signals.
type terminator struct {
	signal syscall.Signal // asks the processes to end; 0: the one that request gets
	grace  time.Duration  // from the request to SIGKILL; negative: no limit
	phase  phase
	due    time.Duration // when the phase ends
}

type phase uint8

const (
	running phase = iota
	asked
	killed
)

// request returns the signal to send for a stop request at the time now. For the first request, that
// is t.signal or, if t.signal is 0, signal. For later requests, it is SIGKILL.
func (t *terminator) request(now time.Duration, signal syscall.Signal) syscall.Signal {
	switch t.phase {
	case running:
		t.phase, t.due = asked, now+t.grace
		return cmp.Or(t.signal, signal)
	case asked:
		t.phase, t.due = killed, now+killTimeout
	}
	return unix.SIGKILL
}

// wait returns how long the phase will last from now: 0 if it is over, or loop.Forever.
func (t *terminator) wait(now time.Duration) time.Duration {
	if t.phase == running || t.phase == asked && t.grace < 0 {
		return loop.Forever
	}
	return max(0, t.due-now)
}

// expire returns the signal to send because a phase has ended, or 0. It reports whether the last
// phase is over: processes that still exist can't be killed.
func (t *terminator) expire(now time.Duration) (sig syscall.Signal, over bool) {
	switch {
	case t.wait(now) != 0:
		return 0, false
	case t.phase == killed:
		return 0, true
	}
	return t.request(now, 0), false
}
