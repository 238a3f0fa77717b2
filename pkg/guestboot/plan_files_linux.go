package guestboot

import (
	"errors"
	"os"
	"path"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/rootfs"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/system"
)

func (g *Guest) planConsole() ([]op.Op, error) { return []op.Op{stdio.Reopen{}}, nil }

// planStreams finds the workload's standard streams. A workload that becomes PID 1 keeps
// /dev/console itself: nobody else would keep the console open to the end, and what is not yet
// written then would be lost.
func (g *Guest) planStreams() ([]op.Op, error) {
	ops := []op.Op{g.redirect()}
	if !g.Params.InitPID1 {
		ops = append(ops, stdio.FindConsole{Streams: g.streams, Device: &g.console})
	}
	return ops, nil
}

func (g *Guest) redirect() op.Op {
	return stdio.Redirect{ClassDir: stdio.ClassDir, Streams: g.streams, Relay: g.relay, PID1: g.Params.InitPID1}
}

func (g *Guest) prepareStreams() error {
	g.streamsFound = true
	return nil
}

// prepareParameters adds the arguments that the kernel drops, and returns an error for variables of
// the host that are unsupported or malformed.
func (g *Guest) prepareParameters() error {
	var err error
	if g.Cmdline == nil {
		var line []byte
		line, err = os.ReadFile("/proc/cmdline")
		g.Cmdline = new(string(line))
	}
	g.Params.Args = bootparam.RestoreArgs(g.Params.Args, *g.Cmdline)
	return errors.Join(append([]error{err}, g.paramErrors()...)...)
}

// prepareMounts resolves symbolic links in the mount points, and examines the image's /run.
func (g *Guest) prepareMounts() error {
	g.targets = mount.Targets(g.Root, g.Config.Mounts)
	g.run = mount.FindRun(g.Root)
	return nil
}

// planMounts returns a mount for /run, and the mounts of the configuration.
func (g *Guest) planMounts() ([]op.Op, error) {
	mounts, targets := g.Config.Mounts, g.targets
	if propagation := g.Config.Linux.RootfsPropagation; propagation != "" {
		root := specs.Mount{Destination: "/", Options: []string{propagation}}
		mounts, targets = append(slices.Clip(mounts), root), append(slices.Clip(targets), "/")
	}
	return mount.Configured(mounts, mount.Host{
		BlockRoot:     g.hasBlockRoot(),
		RuntimeMounts: g.hasMountNamespace(),
		Targets:       targets,
		Wait:          g.Params.BlockRoot.Timeout,
		Pause:         g.pause,
		Find:          rootfs.FindDevice,
		First:         g.runTmpfs(),
	}), nil
}

// runTmpfs returns the tmpfs for /run, nil if there is none.
func (g *Guest) runTmpfs() *mount.Tmpfs {
	mode, t := g.Params.RunTmpfs, g.run.Tmpfs()
	if mode == bootparam.RunTmpfsNever || slices.Contains(g.targets, g.run.Path) {
		return nil
	}
	t.IfReadOnly = mode == bootparam.RunTmpfsIfNeeded && !g.run.Empty && !g.Config.RootReadonly
	return &t
}

// hasMountNamespace reports whether the configuration was written for a container with a mount
// namespace of its own, in which a runtime on the host's side has made the mounts.
func (g *Guest) hasMountNamespace() bool {
	return slices.ContainsFunc(g.Config.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.MountNamespace
	})
}

// planProtection hides and protects paths. It comes after everything else that changes the root.
func (g *Guest) planProtection() (ops []op.Op, err error) {
	if paths := g.Config.Linux.MaskedPaths; len(paths) > 0 {
		ops = append(ops, mount.Mask(paths))
	}
	if paths := g.Config.Linux.ReadonlyPaths; len(paths) > 0 {
		ops = append(ops, mount.ReadOnly(paths))
	}
	if g.Config.RootReadonly {
		ops = append(ops, mount.ReadOnlyRoot())
	}
	return ops, nil
}

func (g *Guest) planHostname() ([]op.Op, error) {
	ops := []op.Op{system.Hostname{Name: g.Settings.Hostname}}
	if name := g.Config.Domainname; name != "" {
		ops = append(ops, system.Domainname{Name: name})
	}
	return ops, nil
}

// keepsHosts reports whether the hosts file is the image's, not one that the configuration mounts.
func (g *Guest) keepsHosts() bool {
	return !slices.ContainsFunc(g.Config.Mounts, func(m specs.Mount) bool {
		return path.Clean("/"+m.Destination) == system.HostsFile
	})
}

// planHosts makes the host name resolvable. Its failure is silent: a root without the file works.
func (g *Guest) planHosts() ([]op.Op, error) {
	return []op.Op{g.hostsFile()}, nil
}

func (g *Guest) hostsFile() op.Op {
	return system.Hosts{Hostname: g.Settings.Hostname, Address: g.leaseAddress, State: &g.hosts}
}

// planSystem returns what the configuration wants of the kernel and of /dev.
func (g *Guest) planSystem() ([]op.Op, error) {
	ops := system.Sysctls(g.Config.Linux.Sysctl)
	for _, l := range g.Settings.Process.Rlimits {
		if l.Type == "RLIMIT_NOFILE" {
			most := min(l.Hard, oci.MaxOpenFiles)
			ops = append(ops, system.Raise{Name: "fs.nr_open", Value: most})
		}
	}
	for _, d := range g.Config.Linux.Devices {
		ops = append(ops, system.Device(d))
	}
	return ops, nil
}

// planTerminal gives a terminal without a size one, and keeps what is written to a serial port from
// being dropped at the end of the workload. A workload in a PID namespace leads the session of
// its terminal itself, because a session of this process is not visible there.
func (g *Guest) planTerminal() ([]op.Op, error) {
	process := &g.Settings.Process
	ops := []op.Op{exec.WindowSize{
		Streams: *g.streams, ConsoleSize: process.ConsoleSize, Env: process.Env,
	}}
	if !g.isPID1() && !g.Settings.PIDNamespace {
		ops = append(ops, exec.KeepTerminal{
			Streams: *g.streams, Device: &g.console, Kept: &g.leadsSession,
		})
	}
	return ops, nil
}

// planControllers enables the controllers of cgroups. The kernel takes longer for it once the first
// cgroup has children.
func (g *Guest) planControllers() ([]op.Op, error) {
	return []op.Op{system.EnableControllers{Dir: system.CgroupDir}}, nil
}

func (g *Guest) wantsDefaults() bool { return g.Params.MachineDefaults }

func (g *Guest) planDefaults() ([]op.Op, error) { return system.Defaults(), nil }

// planDelegation gives the cgroup of the workload to its user. Root needs no permission.
func (g *Guest) planDelegation() ([]op.Op, error) {
	uid := g.Settings.Process.User.UID
	if !g.Settings.SetUser || uid == 0 {
		return nil, nil
	}
	return []op.Op{system.DelegateCgroup{Dir: system.CgroupDir, UID: uid}}, nil
}
