//go:build linux || freebsd

package loop

import (
	"runtime"
	"testing"
)

var garbage []byte // keeps the compiler from allocating on the stack

// A Collector collects when its limit is reached, and not before.
func TestCollector(t *testing.T) {
	const limit = 1 << 20
	c := Collector{Limit: limit}
	collections := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	c.Run() // counts what was allocated before
	before := collections()
	c.Run()
	if got := collections(); got != before {
		t.Errorf("Run() without allocations collected %d times", got-before)
	}
	for range 2 * limit / (64 << 10) {
		garbage = make([]byte, 64<<10)
	}
	c.Run()
	if got := collections(); got != before+1 {
		t.Errorf("Run() after %d bytes collected %d times, want 1", 2*limit, got-before)
	}
}
