package guestboot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/imagefile"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/supervise"
	"github.com/krunbox/krunbox/pkg/system"
)

const (
	console = "/dev/console"
	logFile = "/init.log"
	// defaultConfig is the file on configDisk.
	defaultConfig = "/mnt/krun_config.json"
)

// configDisk is the disk, found by its label, on which a host leaves the configuration, if it has
// one.
var configDisk = mount.Mount{Type: "cd9660", Source: "/dev/iso9660/KRUN_CONFIG", Target: "/mnt"}

// platform is the part of a Guest that only FreeBSD has.
type platform struct {
	disk          bool   // the configuration disk is there
	leaseHostname string // never set: there is no DHCP client for FreeBSD
}

func (g *Guest) exitCode() int { return poweroff.Code(g.status) }

func (g *Guest) init() {}

// stderr returns the descriptor of the workload's standard error.
func (g *Guest) stderr() int { return unix.Stderr }

func monotonic() time.Duration { return time.Duration(time.Now().UnixNano()) }

func (g *Guest) ended(o boot.Outcome) { g.Print(unix.Stderr, o.String()) }

func (g *Guest) planConsole() ([]op.Op, error) {
	return []op.Op{stdio.Console{Path: console, Log: logFile, System: stdio.System{}}}, nil
}

func (g *Guest) planSignals() ([]op.Op, error) {
	return []op.Op{supervise.Catch{Signals: &g.signals}}, nil
}
func (g *Guest) planSession() ([]op.Op, error) { return []op.Op{exec.Session{Login: "root"}}, nil }

func (g *Guest) planLoopback() ([]op.Op, error) {
	return []op.Op{netif.Loopback{Name: "lo0"}}, nil
}

// prepareParameters returns an error for variables of the host that are unsupported or malformed.
func (g *Guest) prepareParameters() error { return errors.Join(g.paramErrors()...) }

func (g *Guest) wantsDisk() bool { return g.Params.Config == "" && g.ConfigFile == "" }
func (g *Guest) hasDisk() bool   { return g.disk }

// prepareDisk looks for the disk with the configuration.
func (g *Guest) prepareDisk() error {
	_, err := os.Stat(g.Root + configDisk.Source)
	if g.disk = err == nil; g.disk || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (g *Guest) planDisk() ([]op.Op, error) {
	if !g.disk {
		return nil, nil
	}
	return []op.Op{configDisk}, nil
}

// planUnmountDisk frees the mount point for the workload.
func (g *Guest) planUnmountDisk() ([]op.Op, error) {
	return []op.Op{mount.Unmount{Target: configDisk.Target}}, nil
}

// prepareConfiguration reads the configuration, on which the stages after it depend.
func (g *Guest) prepareConfiguration() error {
	_, file := g.configPath()
	data, err := imagefile.Read(file, guestconfig.MaxSize)
	return g.setConfig(file, data, err)
}

// reportUnsupported returns an error that names the fields of the configuration that have no effect.
func (g *Guest) reportUnsupported() error {
	c, p, l := &g.Config, &g.Config.Process, &g.Config.Linux
	fields := slices.Clone(c.Unsupported)
	for _, f := range []struct {
		name  string
		asked bool
	}{
		{"mounts", len(c.Mounts) > 0},
		{"root.readonly", c.RootReadonly},
		{"domainname", c.Domainname != ""},
		{"linux", len(l.MaskedPaths)+len(l.ReadonlyPaths)+len(l.Sysctl)+len(l.Devices) > 0 ||
			l.RootfsPropagation != ""},
		{"process.oomScoreAdj", p.OOMScoreAdj != nil},
		{"process.scheduler", p.Scheduler != nil},
		{"process.ioPriority", p.IOPriority != nil},
		{"process.execCPUAffinity", p.ExecCPUAffinity != nil},
		{"StopSignal", c.StopSignal != 0},
	} {
		if f.asked {
			fields = append(fields, f.name)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", strings.Join(fields, ", "), op.ErrUnsupported)
}

func (g *Guest) planHostname() ([]op.Op, error) {
	return []op.Op{system.Hostname{Name: g.Settings.Hostname}}, nil
}

// planWorkload starts the workload, or turns init into it. The workload must not have more rights
// than the configuration asks for: what would restrict it and is not supported is an error.
func (g *Guest) planWorkload() ([]op.Op, error) {
	if p := &g.Config.Process; p.Capabilities != nil || p.NoNewPrivileges {
		return nil, fmt.Errorf("process.capabilities, process.noNewPrivileges: %w", op.ErrUnsupported)
	}
	spec := exec.Spec{Process: g.Settings.Process, SetUser: g.Settings.SetUser, NewSession: true}
	if g.Params.InitPID1 {
		return []op.Op{exec.Exec{Spec: spec}}, nil
	}
	return []op.Op{exec.Start{Spec: spec, PID: &g.pid}}, nil
}

// planSupervision supervises the workload until it ends.
func (g *Guest) planSupervision() ([]op.Op, error) {
	stop := supervise.StopPolicy{Timeout: supervise.DefaultStopTimeout}
	return []op.Op{supervise.Watch{
		PID: &g.pid, Signals: g.signals, Stop: stop, Status: &g.status,
	}}, nil
}

func (g *Guest) planFlush() ([]op.Op, error) { return []op.Op{poweroff.Sync{}}, nil }
func (g *Guest) planEnd() ([]op.Op, error)   { return []op.Op{poweroff.PowerOff{}}, nil }
