//go:build linux || freebsd

package loop

import (
	"runtime/debug"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"
)

// Collector is a Task that keeps the memory of a long-running process small. Package runtime lets 4
// MiB of garbage accumulate before it collects any, and keeps what it freed; a Collector collects
// after Limit bytes were allocated, and gives the memory back to the system.
type Collector struct {
	Limit uint64 // bytes

	sample [1]metrics.Sample
	last   uint64 // bytes allocated in the process up to the last collection
}

// Poll implements Task.
func (c *Collector) Poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) { return fds, Forever }

// Run implements Task.
func (c *Collector) Run() {
	c.sample[0].Name = "/gc/heap/allocs:bytes"
	metrics.Read(c.sample[:])
	if c.sample[0].Value.Kind() != metrics.KindUint64 {
		return
	}
	if allocated := c.sample[0].Value.Uint64(); allocated-c.last >= c.Limit {
		c.last = allocated
		debug.FreeOSMemory()
	}
}
