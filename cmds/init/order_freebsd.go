package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/supervise"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

const (
	console = "/dev/console"
	logFile = "/init.log"
)

// configDisk is where a host leaves the configuration, if it has one: a file on a disk with this label.
var configDisk = mount.Mount{Type: "cd9660", Source: "/dev/iso9660/KRUN_CONFIG", Target: "/mnt"}

// defaultConfig is the file on configDisk.
const defaultConfig = "/mnt/krun_config.json"

func newGuest(p bootparam.Params) *guest { return &guest{params: p} }

// order is the boot, from the console to the end of the workload, and what comes after that or after a failure.
//
// The console becomes the workload's controlling terminal, not that of init, which would have to give it up again for the
// workload's session, and which keys must not interrupt.
func order() (up, down []boot.Stage[*guest]) {
	up = []boot.Stage[*guest]{
		{Name: "console", OnError: boot.Warn, Plan: (*guest).planConsole},
		{Name: "signals", OnError: boot.Fatal, Plan: (*guest).planSignals},
		{Name: "session", OnError: boot.Warn, Plan: (*guest).planSession},
		{Name: "parameters", OnError: boot.Warn, Plan: (*guest).planParameters},
		{Name: "loopback", OnError: boot.Warn, Plan: (*guest).planLoopback},
		{Name: "configuration disk", OnError: boot.Fatal, Plan: (*guest).planDisk},
		{Name: "configuration", OnError: boot.Fatal, Plan: (*guest).planConfiguration},
		{Name: "configuration disk away", OnError: boot.Warn, Plan: (*guest).planDiskAway},
		{Name: "unsupported configuration", OnError: boot.Warn, Plan: (*guest).planUnsupported},
		{Name: "hostname", OnError: boot.Warn, Plan: (*guest).planHostname},
		{Name: "working directory", OnError: boot.Fatal, Plan: (*guest).planWorkdir},
		{Name: "workload", OnError: boot.Fatal, Plan: (*guest).planWorkload},
		{Name: "supervision", OnError: boot.Fatal, Plan: (*guest).planSupervision},
	}
	down = []boot.Stage[*guest]{
		{Name: "flush", OnError: boot.Warn, Plan: (*guest).planFlush},
		{Name: "end", OnError: boot.Warn, Plan: (*guest).planEnd},
	}
	return up, down
}

func (g *guest) planConsole() ([]op.Op, error) {
	return []op.Op{stdio.Console{Path: console, Log: logFile, System: stdio.System{}}}, nil
}

func (g *guest) planSignals() ([]op.Op, error) { return []op.Op{catch{&g.signals}}, nil }

func (g *guest) planSession() ([]op.Op, error) {
	return []op.Op{exec.Session{Login: "root"}}, nil
}

func (g *guest) planLoopback() ([]op.Op, error) {
	return []op.Op{netif.Loopback{Name: "lo0"}}, nil
}

func (g *guest) planFlush() ([]op.Op, error) { return []op.Op{poweroff.Sync{}}, nil }
func (g *guest) planEnd() ([]op.Op, error)   { return []op.Op{poweroff.PowerOff{}}, nil }

// planParameters names what the host asks for by parameters and does not get.
func (g *guest) planParameters() ([]op.Op, error) {
	return nil, errors.Join(g.complaints()...)
}

// planDisk mounts the disk with the configuration, where there is one and the host names no other file.
func (g *guest) planDisk() ([]op.Op, error) {
	if g.params.Config != "" || g.configFile != "" {
		return nil, nil
	}
	switch err := unix.Access(g.root+configDisk.Source, unix.F_OK); err {
	case nil:
		g.disk = true
		return []op.Op{configDisk}, nil
	case unix.ENOENT:
		return nil, nil
	default:
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", configDisk.Source, err)
		}
		return nil, nil
	}
}

// planDiskAway gives the mount point back to the workload.
func (g *guest) planDiskAway() ([]op.Op, error) {
	if !g.disk {
		return nil, nil
	}
	return []op.Op{mount.Unmount{Target: configDisk.Target}}, nil
}

// planConfiguration reads the configuration, on which the stages after it depend. The default one may be missing; one that
// is named or there must be right.
func (g *guest) planConfiguration() ([]op.Op, error) {
	_, file := g.configPath()
	data, err := sysfile.Read(file, guestconfig.MaxSize)
	return nil, g.takeConfig(file, data, err)
}

// planUnsupported names what the configuration asks for and does not get.
func (g *guest) planUnsupported() ([]op.Op, error) {
	c := &g.config
	fields := slices.Clone(c.Unsupported)
	for _, f := range []struct {
		name  string
		asked bool
	}{
		{"mounts", len(c.Mounts) > 0},
		{"root.readonly", c.RootReadonly},
		{"domainname", c.Domainname != ""},
		{"linux", len(c.MaskedPaths)+len(c.ReadonlyPaths)+len(c.Sysctls)+len(c.Devices) > 0 || c.RootfsPropagation != ""},
		{"process.oomScoreAdj", c.OOMScoreAdj != nil},
		{"process.scheduler", c.Scheduler != nil},
		{"process.ioPriority", c.IOPriority != nil},
		{"process.execCPUAffinity", c.CPUs != (oci.CPUs{})},
		{"StopSignal", c.StopSignal != 0},
	} {
		if f.asked {
			fields = append(fields, f.name)
		}
	}
	if len(fields) == 0 {
		return nil, nil
	}
	return nil, fmt.Errorf("%s: %w", strings.Join(fields, ", "), op.ErrUnsupported)
}

func (g *guest) planHostname() ([]op.Op, error) {
	name := "localhost"
	for _, given := range []string{g.params.Hostname, g.config.Hostname} {
		if given != "" {
			name = given
		}
	}
	return []op.Op{netif.Hostname{Name: name}}, nil
}

// planWorkload is the workload's start; or it becomes PID 1 itself. It does not start with more rights than were asked for.
func (g *guest) planWorkload() ([]op.Op, error) {
	if g.config.Capabilities != nil || g.config.NoNewPrivileges {
		return nil, fmt.Errorf("process.capabilities, process.noNewPrivileges: %w", op.ErrUnsupported)
	}
	limits, err := g.limits()
	if err != nil {
		return nil, err
	}
	user, err := g.user()
	if err != nil {
		return nil, err
	}
	spec := exec.Spec{
		Args:       exec.Argv(g.params.Init, g.config.Args, g.params.Args),
		User:       user,
		Limits:     limits,
		NewSession: true,
	}
	spec.Env = g.finish(exec.NewEnv(g.params.Environ), user)
	if g.params.InitPID1 {
		return []op.Op{exec.Exec{Spec: spec}}, nil
	}
	return []op.Op{exec.Start{Spec: spec, PID: &g.pid}}, nil
}

// planSupervision looks after the workload until it ends.
func (g *guest) planSupervision() ([]op.Op, error) {
	if g.params.InitPID1 {
		return nil, nil
	}
	return []op.Op{supervise.Watch{PID: &g.pid, Signals: g.signals, Status: &g.status}}, nil
}
