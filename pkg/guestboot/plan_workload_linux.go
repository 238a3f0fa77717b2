package guestboot

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/rootfs"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/supervise"
	"github.com/krunbox/krunbox/pkg/timesync"
)

// planThreads starts all threads that this process will need. Limits that the workload sets may
// prevent that later.
func (g *Guest) planThreads() ([]op.Op, error) { return []op.Op{supervise.ReserveThreads{}}, nil }

// planSignals catches the signals that are for the workload, and keeps the root that init started
// on open.
func (g *Guest) planSignals() ([]op.Op, error) {
	return []op.Op{
		supervise.Catch{Signals: &g.signals},
		rootfs.OpenOriginalRoot{Original: &g.originalRoot},
	}, nil
}

// planSidecars starts processes for work that goes on while the workload is PID 1.
func (g *Guest) planSidecars() ([]op.Op, error) {
	var sidecars exec.Sidecars
	if g.network != nil {
		args := []string{"dhcpclient", "-resume", "--force"}
		if g.keepsHosts() {
			args = append(args, "-hostname", g.Settings.Hostname, "-hosts-line", g.hosts.Line)
		}
		if g.namedByLease() {
			args = append(args, "-lease-hostname")
		}
		sidecars = append(sidecars, exec.Sidecar{
			Args:  args,
			Stdin: func() (int, error) { return exec.Text(g.network.Handover()) },
		})
	}
	if g.clock != nil {
		args := []string{"krun-timesync", "-inherit", "--force"}
		if g.Params.Timesync == bootparam.TimesyncSlew {
			args = append(args, "-slew")
		}
		sidecars = append(sidecars, exec.Sidecar{Args: args, Stdin: g.clockSocket})
	}
	sidecars = append(sidecars, exec.Sidecar{
		Args:  []string{"redirect-stdio", "-resume"},
		Stdin: g.relayState,
		Files: g.relay.Files,
		Await: true,
	})
	return []op.Op{sidecars}, nil
}

// relayState returns the state for the sidecar that relays the streams, -1 if none is a port.
func (g *Guest) relayState() (int, error) {
	if g.relay.Idle() {
		return -1, nil
	}
	return exec.Text(g.relay.Handover())
}

// clockSocket returns the socket for the sidecar that sets the clock, -1 if no host sends its time.
func (g *Guest) clockSocket() (int, error) {
	if g.clock.Missing() || !timesync.HasDevice() {
		return -1, nil
	}
	return g.clock.FD(), nil
}

// timerSlack is the kernel's default. The binary's entry point sets a longer one for Go's runtime,
// which threads of this process may still have.
const timerSlack = 50 * time.Microsecond

// planTimerSlack restores the default slack, so that signals are received without delay while the
// workload runs.
func (g *Guest) planTimerSlack() ([]op.Op, error) {
	return []op.Op{supervise.TimerSlack(timerSlack)}, nil
}

// planWorkload starts the workload, or turns init into it.
func (g *Guest) planWorkload() ([]op.Op, error) {
	s := &g.Settings
	spec := exec.Spec{
		Process:        s.Process,
		SetUser:        s.SetUser,
		DefaultRlimits: s.DefaultRlimits,
		Streams:        *g.streams,
		Console:        g.console,
		NewSession:     !g.leadsSession,
		Foreground:     g.leadsSession,
		CloseOthers:    true,
		PIDNamespace:   s.PIDNamespace,
		TimerSlack:     timerSlack,
		ProcMounts:     func() ([]string, error) { return mount.Points("/proc") },
	}
	if g.Params.InitPID1 {
		return []op.Op{exec.Exec{Spec: spec}}, nil
	}
	return []op.Op{
		exec.Start{Spec: spec, PID: &g.pid},
		stdio.Close{Streams: g.streams},
	}, nil
}

func (g *Guest) prepareSupervision() error {
	if !g.relay.Idle() {
		g.tasks.Tasks = append(g.tasks.Tasks, g.relay)
	}
	if g.network != nil {
		g.network.ConfirmAfterSleep() // not before: the boot itself may set the clock
	}
	return nil
}

// stopRequest returns an error if a stop request has come before the workload was started. The error
// has the exit code of a workload that the signal kills.
func (g *Guest) stopRequest() error {
	sig := supervise.StopRequest(g.signals)
	if sig == 0 {
		return nil
	}
	name := "SIGTERM"
	if sig == unix.SIGINT {
		name = "SIGINT"
	}
	return &exec.StartError{
		Op:   "stopped by " + name,
		Err:  errors.New("the workload was not started"),
		Code: poweroff.SignalBase + int(sig),
	}
}

// pause lets the tasks run for a time, at most d. It fails if a stop request has come.
func (g *Guest) pause(d time.Duration) error {
	defer g.waiting()()
	if _, err := g.tasks.Step(-1, d); err != nil {
		time.Sleep(d)
	}
	return g.stopRequest()
}

// planSupervision supervises the workload until it ends.
func (g *Guest) planSupervision() ([]op.Op, error) {
	return []op.Op{supervise.Watch{
		PID:     &g.pid,
		Signals: g.signals,
		Tasks:   &g.tasks,
		Stop: supervise.StopPolicy{
			Signal:  unix.Signal(g.Config.StopSignal),
			Timeout: g.Params.StopTimeout,
			Group:   g.Params.SignalGroup,
		},
		Status: &g.status,
	}}, nil
}
