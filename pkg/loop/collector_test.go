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
	l := Loop{Tasks: []Task{&Collector{Limit: limit}}}
	// check lets the collector check what was allocated.
	check := func() {
		for end := Now() + 2*checkInterval; Now() < end; {
			if _, err := l.Step(-1, end-Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
	collections := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	check() // counts what was allocated before
	before := collections()
	check()
	if got := collections(); got != before {
		t.Errorf("a check without allocations collected %d times", got-before)
	}
	for range 2 * limit / (64 << 10) {
		garbage = make([]byte, 64<<10)
	}
	check()
	if got := collections(); got != before+1 {
		t.Errorf("a check after %d bytes collected %d times, want 1", 2*limit, got-before)
	}
}
