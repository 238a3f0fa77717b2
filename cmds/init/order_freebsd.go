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
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/rlimit"
	"github.com/krunbox/krunbox/pkg/signals"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/sysfile"
	"github.com/krunbox/krunbox/pkg/workload"
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
func (g *guest) order() (up, down []boot.Stage) {
	up = []boot.Stage{
		{Name: "console", OnError: boot.Warn, Plan: boot.Ops(stdio.Console{Path: console, Log: logFile, System: stdio.System{}})},
		{Name: "signals", OnError: boot.Fatal, Plan: boot.Ops(catch{&g.signals})},
		{Name: "session", OnError: boot.Warn, Plan: boot.Ops(workload.Session{Login: "root"})},
		{Name: "parameters", OnError: boot.Warn, Plan: g.planParameters},
		{Name: "loopback", OnError: boot.Warn, Plan: boot.Ops(netif.Loopback{Name: "lo0"})},
		{Name: "configuration disk", OnError: boot.Fatal, Plan: g.planDisk},
		{Name: "configuration", OnError: boot.Fatal, Plan: g.planConfiguration},
		{Name: "configuration disk away", OnError: boot.Warn, Plan: g.planDiskAway},
		{Name: "unsupported configuration", OnError: boot.Warn, Plan: g.planUnsupported},
		{Name: "hostname", OnError: boot.Warn, Plan: g.planHostname},
		{Name: "working directory", OnError: boot.Fatal, Plan: g.planWorkdir},
		{Name: "workload", OnError: boot.Fatal, Plan: g.planWorkload},
		{Name: "supervision", OnError: boot.Fatal, Plan: g.planSupervision},
	}
	down = []boot.Stage{
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

// planParameters names what the host asks for by parameters and does not get.
func (g *guest) planParameters() ([]boot.Op, error) {
	var errs []error
	for _, name := range g.params.Unsupported {
		errs = append(errs, fault.Wrap(boot.ErrUnsupported, name))
	}
	for _, variable := range g.params.Malformed {
		errs = append(errs, fault.Wrap(errors.New("not a value that it can have"), variable))
	}
	return nil, errors.Join(errs...)
}

// planDisk mounts the disk with the configuration, where there is one and the host names no other file.
func (g *guest) planDisk() ([]boot.Op, error) {
	if g.params.Config != "" || g.configFile != "" {
		return nil, nil
	}
	switch err := unix.Access(g.root+configDisk.Source, unix.F_OK); err {
	case nil:
		g.disk = true
		return []boot.Op{configDisk}, nil
	case unix.ENOENT:
		return nil, nil
	default:
		return nil, fault.Wrap(err, "look for ", configDisk.Source)
	}
}

// planDiskAway gives the mount point back to the workload.
func (g *guest) planDiskAway() ([]boot.Op, error) {
	if !g.disk {
		return nil, nil
	}
	return []boot.Op{mount.Unmount{Target: configDisk.Target}}, nil
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
	fields := g.config.Unsupported
	if len(g.config.Mounts) > 0 {
		fields = append(slices.Clip(fields), "mounts")
	}
	if g.config.RootReadonly {
		fields = append(slices.Clip(fields), "root.readonly")
	}
	if len(fields) == 0 {
		return nil, nil
	}
	return nil, fault.Wrap(boot.ErrUnsupported, strings.Join(fields, ", "))
}

func (g *guest) planHostname() ([]boot.Op, error) {
	name := "localhost"
	for _, given := range []string{g.params.Hostname, g.config.Hostname} {
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

// planWorkload is the workload's start; or it becomes PID 1 itself.
func (g *guest) planWorkload() ([]boot.Op, error) {
	limits, err := g.limits()
	if err != nil {
		return nil, err
	}
	spec := workload.Spec{
		Args:       workload.Argv(g.params.Init, g.config.Args, g.params.Args),
		User:       g.user(),
		Limits:     limits,
		NewSession: true,
	}
	spec.Env = g.env(spec.User)
	if g.params.InitPID1 {
		return []boot.Op{workload.Exec{Spec: spec}}, nil
	}
	return []boot.Op{workload.Start{Spec: spec, PID: &g.pid}}, nil
}

// planSupervision looks after the workload until it ends.
func (g *guest) planSupervision() ([]boot.Op, error) {
	if g.params.InitPID1 {
		return nil, nil
	}
	return []boot.Op{workload.Watch{PID: &g.pid, Signals: g.signals, Status: &g.status}}, nil
}

// limits are the configuration's, and the host's parameters over them. The numbers of the latter are those of FreeBSD.
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

// env is the workload's environment: what the host gives, what the configuration adds, and the host's last word on HOME and
// TERM.
func (g *guest) env(user *workload.User) []string {
	env := workload.NewEnv(g.params.Environ)
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
