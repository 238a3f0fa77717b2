package guestboot

import (
	"time"

	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/rootfs"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/supervise"
)

const (
	// stopGrace is how long processes that the workload left behind have to end when asked to.
	stopGrace = 2 * time.Second
	// endLimit is how long the stages down may take. Then the machine ends, whatever hangs.
	endLimit = 60 * time.Second
)

func (g *Guest) planDeadline() ([]op.Op, error) {
	return []op.Op{poweroff.Deadline{After: endLimit}}, nil
}

func (g *Guest) planExitCode() ([]op.Op, error) {
	return []op.Op{poweroff.Report{Root: "/", FD: g.originalRoot.FD, Code: &g.code}}, nil
}

func (g *Guest) lacksStreams() bool { return g.failure != nil && !g.streamsFound }

// planFailedStreams finds the workload's standard error, where a user looks for the reason.
func (g *Guest) planFailedStreams() ([]op.Op, error) {
	return []op.Op{
		mount.Mount{Type: "sysfs", Source: "sysfs", Target: "/sys"},
		stdio.Redirect{ClassDir: stdio.ClassDir, Streams: g.streams},
	}, nil
}

// planStop ends the processes that the workload left behind.
func (g *Guest) planStop() ([]op.Op, error) {
	return []op.Op{supervise.StopOthers{Signals: g.signals, Grace: stopGrace}}, nil
}

func (g *Guest) planFlush() ([]op.Op, error) { return []op.Op{poweroff.Sync{}}, nil }

// planUnmount leaves file systems on disks clean, among them the one that takes an overlay's
// changes, which is mounted nowhere.
func (g *Guest) planUnmount() ([]op.Op, error) {
	ops := []op.Op{mount.Teardown{}}
	if g.rootConfig().Overlay != "" {
		ops = append(ops, rootfs.MakeOverlayReadOnly{Original: &g.originalRoot})
	}
	return ops, nil
}

func (g *Guest) planEnd() ([]op.Op, error) { return []op.Op{poweroff.PowerOff{}}, nil }
