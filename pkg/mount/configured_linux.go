package mount

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

// Host describes where a configuration and its mounts come from.
type Host struct {
	// BlockRoot says that the root file system is on a disk, not a directory of the host.
	BlockRoot bool
	// RuntimeMounts says that a container runtime on the host has made all mounts, in its own mount
	// namespace, before it started the machine.
	RuntimeMounts bool
	// Targets are the mount points of the mounts, as returned by the function Targets. If it is nil,
	// the destinations of the mounts are used.
	Targets []string
	// Wait is how long to wait for a missing device or virtiofs share.
	Wait time.Duration
	// Pause waits between two attempts to mount a missing device or share. Its error ends the wait.
	Pause loop.Pause
	// Find, unless nil, finds the devices of mounts whose source is UUID=, LABEL=, PARTUUID= or
	// PARTLABEL= and a value.
	Find FindDevice
	// First, unless nil, is mounted before all mounts of the configuration.
	First *Tmpfs
}

// Configured returns the operations for the mounts of an OCI configuration, in their order.
//
// Base file systems (IsBase) are mounted already, so only their attributes change, such as read-only
// and nosuid. The source of a bind mount is a path in the guest. If a runtime on the host has made
// the mounts and the root is a directory of the host, bind mounts are visible already. They are not
// made again, unless their source is on a file system that the operations mount. A bind mount that
// a file system of the guest covers is made visible again.
//
// An operation is lenient (op.Lenient) if the workload can run without it: a mount with the option
// nofail, a mount that shows objects of the kernel, such as proc, a change of a base file system,
// and, with RuntimeMounts, a bind mount, whose source may exist only on the host. Any other failure
// must stop the boot: the workload would write to the root file system instead.
func Configured(mounts []specs.Mount, host Host) []op.Op {
	p := planner{host: host}
	if host.First != nil {
		p.do(*host.First, true)
	}
	for i, m := range mounts {
		p.destination = path.Clean("/" + m.Destination)
		target := p.destination
		if host.Targets != nil {
			target = host.Targets[i]
		}
		p.add(m, target)
	}
	return p.ops
}

// planner builds the list of operations that Configured returns.
type planner struct {
	host        Host
	destination string // of the current entry
	// mounted has the targets and destinations of the file systems, not of the bind mounts, so far. A
	// source may be below either.
	mounted []string
	ops     []op.Op
}

// do appends an operation.
func (p *planner) do(o op.Op, lenient bool) {
	if lenient {
		o = op.Lenient{Op: o}
	}
	p.ops = append(p.ops, o)
}

// add plans an entry of the configuration, to be mounted on target.
func (p *planner) add(m specs.Mount, target string) {
	base := IsBase(target) || target == "/"
	o := parse(m.Options)
	if len(o.unsupported) != 0 {
		p.do(IgnoreOptions{Target: target, Options: o.unsupported}, true)
	}
	remount := o.flags&unix.MS_REMOUNT != 0
	switch {
	case remount:
	case m.Type == "bind", m.Type == "none", m.Type == "":
		o.flags |= unix.MS_BIND
	case m.Type == "rbind":
		o.flags |= unix.MS_BIND | unix.MS_REC
	case m.Type == "cgroup": // the guest has version 2, which lacks the options of version 1
		m.Type, o.data = "cgroup2", ""
	}
	bind := o.flags&unix.MS_BIND != 0
	after := o.after
	if bind || base { // else mount(2) sets the attributes
		after.Set, after.Clear = o.flags&attributes, o.cleared&attributes
	}
	source := path.Clean("/" + m.Source)
	// If bound, the root shows the bind mounts that the runtime has made. A source on a file system
	// that the plan mounts may be meant as a path of the host: it is bound only if it exists here.
	bound := p.host.RuntimeMounts && !p.host.BlockRoot
	visible := bound && !p.isMounted(source)
	lenient := o.noFail || base
	switch {
	case remount, target == "/dev/shm" && m.Type == "tmpfs" && !bind && len(m.Options) != 0:
		flags := o.flags &^ unix.MS_REMOUNT
		p.do(Remount{Target: target, Flags: flags, Data: o.data}, lenient)
		if remount {
			p.change(target, o.after, lenient)
		}
	case bind && m.Source == "":
		p.change(target, after, lenient)
	case base && (!bind || source == target || visible):
		after.Propagation = 0
		p.change(target, after, lenient)
	case bind:
		if bound {
			p.keepVisible(target)
		}
		if !visible {
			p.do(Bind{Source: source, Target: target, Recursive: o.flags&unix.MS_REC != 0,
				After: after, Lenient: bound}, lenient || p.host.RuntimeMounts)
		}
	default:
		p.mount(m, target, o)
	}
}

// change plans changes to the mount on target, if there are any.
func (p *planner) change(target string, attrs Attrs, lenient bool) {
	if attrs != (Attrs{}) {
		p.do(Change{Target: target, Attrs: attrs}, lenient)
	}
}

// mount plans the mount of a file system.
func (p *planner) mount(entry specs.Mount, target string, o options) {
	m := Mount{Type: entry.Type, Source: entry.Source, Target: target, Flags: o.flags,
		Data: o.data, After: o.after, Parents: true, Wait: p.host.Wait, Pause: p.host.Pause}
	if m.Source == "" {
		m.Source = m.Type
	}
	if namesDevice(m.Source) && m.Type != "virtiofs" {
		m.Find = p.host.Find
	}
	m.Once = m.Type == "tmpfs" || m.Type == "mqueue"
	m.IfKnown = showsKernel(m.Type)
	if m.Type == "tmpfs" {
		if slices.Contains(p.mounted, target) { // see Mount.Once
			return
		}
		if len(entry.Options) == 0 {
			m.Flags = unix.MS_NODEV | restricted
		}
		p.do(Tmpfs{Mount: m, CopyUp: o.copyUp}, o.noFail)
	} else {
		p.do(m, o.noFail || m.IfKnown)
	}
	p.mounted = append(p.mounted, target, p.destination)
}

// showsKernel reports whether file systems of a type show objects of the kernel, not stored data.
func showsKernel(fsType string) bool {
	switch fsType {
	case "proc", "sysfs", "mqueue", "cgroup2", "devpts", "devtmpfs", "debugfs", "tracefs",
		"securityfs", "selinuxfs", "configfs", "fusectl", "pstore", "efivarfs", "bpf", "binfmt_misc":
		return true
	}
	return false
}

// isMounted reports whether a path is on a file system that the plan mounts.
func (p *planner) isMounted(name string) bool {
	return slices.ContainsFunc(p.mounted, func(target string) bool { return within(name, target) })
}

// keepVisible plans that a bind mount made by the host's runtime stays visible if a file system of
// the guest covers its target.
func (p *planner) keepVisible(target string) {
	for i, o := range slices.Backward(p.ops) {
		lenient, isLenient := o.(op.Lenient)
		if isLenient {
			o = lenient.Op
		}
		if t, ok := o.(Tmpfs); ok && within(target, t.Target) {
			t.Keep = append(t.Keep, target)
			if p.ops[i] = t; isLenient {
				p.ops[i] = op.Lenient{Op: t}
			}
			return
		}
	}
	covers := func(dir string) bool { return within(target, dir) }
	if p.isMounted(target) || slices.ContainsFunc(kernelDirs, covers) {
		p.do(Uncover{target}, false)
	}
}

// IgnoreOptions stands for mount options that are not supported. Do always fails, with an error
// that names them and wraps op.ErrUnsupported.
type IgnoreOptions struct {
	Target  string
	Options []string
}

func (i IgnoreOptions) Describe() op.Description {
	return op.Describe("ignore options", i.Target, "options", strings.Join(i.Options, ","))
}

func (i IgnoreOptions) Do() error {
	return fmt.Errorf("mount on %s: option %s: %w",
		i.Target, strings.Join(i.Options, ","), op.ErrUnsupported)
}
