package timesync

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Clock is the clock that a Sync corrects.
type Clock interface {
	Now() Time
	// Step sets the clock forward by offset, or back if it is negative, and ends a Slew.
	Step(offset time.Duration) error
	// Slew makes the clock run faster or slower until it has made up for offset. It replaces the
	// rest of an earlier Slew.
	Slew(offset time.Duration) error
}

// SystemClock is the machine's clock, CLOCK_REALTIME.
//
// The kernel slews it, with the phase-locked loop of adjtimex(2): each second makes up for an
// eighth of the remaining offset. Of 100 ms, that is 12.5 ms in the first second; 7 ms remain
// after 20 s, 0.03 ms after a minute. The clock never stops or goes back: it runs at 94 to 106 %
// of its speed for 500 ms, the largest offset that the kernel slews. Nothing needs to be undone
// when the process ends. A step ends the correction, and so does a change of the kernel's
// clocksource, which can happen in the first seconds after a boot; then the next datagram starts
// it again.
type SystemClock struct{}

// Now returns the time of the clock.
func (SystemClock) Now() Time {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &t) // cannot fail for a clock that exists
	return Time(t.Nano())
}

// Step adds offset to the clock: the time between its measurement and the step does not matter.
func (SystemClock) Step(offset time.Duration) (err error) {
	defer op.Wrap(&err, "set the clock")
	seconds := offset / time.Second
	rest := offset % time.Second
	if rest < 0 {
		seconds--
		rest += time.Second
	}
	// The second field is in microseconds. ADJ_NANO would change the unit for all processes.
	return adjust(&unix.Timex{
		Modes: unix.ADJ_SETOFFSET,
		Time:  unix.Timeval{Sec: int64(seconds), Usec: rest.Microseconds()},
	})
}

// Slew makes up for offset, of at most 500 ms.
func (SystemClock) Slew(offset time.Duration) (err error) {
	var t unix.Timex
	if err := adjust(&t); err != nil {
		return fmt.Errorf("read the state of the clock: %w", err)
	}
	t.Modes = unix.ADJ_OFFSET | unix.ADJ_STATUS | unix.ADJ_NANO | unix.ADJ_TIMECONST
	// FREQHOLD: the offset does not mean that the clock's frequency is wrong.
	t.Status |= unix.STA_PLL | unix.STA_FREQHOLD
	t.Constant = 1 // an eighth: 1 / 2^(2+1)
	t.Offset = int64(offset)
	defer op.Wrap(&err, "slew the clock")
	return adjust(&t)
}

// adjust calls clock_adjtime(2). It ignores the state of the clock that the call returns: a clock
// without a time server is always in TIME_ERROR.
func adjust(t *unix.Timex) error {
	_, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, t)
	return err
}
