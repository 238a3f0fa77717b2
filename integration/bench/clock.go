package bench

import "time"

// nanosecond is the length of a tick where the guest's counter counts instructions, one a nanosecond.
const nanosecond = 1

// A clock finds the length of a tick of the guest's time stamp counter. QEMU's TCG gives the guest the host's counter, so
// the host compares its own with its time while the guest runs.
type clock struct {
	fixed bool
	ticks uint64
	time  time.Time
}

func startClock(fixed bool) clock {
	return clock{fixed: fixed, ticks: readTicks(), time: time.Now()}
}

// tick returns the length of a tick in nanoseconds.
func (c clock) tick() float64 {
	if c.fixed {
		return nanosecond
	}
	return float64(time.Since(c.time)) / float64(readTicks()-c.ticks)
}

// readTicks reads the processor's time stamp counter.
func readTicks() uint64
