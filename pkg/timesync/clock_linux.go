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
	// Slew makes the clock run faster or slower until it is corrected by offset. It replaces the
	// rest of an earlier Slew.
	Slew(offset time.Duration) error
}

// SystemClock is the machine's clock, CLOCK_REALTIME.
//
// The kernel slews it with the phase-locked loop of adjtimex(2), which corrects an eighth of the
// remaining offset each second. An offset of 100 ms is reduced by 12.5 ms in the first second, to
// 7 ms after 20 s and 0.03 ms after a minute. The clock never stops or goes back: for 500 ms, the
// largest offset that the kernel slews, it runs at 94 to 106 % of its speed. Nothing needs to be
// undone when the process ends. A step ends the slew, and so does a change of the kernel's
// clocksource in the first seconds after a boot; the next datagram then starts another slew.
type SystemClock struct{}

// Now returns the time of the clock.
func (SystemClock) Now() Time {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &t) // cannot fail for a clock that exists
	return Time(t.Nano())
}

// Step adds offset to the clock. The time since offset was measured does not matter.
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

// Slew corrects the clock by offset, at most 500 ms in either direction; the kernel limits it.
func (SystemClock) Slew(offset time.Duration) (err error) {
	var t unix.Timex
	if err := adjust(&t); err != nil {
		return fmt.Errorf("read the state of the clock: %w", err)
	}
	t.Modes = unix.ADJ_OFFSET | unix.ADJ_STATUS | unix.ADJ_NANO | unix.ADJ_TIMECONST
	// STA_FREQHOLD: the kernel does not infer a wrong frequency from the offset.
	t.Status |= unix.STA_PLL | unix.STA_FREQHOLD
	t.Constant = 1 // corrects 1/2^(2+1), an eighth, each second
	t.Offset = int64(offset)
	defer op.Wrap(&err, "slew the clock")
	return adjust(&t)
}

// adjust calls clock_adjtime(2). It ignores the clock state in the result, which is TIME_ERROR for
// a clock without a time server.
func adjust(t *unix.Timex) error {
	_, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, t)
	return err
}
