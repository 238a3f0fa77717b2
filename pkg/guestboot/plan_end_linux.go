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
	// stopGrace is how long processes that the workload left behind have to end when asked to.
	stopGrace = 2 * time.Second
	// outputLimit is how long the host has to take the output that the workload left in pipes. It
	// leaves time for the rest of the end.
	outputLimit = 40 * time.Second
	// consoleLimit is how long a console may send nothing of what was written to it.
	consoleLimit = 2 * time.Second
	// endLimit is how long the stages down may take without writing to disks, and longestEnd how
	// long in any case. Then the machine ends, whatever hangs.
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

// planOwn makes the end independent of what the workload did to process 1 and to memory. Where memory must not be
// overcommitted, Go's runtime could get none, and would abort.
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

// awaitConsole waits for the console, whose output is dropped by the end of a session that has taken
// it from the workload's, and by the end of the machine.
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

// wasKilled reports whether SIGKILL has ended the workload, perhaps the kernel's when memory ran
// out, or a child of a shell, which passes that code on.
func (g *Guest) wasKilled() bool {
	return g.failure == nil && g.code == poweroff.SignalBase+int(unix.SIGKILL)
}

// findKill looks for what the kernel killed for memory: the workload or, where that has ended by
// itself, any other process. It does so before anything else, because the kernel's log is short.
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

// planUnmount leaves file systems on disks clean, among them the one that takes an overlay's
// changes, which is mounted nowhere.
func (g *Guest) planUnmount() ([]op.Op, error) {
	ops := []op.Op{mount.Teardown{Lost: &g.lost}}
	if g.rootConfig().Overlay != "" {
		ops = append(ops, rootfs.MakeOverlayReadOnly{Original: &g.originalRoot})
	}
	return ops, nil
}

func (g *Guest) mustReportAgain() bool { return g.left || g.lost }

// prepareFinalCode makes a failure of a workload that ended well but whose data could not be
// written.
func (g *Guest) prepareFinalCode() error {
	if g.lost && g.code == 0 {
		g.code = poweroff.InitFailed
	}
	return nil
}

func (g *Guest) planEnd() ([]op.Op, error) {
	return []op.Op{g.awaitConsole(), poweroff.PowerOff{}}, nil
}
