package guestboot

import (
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/timesync"
)

func (g *Guest) wantsClock() bool { return g.Params.Timesync != bootparam.TimesyncOff }

func (g *Guest) prepareClock() error {
	slew := g.Params.Timesync == bootparam.TimesyncSlew
	g.clock = timesync.New(timesync.Config{
		Policy: timesync.Policy{Threshold: timesync.DefaultThreshold, Slew: slew},
		Warn:   g.warnOf("clock"),

		LastFile: timesync.LastFile,
	})
	// The task reads the host's time while the boot waits for a lease: unread, it would be stale.
	g.tasks.Tasks = append(g.tasks.Tasks, g.clock)
	return nil
}

// planClock begins to listen to the host's clock.
func (g *Guest) planClock() ([]op.Op, error) { return []op.Op{timesync.Start{Sync: g.clock}}, nil }

// planTime sets the clock by what the host has sent so far, so that the workload starts with the
// right time.
func (g *Guest) planTime() ([]op.Op, error) { return []op.Op{timesync.Apply{Sync: g.clock}}, nil }
