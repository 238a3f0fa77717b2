package guestboot

import (
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/kmodule"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/network"
	"github.com/krunbox/krunbox/pkg/rootfs"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/supervise"
	"github.com/krunbox/krunbox/pkg/system"
	"github.com/krunbox/krunbox/pkg/timesync"
)

// platform is the part of a Guest that only Linux has.
type platform struct {
	originalRoot rootfs.OriginalRoot
	modules      []kmodule.Module
	run          mount.RunDir
	hosts        system.HostsState
	targets      []string // mount points of the configuration's mounts
	streams      *stdio.Streams
	relay        *stdio.Relay
	streamsFound bool             // stage "standard streams" is over
	console      string           // device behind /dev/console, if the workload is to have it
	leadsSession bool             // this process leads the session of the console
	consoleStuck bool             // the console does not send what was written to it
	clock        *timesync.Sync   // nil: not wanted
	network      *network.Network // nil: not asked for
	tasks        loop.Loop        // what goes on while the workload runs
	left         bool             // processes outlived the workload
	lost         bool             // data could not be written to a disk
	kill         supervise.Kill   // what the kernel has killed for memory, if the workload was killed

	leaseHostname string
	outcomes      []boot.Outcome // for the report
}

func (g *Guest) init() {
	g.streams, g.relay = stdio.Inherited(), &stdio.Relay{}
	g.tasks.Warn = g.warn
	if !g.Params.InitPID1 {
		g.tasks.Tasks = []loop.Task{&supervise.PowerKeys{}}
	}
}

// stderr returns a descriptor that leads to where the workload's standard error does. Lines for it
// come after what the workload has written if stage "output" is over.
func (g *Guest) stderr() int { return g.relay.Stderr(g.streams[unix.Stderr]) }
