package timesync

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is what is kept right.
type Clock interface {
	Now() Time
	// Step sets the clock forward, or back if offset is negative, and ends a Slew.
	Step(offset time.Duration) error
	// Slew makes the clock run faster or slower until offset is made up for, which replaces what is left of an earlier Slew.
	Slew(offset time.Duration) error
}

// SystemClock is the machine's clock, CLOCK_REALTIME.
//
// The kernel slews it by itself, with the phase-locked loop of adjtimex(2): in each second it makes up for an eighth of
// what is left. Of 100 ms that is 12.5 ms in the first second; 7 ms are left after 20 s, 0.03 ms after a minute. The clock
// never stops or goes back: it runs at 94 to 106 % of its speed for the largest offset that the kernel takes at a time, 500 ms.
// Nothing has to be undone when the process ends. A step ends the correction, and so does a change of the kernel's
// clocksource, which can happen in the first seconds after a boot; the next datagram takes it up again.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() Time {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &t) // fails for no clock that there is
	return Time(t.Nano())
}

// Step implements Clock. Time that passes between the measurement of offset and the step does no harm.
func (SystemClock) Step(offset time.Duration) error {
	seconds := offset / time.Second
	rest := offset % time.Second
	if rest < 0 {
		seconds--
		rest += time.Second
	}
	// Without ADJ_NANO, which would change the unit for everybody, the second field is microseconds.
	t := unix.Timex{
		Modes: unix.ADJ_SETOFFSET,
		Time:  unix.Timeval{Sec: int64(seconds), Usec: rest.Microseconds()},
	}
	if err := adjust(&t); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

// Slew implements Clock.
func (SystemClock) Slew(offset time.Duration) error {
	var t unix.Timex
	if err := adjust(&t); err != nil {
		return fmt.Errorf("read the state of the clock: %w", err)
	}
	t.Modes = unix.ADJ_OFFSET | unix.ADJ_STATUS | unix.ADJ_NANO | unix.ADJ_TIMECONST
	// The loop corrects the offset, and does not conclude from it that the clock's frequency is wrong.
	t.Status |= unix.STA_PLL | unix.STA_FREQHOLD
	t.Constant = 1 // an eighth: 1 / 2^(2+1)
	t.Offset = int64(offset)
	if err := adjust(&t); err != nil {
		return fmt.Errorf("slew the clock: %w", err)
	}
	return nil
}

// adjust is clock_adjtime(2). What it says of the clock's state, an error among other things, is not of interest: to the
// kernel a clock without a time server is in error.
func adjust(t *unix.Timex) error {
	_, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, t)
	return err
}
