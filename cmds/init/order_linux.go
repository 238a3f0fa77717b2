package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/exitreport"
	"github.com/krunbox/krunbox/pkg/fault"
	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/network"
	"github.com/krunbox/krunbox/pkg/rlimit"
	"github.com/krunbox/krunbox/pkg/signals"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/sysfile"
	"github.com/krunbox/krunbox/pkg/timesync"
	"github.com/krunbox/krunbox/pkg/workload"
)

// defaultConfig is where a host leaves the configuration, if it has one.
const defaultConfig = "/.krun_config.json"

// defaultFiles is the limit on open files where none is asked for: more than the kernel's 1024, which servers exceed, but
// not so many that programs which close all possible descriptors take seconds for it.
var defaultFiles = rlimit.Limit{Resource: unix.RLIMIT_NOFILE, Soft: 65536, Hard: 1 << 20}

// tsiInterface is what programs see that look for a configured interface, while TSI carries their connections.
var tsiInterface = netif.Address{Name: "dummy0", IP: [4]byte{203, 0, 113, 1}, PrefixLen: 24}

func newGuest(p bootparam.Params) *guest {
	return &guest{
		params:      p,
		readCmdline: func() ([]byte, error) { return sysfile.Read("/proc/cmdline", 1<<20) },
		streams:     stdio.Inherited(),
		tasks:       loop.Loop{Warn: warn},
	}
}

// order is the boot, from the first mount to the end of the workload, and what comes after that or after a failure.
func (g *guest) order() (up, down []boot.Stage) {
	up = []boot.Stage{
		{Name: "signals", OnError: boot.Fatal, Plan: boot.Ops(catch{&g.signals})},
		{Name: "devices and processes", OnError: boot.Fatal, Plan: boot.Ops(mount.Essential(&g.fresh)...)},
		{Name: "console", OnError: boot.Warn, Plan: boot.Ops(stdio.Reopen{})},
		{Name: "clock", OnError: boot.Warn, Plan: g.planClock},
		{Name: "network", OnError: boot.Warn, Plan: g.planNetwork},
		{Name: "file systems", OnError: boot.Warn, Plan: boot.Ops(mount.Optional(&g.fresh)...)},
		{Name: "propagation", OnError: boot.Warn, Plan: boot.Ops(mount.Propagation{Target: "/", Flag: unix.MS_SHARED})},
		{Name: "standard streams", OnError: boot.Warn, Plan: boot.Ops(stdio.Redirect{ClassDir: stdio.ClassDir, Streams: g.streams})},
		{Name: "parameters", OnError: boot.Warn, Plan: g.planParameters},
		{Name: "loopback", OnError: boot.Warn, Plan: boot.Ops(netif.Up{Name: "lo"})},
		{Name: "TSI interface", OnError: boot.Silent, Plan: g.planTSI},
		{Name: "lease request", OnError: boot.Warn, Plan: g.planRequest},
		{Name: "configuration", OnError: boot.Fatal, Plan: g.planConfiguration},
		{Name: "unsupported configuration", OnError: boot.Warn, Plan: g.planUnsupported},
		{Name: "configured mounts", OnError: boot.Warn, Plan: g.planMounts},
		{Name: "lease", OnError: boot.Warn, Plan: g.planLease},
		{Name: "hostname", OnError: boot.Warn, Plan: g.planHostname},
		{Name: "working directory", OnError: boot.Fatal, Plan: g.planWorkdir},
		{Name: "time", OnError: boot.Warn, Plan: g.planTime},
		{Name: "sidecars", OnError: boot.Warn, Plan: g.planSidecars},
		{Name: "boot report", OnError: boot.Silent, Plan: g.planReport},
		{Name: "workload", OnError: boot.Fatal, Plan: g.planWorkload},
		{Name: "complete boot report", OnError: boot.Silent, Plan: g.planReport},
		{Name: "supervision", OnError: boot.Fatal, Plan: g.planSupervision},
	}
	down = []boot.Stage{
		{Name: "exit code", OnError: boot.Warn, Plan: boot.Ops(exitreport.Report{Root: "/", Code: &g.code})},
		{Name: "flush", OnError: boot.Warn, Plan: boot.Ops(exitreport.Sync{})},
		{Name: "end", OnError: boot.Warn, Plan: boot.Ops(exitreport.PowerOff{})},
	}
	return up, down
}

// catch takes over the signals that are for the workload, so that none is lost before there is one.
type catch struct{ pipe **signals.Pipe }

func (catch) Describe() boot.Desc {
	return boot.Desc{Verb: "catch", Object: "signals for the workload"}
}

func (c catch) Do() (err error) {
	*c.pipe, err = signals.Open(workload.Handled()...)
	return err
}

// planParameters completes the arguments, and names what the host asks for by parameters and does not get.
func (g *guest) planParameters() ([]boot.Op, error) {
	var errs []error
	cmdline, err := g.readCmdline()
	if err != nil {
		errs = append(errs, err)
	}
	g.cmdline = string(cmdline)
	g.params.Args = bootparam.RestoreArgs(g.params.Args, g.cmdline)
	for _, name := range g.params.Unsupported {
		errs = append(errs, fault.Wrap(boot.ErrUnsupported, name))
	}
	for _, variable := range g.params.Malformed {
		errs = append(errs, fault.Wrap(errors.New("not a value that it can have"), variable))
	}
	if g.params.BlockRoot.Device != "" {
		errs = append(errs, fault.Wrap(boot.ErrUnsupported, bootparam.EnvBlockRootDevice, "=", g.params.BlockRoot.Device))
	}
	return nil, errors.Join(errs...)
}

// planClock begins to listen to the host's clock.
func (g *guest) planClock() ([]boot.Op, error) {
	if g.params.NoTimesync {
		return nil, nil
	}
	g.clock = timesync.New(timesync.Config{
		Policy: timesync.Policy{Threshold: timesync.DefaultThreshold, Slew: g.params.Slew},
		Warn:   warnLater("clock"),
	})
	return []boot.Op{timesync.Start{Sync: g.clock}}, nil
}

// planTime sets the clock by what the host has sent meanwhile, so that the workload starts with the right time.
func (g *guest) planTime() ([]boot.Op, error) {
	if g.clock == nil || g.clock.Missing() {
		return nil, nil
	}
	g.tasks.Tasks = append(g.tasks.Tasks, g.clock)
	return []boot.Op{timesync.Apply{Sync: g.clock}}, nil
}

// planSidecars has other processes do what a workload in the place of init can't do.
func (g *guest) planSidecars() ([]boot.Op, error) {
	if !g.params.InitPID1 {
		return nil, nil
	}
	var sidecars workload.Sidecars
	if g.network != nil {
		sidecars = append(sidecars, workload.Sidecar{Args: []string{"dhcpclient", "-resume", "--force"},
			Stdin: func() (int, error) { return workload.Text(g.network.Handover()) }})
	}
	if g.clock != nil && !g.clock.Missing() {
		args := []string{"krun-timesync", "-inherit", "--force"}
		if g.params.Slew {
			args = append(args, "-slew")
		}
		sidecars = append(sidecars, workload.Sidecar{Args: args,
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
	return []boot.Op{sidecars}, nil
}

// planNetwork asks for leases. What answers is read when the lease is waited for, and what else the boot has to do is done
// meanwhile.
func (g *guest) planNetwork() ([]boot.Op, error) {
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
	return []boot.Op{network.Start{Network: g.network}}, nil
}

// planRequest answers the offers that have come, so that the lease is there when it is waited for.
func (g *guest) planRequest() ([]boot.Op, error) {
	if g.network == nil {
		return nil, nil
	}
	return []boot.Op{network.Answer{Network: g.network}}, nil
}

// planLease waits for leases, so that the workload starts with a network and name servers.
func (g *guest) planLease() ([]boot.Op, error) {
	if g.network == nil {
		return nil, nil
	}
	return []boot.Op{network.Wait{Network: g.network, Limit: g.params.DHCPTimeout, Loop: &g.tasks}}, nil
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
func (g *guest) planTSI() ([]boot.Op, error) {
	if !bootparam.HasTSI(g.cmdline) {
		return nil, nil
	}
	return []boot.Op{tsiInterface}, nil
}

// planConfiguration reads the configuration, on which the stages after it depend. The default one may be missing; one that
// is named or there must be right.
func (g *guest) planConfiguration() ([]boot.Op, error) {
	path, file := g.params.Config, g.configFile
	if path == "" {
		path = defaultConfig
	}
	if file == "" {
		file = g.root + path
	}
	data, err := sysfile.Read(file, guestconfig.MaxSize)
	if errors.Is(err, unix.ENOENT) && g.params.Config == "" && g.configFile == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if g.config, err = guestconfig.Parse(data); err != nil {
		return nil, fault.Wrap(err, file)
	}
	return nil, nil
}

// planUnsupported names what the configuration asks for and does not get.
func (g *guest) planUnsupported() ([]boot.Op, error) {
	if len(g.config.Unsupported) == 0 {
		return nil, nil
	}
	return nil, fault.Wrap(boot.ErrUnsupported, strings.Join(g.config.Unsupported, ", "))
}

// planMounts are the tmpfs mounts of the configuration. Base file systems are there already; of /dev/shm the configuration
// may want another size. Bind mounts are the host's to make, who alone has their sources.
func (g *guest) planMounts() ([]boot.Op, error) {
	var ops []boot.Op
	for _, m := range g.config.Mounts {
		flags, data := mount.ParseOptions(0, m.Options)
		if len(m.Options) == 0 {
			flags = unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOSUID | unix.MS_RELATIME
		}
		switch {
		case m.Destination == "/dev/shm" && m.Type == "tmpfs":
			ops = append(ops, mount.Remount{Target: m.Destination, Flags: flags, Data: data})
		case mount.IsBase(m.Destination), m.Type == "", m.Type == "bind", m.Type == "none":
		case m.Type == "tmpfs":
			ops = append(ops, mount.Mount{Type: m.Type, Source: "tmpfs", Target: m.Destination, Flags: flags, Data: data,
				Parents: true, Once: true})
		default:
			ops = append(ops, mount.Unsupported{Type: m.Type, Target: m.Destination})
		}
	}
	return ops, nil
}

func (g *guest) planHostname() ([]boot.Op, error) {
	name := "localhost"
	for _, given := range []string{g.leaseHostname, g.params.Hostname, g.config.Hostname} {
		if given != "" {
			name = given
		}
	}
	return []boot.Op{netif.Hostname{Name: name}}, nil
}

func (g *guest) planWorkdir() ([]boot.Op, error) {
	dir := g.config.Cwd
	if g.params.Workdir != "" {
		dir = g.params.Workdir
	}
	if dir == "" {
		return nil, nil // the kernel started init in /
	}
	return []boot.Op{workload.Workdir{Path: dir}}, nil
}

// planReport leaves on /run what became of the stages so far, where that is asked for and the guest has a /run.
func (g *guest) planReport() ([]boot.Op, error) {
	if !g.params.Debug {
		return nil, nil
	}
	return []boot.Op{writeReport{&g.outcomes}}, nil
}

// planWorkload is the workload's start; or it becomes PID 1 itself.
func (g *guest) planWorkload() ([]boot.Op, error) {
	limits, err := g.limits()
	if err != nil {
		return nil, err
	}
	spec := workload.Spec{
		Args:    workload.Argv(g.params.Init, g.config.Args, g.params.Args),
		User:    g.user(),
		Limits:  limits,
		Wanted:  []rlimit.Limit{defaultFiles},
		Streams: *g.streams,

		NewSession:  true,
		CloseOthers: true,
	}
	spec.Env = g.env(spec.User)
	if g.params.InitPID1 {
		return []boot.Op{workload.Exec{Spec: spec}}, nil
	}
	return []boot.Op{
		workload.Start{Spec: spec, PID: &g.pid},
		stdio.Close{Streams: g.streams}, // so that the host sees the workload close them
	}, nil
}

// planSupervision looks after the workload until it ends.
func (g *guest) planSupervision() ([]boot.Op, error) {
	if g.params.InitPID1 {
		return nil, nil
	}
	return []boot.Op{workload.Watch{PID: &g.pid, Signals: g.signals, Tasks: &g.tasks, Status: &g.status}}, nil
}

// limits are the configuration's, and the host's parameters over them.
func (g *guest) limits() ([]rlimit.Limit, error) {
	given, err := rlimit.Parse(g.params.Rlimits)
	if err != nil {
		return nil, err
	}
	limits := slices.DeleteFunc(slices.Clone(g.config.Rlimits), func(l rlimit.Limit) bool {
		return slices.ContainsFunc(given, func(h rlimit.Limit) bool { return h.Resource == l.Resource })
	})
	return append(limits, given...), nil
}

func (g *guest) user() *workload.User {
	u := g.config.User
	if u == nil {
		return nil
	}
	return &workload.User{UID: u.UID, GID: u.GID, AdditionalGIDs: u.AdditionalGIDs, Umask: u.Umask}
}

// env is the workload's environment: the kernel's, what the configuration adds, and the host's last word on HOME and TERM.
// The kernel always sets HOME to /; that counts as not given, and the home directory is looked up.
func (g *guest) env(user *workload.User) []string {
	env := workload.NewEnv(g.params.Environ)
	if home, _ := env.Get("HOME"); home == "/" {
		env.Unset("HOME")
	}
	env.Merge(g.config.Env)
	if g.params.Home != "" {
		env.Set("HOME", g.params.Home)
	}
	if g.params.Term != "" {
		env.Set("TERM", g.params.Term)
	}
	if _, given := env.Get("HOME"); !given {
		env.Set("HOME", g.home(user))
	}
	return env.List()
}

// home is the user's home directory in the image's passwd file, else /.
func (g *guest) home(user *workload.User) string {
	uid := "0"
	if user != nil {
		uid = strconv.FormatUint(uint64(user.UID), 10)
	}
	passwd, err := sysfile.Read(g.root+"/etc/passwd", 1<<20)
	if err != nil {
		return "/" // an image without users is a good image
	}
	if home := workload.HomeOf(string(passwd), uid); home != "" {
		return home
	}
	return "/"
}
