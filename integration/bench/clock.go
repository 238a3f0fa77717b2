package bench

import "time"

// A clock finds the frequency of the guest's time stamp counter. QEMU's TCG gives the guest the
// host's counter, so the host compares its own with the time while the guest runs.
type clock struct {
	ticks uint64
	time  time.Time
}

func startClock() clock {
	return clock{readTicks(), time.Now()}
}

// ticksPerMS returns the number of ticks in a millisecond.
func (c clock) ticksPerMS() float64 {
	return float64(readTicks()-c.ticks) / (time.Since(c.time).Seconds() * 1e3)
}
