package guestboot

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/rootfs"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/supervise"
	"github.com/krunbox/krunbox/pkg/system"
)

const (
	// stopGrace is the time from SIGTERM to SIGKILL for processes that the workload left behind.
	stopGrace = 2 * time.Second
	// outputLimit is how long to wait until the host has taken the output that the workload left
	// in pipes. It is less than endLimit, so that the other stages down have time.
	outputLimit = 40 * time.Second
	// consoleLimit is how long to wait for a console that sends none of its output.
	consoleLimit = 2 * time.Second
	// endLimit is how long the stages down may take without writing to disks, longestEnd how long
	// they may take in any case. After that the machine ends, even if a stage hangs.
	endLimit   = 60 * time.Second
	longestEnd = 15 * time.Minute
)

// exitCode returns the exit code of a workload that has ended: 0 if it ended its PID namespace by
// reboot(2), to switch the machine off.
func (g *Guest) exitCode() int {
	if g.Settings.PIDNamespace && poweroff.IsReboot(g.status) {
		return 0
	}
	return poweroff.Code(g.status)
}

// planOwn removes limits that the workload may have set on process 1, and makes memory available.
// If the workload has forbidden overcommitting (vm.overcommit_memory=2), Go's runtime may get no
// memory, and would abort.
func (g *Guest) planOwn() ([]op.Op, error) {
	return []op.Op{
		mount.FreeMemory{Shortage: true},
		poweroff.RaiseLimits{},
		system.Sysctl{Name: "vm.overcommit_memory", Value: "1"},
	}, nil
}

func (g *Guest) planLimits() ([]op.Op, error) { return []op.Op{poweroff.RaiseLimits{}}, nil }

func (g *Guest) planDeadline() ([]op.Op, error) {
	limit := poweroff.Deadline{After: endLimit, Most: longestEnd, Unwritten: mount.Unwritten}
	return []op.Op{limit}, nil
}

// planOutput relays what the workload has written, before the host learns how it ended, and later
// what other processes have written until they were stopped.
func (g *Guest) planOutput() ([]op.Op, error) {
	drain := stdio.Drain{Relay: g.relay, Signals: g.signals, Limit: outputLimit}
	return []op.Op{drain, g.awaitConsole()}, nil
}

// awaitConsole waits until the console has sent its output. The end of the machine, or of the
// session whose terminal the console is, would drop the rest.
func (g *Guest) awaitConsole() op.Op {
	return stdio.AwaitSent{FD: unix.Stderr, Limit: consoleLimit, Stuck: &g.consoleStuck}
}

func (g *Guest) planExitCode() ([]op.Op, error) {
	return []op.Op{poweroff.Report{Root: "/", FD: g.originalRoot.FD, Code: &g.code}}, nil
}

func (g *Guest) lacksStreams() bool { return g.failure != nil && !g.streamsFound }

// planFailedStreams finds the workload's standard error, where a user looks for the reason.
func (g *Guest) planFailedStreams() ([]op.Op, error) {
	return []op.Op{
		mount.Mount{Type: "sysfs", Source: "sysfs", Target: "/sys"},
		g.redirect(),
	}, nil
}

// wasKilled reports whether the workload's exit code is that of SIGKILL, which the kernel sends when
// memory runs out. A shell passes on the code of a child that was killed.
func (g *Guest) wasKilled() bool {
	return g.failure == nil && g.code == poweroff.SignalBase+int(unix.SIGKILL)
}

// findKill finds the process that the kernel killed because memory ran out: the workload if a signal
// ended it, otherwise any process. Its stage is the first, because the kernel's log is short.
func (g *Guest) findKill() error {
	pid := 0
	if g.status.Signaled() {
		pid = g.pid
	}
	g.kill = supervise.KilledForMemory(pid)
	return nil
}

func (g *Guest) planMemory() ([]op.Op, error) { return []op.Op{printMemory{g}}, nil }

// printMemory prints a line to the workload's standard error about what findKill has found.
type printMemory struct{ g *Guest }

func (printMemory) Describe() op.Description {
	return op.Describe("print", "what the kernel killed for memory", "unless", "nothing")
}

func (p printMemory) Do() error {
	kill := p.g.kill
	if kill.Name == "" {
		return nil
	}
	text := fmt.Sprintf("out of memory: the kernel killed %q", kill.Name)
	if kill.Guessed {
		text += " and others, probably the workload too: the kernel's log has lost what it said before"
	}
	p.g.Print(p.g.stderr(), text)
	return nil
}

// planStop ends the processes that the workload left behind. A sidecar that relays the streams ends
// when this process has closed the workload's ends.
func (g *Guest) planStop() ([]op.Op, error) {
	return []op.Op{
		stdio.Close{Streams: g.streams},
		mount.FreeMemory{Shortage: true},
		supervise.StopOthers{
			Signals: g.signals, Grace: stopGrace, Left: &g.left, Tasks: []loop.Task{g.relay},
		},
	}, nil
}

func (g *Guest) planFreeMemory() ([]op.Op, error) { return []op.Op{mount.FreeMemory{}}, nil }

func (g *Guest) planFlush() ([]op.Op, error) { return []op.Op{poweroff.Sync{}}, nil }

// planUnmount leaves file systems on disks clean, including the one that stores an overlay's
// changes, which has no mount point.
func (g *Guest) planUnmount() ([]op.Op, error) {
	ops := []op.Op{mount.Teardown{Lost: &g.lost}}
	if g.rootConfig().Overlay != "" {
		ops = append(ops, rootfs.MakeOverlayReadOnly{Original: &g.originalRoot})
	}
	return ops, nil
}

func (g *Guest) mustReportAgain() bool { return g.left || g.lost }

// prepareFinalCode replaces exit code 0 by poweroff.InitFailed if data could not be written to a
// disk.
func (g *Guest) prepareFinalCode() error {
	if g.lost && g.code == 0 {
		g.code = poweroff.InitFailed
	}
	return nil
}

func (g *Guest) planEnd() ([]op.Op, error) {
	return []op.Op{g.awaitConsole(), poweroff.PowerOff{}}, nil
}
