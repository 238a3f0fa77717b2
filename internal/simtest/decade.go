// Package simtest runs state machines under a simulated clock.
package simtest

import (
	"runtime"
	"testing"
	"time"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
	// slack is how much the heap may grow after the first year, in bytes.
	slack = 64 << 10
	// stuck is the number of steps after which a simulation whose time stands still has failed.
	stuck = 10_000
)

// Decade simulates ten years. It calls step with the time, from an hour on; step does what is due
// then and returns when it is to be called next, which may be at once. The test fails if the heap
// grows from year to year, or if time stands still. Decade returns the number of steps.
func Decade(t *testing.T, step func(now time.Duration) (next time.Duration)) (steps int) {
	t.Helper()
	var first uint64
	now, standing := time.Hour, 0
	for y := range 10 {
		for end := time.Duration(y+1) * year; now < end; steps++ {
			next := step(now)
			if standing++; next > now {
				standing = 0
			}
			if next < now || standing > stuck || t.Failed() {
				t.Fatalf("after %v, in step %d, time goes on at %v", now, steps, next)
			}
			now = next
		}
		switch size := heap(); {
		case y == 0:
			first = size
		case size > first+slack:
			t.Fatalf("%d bytes of heap after the first year, %d after year %d", first, size, y+1)
		}
	}
	return steps
}

// heap returns the size of what is reachable in the heap, in bytes.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one has found in pools
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
