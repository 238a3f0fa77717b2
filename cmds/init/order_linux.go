package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/kmodule"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/network"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/rlimit"
	"github.com/krunbox/krunbox/pkg/rootfs"
	"github.com/krunbox/krunbox/pkg/signals"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/supervise"
	"github.com/krunbox/krunbox/pkg/sysfile"
	"github.com/krunbox/krunbox/pkg/system"
	"github.com/krunbox/krunbox/pkg/timesync"
)

// defaultConfig is where a host leaves the configuration, if it has one.
const defaultConfig = "/.krun_config.json"

// What the end of a guest may take.
const (
	grace    = 2 * time.Second  // for processes that the workload has left behind, once they are asked to end
	endLimit = 60 * time.Second // for all of it, then the machine ends whatever hangs
)

// defaultFiles is the limit on open files where none is asked for: more than the kernel's 1024, which servers exceed, but
// not so many that programs which close all possible descriptors take seconds for it.
var defaultFiles = rlimit.Limit{Resource: unix.RLIMIT_NOFILE, Soft: 65536, Hard: 1 << 20}

// tsiInterface is what programs see that look for a configured interface, while TSI carries their connections.
var tsiInterface = netif.Address{Name: "dummy0", IP: [4]byte{203, 0, 113, 1}, PrefixLen: 24}

func newGuest(name string, p bootparam.Params) *guest {
	return &guest{
		name:        name,
		params:      p,
		readCmdline: func() ([]byte, error) { return sysfile.Read("/proc/cmdline", 1<<20) },
		streams:     stdio.Inherited(),
		tasks:       loop.Loop{Warn: warn},
	}
}

// order is the boot, from the first mount to the end of the workload, and what comes after that or after a failure.
func order() (up, down []boot.Stage[*guest]) {
	up = []boot.Stage[*guest]{
		{Name: "signals", OnError: boot.Fatal, Plan: (*guest).planSignals},
		{Name: "Ctrl-Alt-Del", OnError: boot.Silent, Plan: (*guest).planCtrlAltDel},
		{Name: "modules", OnError: boot.Warn, Plan: (*guest).planModules},
		{Name: "root", OnError: boot.Fatal, Plan: (*guest).planRoot},
		{Name: "devices and processes", OnError: boot.Fatal, Plan: (*guest).planEssential},
		{Name: "console", OnError: boot.Warn, Plan: (*guest).planConsole},
		{Name: "clock", OnError: boot.Warn, Plan: (*guest).planClock},
		{Name: "network", OnError: boot.Warn, Plan: (*guest).planNetwork},
		{Name: "file systems", OnError: boot.Warn, Plan: (*guest).planFileSystems},
		{Name: "propagation", OnError: boot.Warn, Plan: (*guest).planPropagation},
		{Name: "standard streams", OnError: boot.Warn, Plan: (*guest).planStreams},
		{Name: "parameters", OnError: boot.Warn, Plan: (*guest).planParameters},
		{Name: "loopback", OnError: boot.Warn, Plan: (*guest).planLoopback},
		{Name: "TSI interface", OnError: boot.Silent, Plan: (*guest).planTSI},
		{Name: "lease request", OnError: boot.Warn, Plan: (*guest).planRequest},
		{Name: "configuration", OnError: boot.Fatal, Plan: (*guest).planConfiguration},
		{Name: "unsupported configuration", OnError: boot.Warn, Plan: (*guest).planUnsupported},
		{Name: "configured mounts", OnError: boot.Warn, Plan: (*guest).planMounts},
		{Name: "initramfs", OnError: boot.Warn, Plan: (*guest).planFree},
		{Name: "lease", OnError: boot.Warn, Plan: (*guest).planLease},
		{Name: "hostname", OnError: boot.Warn, Plan: (*guest).planHostname},
		{Name: "hosts file", OnError: boot.Silent, Plan: (*guest).planHosts},
		{Name: "kernel parameters and devices", OnError: boot.Warn, Plan: (*guest).planMachine},
		{Name: "terminal", OnError: boot.Warn, Plan: (*guest).planTerminal},
		{Name: "working directory", OnError: boot.Fatal, Plan: (*guest).planWorkdir},
		{Name: "time", OnError: boot.Warn, Plan: (*guest).planTime},
		{Name: "sidecars", OnError: boot.Warn, Plan: (*guest).planSidecars},
		{Name: "protected paths", OnError: boot.Fatal, Plan: (*guest).planProtection},
		{Name: "controllers, PID 1 mode", OnError: boot.Warn, Plan: (*guest).planOwnControllers},
		{Name: "boot report", OnError: boot.Silent, Plan: (*guest).planReport},
		{Name: "workload", OnError: boot.Fatal, Plan: (*guest).planWorkload},
		{Name: "controllers", OnError: boot.Warn, Plan: (*guest).planControllers},
		{Name: "complete boot report", OnError: boot.Silent, Plan: (*guest).planReport},
		{Name: "supervision", OnError: boot.Fatal, Plan: (*guest).planSupervision},
	}
	down = []boot.Stage[*guest]{
		{Name: "deadline", OnError: boot.Warn, Plan: (*guest).planDeadline},
		{Name: "exit code", OnError: boot.Warn, Plan: (*guest).planExitCode},
		{Name: "reason", OnError: boot.Silent, Plan: (*guest).planReason},
		{Name: "remaining processes", OnError: boot.Warn, Plan: (*guest).planStop},
		{Name: "flush", OnError: boot.Warn, Plan: (*guest).planFlush},
		{Name: "unmount", OnError: boot.Warn, Plan: (*guest).planUnmount},
		{Name: "end", OnError: boot.Warn, Plan: (*guest).planEnd},
	}
	return up, down
}

// planSignals takes over the signals that are for the workload, and keeps the root that is there.
func (g *guest) planSignals() ([]op.Op, error) {
	return []op.Op{catch{&g.signals}, rootfs.Keep{First: &g.first}}, nil
}

func (g *guest) planCtrlAltDel() ([]op.Op, error) { return []op.Op{poweroff.CtrlAltDel{}}, nil }

// planModules loads the kernel's modules that an image brings along. A libkrun host, whose kernel has none, starts init by a
// name of its own, and is not asked for a list.
func (g *guest) planModules() ([]op.Op, error) {
	if strings.HasSuffix(g.name, "init.krun") {
		return nil, nil
	}
	return kmodule.Plan(g.root + kmodule.List)
}

// planRoot changes the root file system, where the host asks for another one than the kernel has mounted.
func (g *guest) planRoot() ([]op.Op, error) {
	if !g.otherRoot() {
		return nil, nil
	}
	return rootfs.Plan(g.rootConfig(), &g.first), nil
}

func (g *guest) planEssential() ([]op.Op, error)   { return mount.Essential(&g.fresh), nil }
func (g *guest) planFileSystems() ([]op.Op, error) { return mount.Optional(&g.fresh), nil }

// planPropagation lets mounts of a workload with mount namespaces of its own reach those.
func (g *guest) planPropagation() ([]op.Op, error) {
	return []op.Op{mount.Change{Target: "/", Attrs: mount.Attrs{Propagation: unix.MS_SHARED | unix.MS_REC}}}, nil
}

func (g *guest) planConsole() ([]op.Op, error)  { return []op.Op{stdio.Reopen{}}, nil }
func (g *guest) planLoopback() ([]op.Op, error) { return []op.Op{netif.Up{Name: "lo"}}, nil }

// planStreams finds the workload's standard streams. One that takes the place of init has /dev/console itself: nobody else would
// keep it open to the end, and it would lose what is not yet written then.
func (g *guest) planStreams() ([]op.Op, error) {
	g.redirected = true
	ops := []op.Op{stdio.Redirect{ClassDir: stdio.ClassDir, Streams: g.streams}}
	if !g.params.InitPID1 {
		ops = append(ops, stdio.FindConsole{Streams: g.streams, Device: &g.console})
	}
	return ops, nil
}

// planParameters completes the arguments, and names what the host asks for by parameters and does not get.
func (g *guest) planParameters() ([]op.Op, error) {
	cmdline, err := g.readCmdline()
	g.cmdline = string(cmdline)
	g.params.Args = bootparam.RestoreArgs(g.params.Args, g.cmdline)
	return nil, errors.Join(append([]error{err}, g.complaints()...)...)
}

// planClock begins to listen to the host's clock.
func (g *guest) planClock() ([]op.Op, error) {
	if g.params.NoTimesync {
		return nil, nil
	}
	g.clock = timesync.New(timesync.Config{
		Policy: timesync.Policy{Threshold: timesync.DefaultThreshold, Slew: g.params.Slew},
		Warn:   warnLater("clock"),
	})
	return []op.Op{timesync.Start{Sync: g.clock}}, nil
}

// planTime sets the clock by what the host has sent meanwhile, so that the workload starts with the right time.
func (g *guest) planTime() ([]op.Op, error) {
	if g.clock == nil || g.clock.Missing() {
		return nil, nil
	}
	g.tasks.Tasks = append(g.tasks.Tasks, g.clock)
	return []op.Op{timesync.Apply{Sync: g.clock}}, nil
}

// planSidecars has other processes do what a workload in the place of init can't do.
func (g *guest) planSidecars() ([]op.Op, error) {
	if !g.params.InitPID1 {
		return nil, nil
	}
	var sidecars exec.Sidecars
	if g.network != nil {
		sidecars = append(sidecars, exec.Sidecar{Args: []string{"dhcpclient", "-resume", "--force"},
			Stdin: func() (int, error) { return exec.Text(g.network.Handover()) }})
	}
	if g.clock != nil && !g.clock.Missing() {
		args := []string{"krun-timesync", "-inherit", "--force"}
		if g.params.Slew {
			args = append(args, "-slew")
		}
		sidecars = append(sidecars, exec.Sidecar{Args: args,
			Stdin: func() (int, error) {
				if !timesync.HasDevice() {
					return -1, nil
				}
				return g.clock.FD(), nil
			}})
	}
	if sidecars == nil {
		return nil, nil
	}
	return []op.Op{sidecars}, nil
}

// planNetwork asks for leases. What answers is read when the lease is waited for, and what else the boot has to do is done
// meanwhile.
func (g *guest) planNetwork() ([]op.Op, error) {
	if len(g.params.DHCP) == 0 {
		return nil, nil
	}
	cfg := network.Config{
		IPv4:       true,
		IPv6:       true,
		Hostname:   g.params.Hostname,
		Warn:       warnLater("network"),
		OnHostname: g.leasedHostname,
	}
	if g.params.DHCP[0] != bootparam.AllInterfaces {
		cfg.Interfaces = g.params.DHCP
	}
	g.network = network.New(cfg)
	g.tasks.Tasks = append(g.tasks.Tasks, g.network)
	return []op.Op{network.Start{Network: g.network}}, nil
}

// planRequest answers the offers that have come, so that the lease is there when it is waited for.
func (g *guest) planRequest() ([]op.Op, error) {
	if g.network == nil {
		return nil, nil
	}
	return []op.Op{network.Answer{Network: g.network}}, nil
}

// planLease waits for leases, so that the workload starts with a network and name servers.
func (g *guest) planLease() ([]op.Op, error) {
	if g.network == nil {
		return nil, nil
	}
	return []op.Op{network.Wait{Network: g.network, Limit: g.params.DHCPTimeout, Loop: &g.tasks}}, nil
}

// leasedHostname takes the host name of a lease where the host has given none.
func (g *guest) leasedHostname(name string) {
	g.leaseHostname = name
	if g.params.Hostname == "" && g.config.Hostname == "" && g.pid != 0 { // before, planHostname sees to it
		if err := (netif.Hostname{Name: name}).Do(); err != nil {
			warnLater("network")(err)
		}
	}
}

// planTSI is for guests whose sockets the host serves (transparent socket impersonation).
func (g *guest) planTSI() ([]op.Op, error) {
	if !bootparam.HasTSI(g.cmdline) {
		return nil, nil
	}
	return []op.Op{tsiInterface}, nil
}

// planConfiguration reads the configuration, on which the stages after it depend. The default one may be missing; one that
// is named or there must be right.
func (g *guest) planConfiguration() ([]op.Op, error) {
	path, file := g.configPath()
	data, err := sysfile.Read(file, guestconfig.MaxSize)
	if first, kept := g.first.FD(); kept && g.otherRoot() && errors.Is(err, unix.ENOENT) {
		// The image has none; the host may have left one where init came from.
		data, err = readFirst(first, path, err)
	}
	return nil, g.takeConfig(file, data, err)
}

// readFirst reads a file of the first root, whose descriptor is first. Where that has none either, the error is missing.
func readFirst(first int, name string, missing error) ([]byte, error) {
	data, err := sysfile.Read("/proc/self/fd/"+strconv.Itoa(first)+"/"+name, guestconfig.MaxSize)
	if errors.Is(err, unix.ENOENT) {
		return nil, missing
	}
	return data, err
}

// planUnsupported names what the configuration asks for and does not get.
func (g *guest) planUnsupported() ([]op.Op, error) {
	if len(g.config.Unsupported) == 0 {
		return nil, nil
	}
	return nil, fmt.Errorf("%s: %w", strings.Join(g.config.Unsupported, ", "), op.ErrUnsupported)
}

// planMounts are the mounts of the configuration, and a /run unless it has one, or has something in it.
func (g *guest) planMounts() ([]op.Op, error) {
	entries := make([]mount.Entry, len(g.config.Mounts))
	run := !g.params.NoRunTmpfs
	for i, m := range g.config.Mounts {
		entries[i] = mount.Entry(m)
		at := path.Clean("/" + m.Destination)
		run = run && at != "/run" && !strings.HasPrefix(at, "/run/")
	}
	if word := g.config.RootfsPropagation; word != "" {
		entries = append(entries, mount.Entry{Destination: "/", Options: []string{word}})
	}
	ops := mount.Configured(entries, mount.Host{
		BlockRoot:     g.blockRoot(),
		RuntimeMounts: g.config.MountNamespace,
		Unmounted:     &g.fresh,
	})
	if run {
		ops = append(ops, mount.Run(&g.fresh))
	}
	return ops, nil
}

// planFree forgets an initramfs that init came from, once the configuration has been looked for there. An overlay over it needs it.
func (g *guest) planFree() ([]op.Op, error) {
	if !g.blockRoot() {
		return nil, nil
	}
	return []op.Op{rootfs.Free{First: &g.first}}, nil
}

// planProtection takes away what the workload shall not see or change: when all else that the boot does is done.
func (g *guest) planProtection() (ops []op.Op, err error) {
	if len(g.config.MaskedPaths) > 0 {
		ops = append(ops, mount.Mask(g.config.MaskedPaths))
	}
	if len(g.config.ReadonlyPaths) > 0 {
		ops = append(ops, mount.ReadOnly(g.config.ReadonlyPaths))
	}
	if g.config.RootReadonly {
		ops = append(ops, mount.ReadOnlyRoot())
	}
	return ops, nil
}

func (g *guest) planHostname() ([]op.Op, error) {
	ops := []op.Op{netif.Hostname{Name: g.hostname()}}
	if name := g.config.Domainname; name != "" {
		ops = append(ops, system.Domainname{Name: name})
	}
	return ops, nil
}

func (g *guest) hostname() string {
	name := "localhost"
	for _, given := range []string{g.leaseHostname, g.params.Hostname, g.config.Hostname} {
		if given != "" {
			name = given
		}
	}
	return name
}

// planHosts sees to it that the host's name can be looked up. A root that can't have the file is good all the same.
func (g *guest) planHosts() ([]op.Op, error) {
	return []op.Op{system.Hosts{Hostname: g.hostname()}}, nil
}

// planMachine is what the configuration wants of the kernel and of /dev.
func (g *guest) planMachine() (ops []op.Op, err error) {
	for _, s := range g.config.Sysctls {
		ops = append(ops, system.Sysctl(s))
	}
	for _, d := range g.config.Devices {
		ops = append(ops, system.Device(d))
	}
	return ops, nil
}

// planControllers has cgroups below the root use what controllers the kernel has. It takes the kernel longer than all its
// mounts, so the workload does not wait for it, unless init becomes the workload and can't do it later.
func (g *guest) planControllers() ([]op.Op, error) {
	if g.params.InitPID1 {
		return nil, nil
	}
	return []op.Op{mount.Controllers{Dir: "/sys/fs/cgroup"}}, nil
}

func (g *guest) planOwnControllers() ([]op.Op, error) {
	if !g.params.InitPID1 {
		return nil, nil
	}
	return []op.Op{mount.Controllers{Dir: "/sys/fs/cgroup"}}, nil
}

// planReport leaves on /run what became of the stages so far, where that is asked for and the guest has a /run.
func (g *guest) planReport() ([]op.Op, error) {
	if !g.params.Debug {
		return nil, nil
	}
	return []op.Op{writeReport{&g.outcomes}}, nil
}

// planTerminal gives a terminal without a size one.
func (g *guest) planTerminal() ([]op.Op, error) {
	size := g.config.ConsoleSize
	return []op.Op{exec.WindowSize{Streams: *g.streams, Height: size.Height, Width: size.Width,
		Env: slices.Concat(g.config.Env, g.params.Environ)}}, nil
}

// planWorkload is the workload's start; or it becomes PID 1 itself.
func (g *guest) planWorkload() ([]op.Op, error) {
	limits, err := g.limits()
	if err != nil {
		return nil, err
	}
	user, err := g.user()
	if err != nil {
		return nil, err
	}
	c := &g.config
	spec := exec.Spec{
		Args:            exec.Argv(g.params.Init, c.Args, g.params.Args),
		User:            user,
		Capabilities:    c.Capabilities,
		NoNewPrivileges: c.NoNewPrivileges,
		OOMScoreAdj:     c.OOMScoreAdj,
		Scheduler:       c.Scheduler,
		IOPriority:      c.IOPriority,
		CPUs:            c.CPUs,

		Limits:  limits,
		Wanted:  []rlimit.Limit{defaultFiles},
		Streams: *g.streams,
		Console: g.console,

		NewSession:  true,
		CloseOthers: true,
	}
	spec.Env = g.env(user)
	if g.params.InitPID1 {
		return []op.Op{exec.Exec{Spec: spec}}, nil
	}
	return []op.Op{
		exec.Start{Spec: spec, PID: &g.pid},
		stdio.Close{Streams: g.streams}, // so that the host sees the workload close them
	}, nil
}

// planSupervision looks after the workload until it ends.
func (g *guest) planSupervision() ([]op.Op, error) {
	if g.params.InitPID1 {
		return nil, nil
	}
	g.tasks.Tasks = append(g.tasks.Tasks, &supervise.PowerKeys{})
	return []op.Op{supervise.Watch{
		PID:     &g.pid,
		Signals: g.signals,
		Tasks:   &g.tasks,
		Stop: supervise.StopPolicy{
			Signal:  syscall.Signal(g.config.StopSignal),
			Timeout: g.params.StopTimeout,
			Group:   g.params.SignalGroup,
		},
		Status: &g.status,
	}}, nil
}

// planDeadline ends the machine in any case.
func (g *guest) planDeadline() ([]op.Op, error) {
	return []op.Op{poweroff.Deadline{After: endLimit, Arm: signals.RestartAfter}}, nil
}

func (g *guest) planExitCode() ([]op.Op, error) {
	return []op.Op{poweroff.Report{Root: "/", FD: g.first.FD, Code: &g.code}}, nil
}

func (g *guest) planFlush() ([]op.Op, error) { return []op.Op{poweroff.Sync{}}, nil }
func (g *guest) planEnd() ([]op.Op, error)   { return []op.Op{poweroff.PowerOff{}}, nil }

// planUnmount leaves the file systems on disks clean, and the one that takes an overlay's changes, which is mounted nowhere.
func (g *guest) planUnmount() ([]op.Op, error) {
	ops := []op.Op{mount.Teardown{}}
	if g.rootConfig().Overlay != "" {
		ops = append(ops, rootfs.Clean{First: &g.first})
	}
	return ops, nil
}

// planReason says why there is no workload, when the host has the exit code: a console that nobody reads may keep the line for
// ever.
func (g *guest) planReason() ([]op.Op, error) {
	if g.failure == nil {
		return nil, nil
	}
	return []op.Op{sayReason{g}}, nil
}

// planStop ends what the workload has left behind.
func (g *guest) planStop() ([]op.Op, error) {
	stop := supervise.StopOthers{Grace: grace}
	if g.signals != nil {
		stop.Signals = g.signals
	}
	return []op.Op{stop}, nil
}

// env is the workload's environment. The kernel always sets HOME to /; that counts as not given, and the home directory is looked
// up.
func (g *guest) env(user *exec.User) []string {
	env := exec.NewEnv(g.params.Environ)
	if home, _ := env.Get("HOME"); home == "/" {
		env.Unset("HOME")
	}
	return g.finish(env, user)
}
