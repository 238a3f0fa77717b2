//go:build linux || freebsd

package loop

import (
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// Collector is a Task that keeps the memory of a long-running process small. Package runtime does
// not collect garbage below 4 MiB, and keeps what it freed. A Collector collects after Limit bytes
// were allocated, and returns the memory to the system.
type Collector struct {
	Limit uint64 // bytes

	ran       bool          // the loop has run tasks since the last check
	checked   time.Duration // time of the last check
	allocated uint64        // by the process up to the last collection, or the first check; bytes
}

// checkInterval is the least time between two looks at what was allocated, which stop all threads
// for some microseconds.
const checkInterval = 100 * time.Millisecond

func (c *Collector) Poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) {
	if !c.ran {
		return fds, Forever
	}
	return fds, max(0, c.checked+checkInterval-Now())
}

func (c *Collector) Run() {
	now := Now()
	if c.ran = now-c.checked < checkInterval; c.ran {
		return
	}
	c.checked = now
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	switch {
	case c.allocated == 0:
		// Without further allocations there is no collection, which takes memory itself.
		c.allocated = m.TotalAlloc
	case m.TotalAlloc-c.allocated >= c.Limit:
		c.allocated = m.TotalAlloc
		debug.FreeOSMemory()
	}
}
