package timesync_test

import (
	"fmt"
	"os"
	"time"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/timesync"
)

// A policy decides what to do about a clock that is off.
func ExamplePolicy_Decide() {
	p := timesync.Policy{Threshold: timesync.DefaultThreshold, Slew: true}
	for _, offset := range []time.Duration{time.Hour, -50 * time.Millisecond, 0} {
		fmt.Println(offset, p.Decide(offset))
	}
	// Output:
	// 1h0m0s stepped
	// -50ms slewed
	// 0s kept
}

// A guest's init keeps the clock while it does other things.
func ExampleSync() {
	clock := timesync.New(timesync.Config{
		Policy: timesync.Policy{Threshold: timesync.DefaultThreshold},
		Warn:   func(err error) { fmt.Fprintln(os.Stderr, err) },
	})
	if err := clock.Open(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	tasks := loop.Loop{Tasks: []loop.Task{clock}}
	for {
		if _, err := tasks.Step(-1, loop.Forever); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
	}
}
