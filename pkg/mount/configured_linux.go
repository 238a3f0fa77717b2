package mount

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Entry is an entry of the OCI runtime specification's mounts.
type Entry struct {
	Destination, Type, Source string
	Options                   []string
}

// Host is what is known of where a configuration and its mounts come from.
type Host struct {
	// BlockRoot says that the root is a disk's, not a directory of the host.
	BlockRoot bool
	// RuntimeMounts says that a container runtime of the host has made all mounts, in a mount namespace of its own, before
	// it started the machine.
	RuntimeMounts bool
	// Unmounted, if not nil and true when the mounts are made, says that nobody has mounted anything but base file systems.
	Unmounted *bool
}

// Configured are the mounts of a configuration, in its order. Of file systems that every guest has (IsBase) only the
// attributes change: read-only, nosuid and such. Binds have their sources in the guest. Those that a runtime of the host has
// made already, where the root is the host's directory, are left alone, unless their sources are on what is mounted here; a
// source that is missing on such a root is taken for one of the host's.
func Configured(entries []Entry, host Host) []op.Op {
	p := planner{host: host}
	for _, e := range entries {
		p.add(e)
	}
	return p.ops
}

type planner struct {
	host Host
	here []string // where something other than a bind is mounted
	ops  []op.Op
}

func (p *planner) add(e Entry) {
	target := path.Clean("/" + e.Destination)
	base := IsBase(target) || target == "/"
	o := parse(0, e.Options)
	if len(o.unsupported) != 0 {
		p.ops = append(p.ops, Ignored{Target: target, Options: o.unsupported})
	}
	remount := o.flags&unix.MS_REMOUNT != 0
	switch {
	case remount:
	case e.Type == "bind", e.Type == "none", e.Type == "":
		o.flags |= unix.MS_BIND
	case e.Type == "rbind":
		o.flags |= unix.MS_BIND | unix.MS_REC
	case e.Type == "cgroup": // the guest has version 2, to which options of version 1 mean nothing
		e.Type, o.data = "cgroup2", ""
	}
	bind := o.flags&unix.MS_BIND != 0
	after := o.after
	if bind || base { // else mount(2) is told these
		after.Set, after.Clear = o.flags&attributes, o.cleared&attributes
	}
	source := path.Clean("/" + e.Source)
	hosts := p.host.RuntimeMounts && !p.host.BlockRoot // the runtime has made binds
	switch {
	case remount, target == "/dev/shm" && e.Type == "tmpfs" && !bind && len(e.Options) != 0:
		p.ops = append(p.ops, Remount{Target: target, Flags: o.flags &^ unix.MS_REMOUNT, Data: o.data})
	case bind && e.Source == "":
		p.change(target, after)
	case base && (!bind || source == target || hosts && !p.isHere(source)):
		after.Propagation = 0
		p.change(target, after)
	case bind:
		if hosts {
			p.keep(target)
		}
		if !hosts || p.isHere(source) {
			p.ops = append(p.ops, Bind{Source: source, Target: target, Recursive: o.flags&unix.MS_REC != 0, After: after,
				Lenient: !p.host.BlockRoot})
		}
	default:
		p.mount(e, target, o)
	}
}

// change plans changes to what is mounted, if there are any.
func (p *planner) change(target string, attrs Attrs) {
	if attrs != (Attrs{}) {
		p.ops = append(p.ops, Change{Target: target, Attrs: attrs})
	}
}

// mount plans a mount of a file system.
func (p *planner) mount(e Entry, target string, o options) {
	m := Mount{Type: e.Type, Source: e.Source, Target: target, Flags: o.flags, Data: o.data, After: o.after, Parents: true}
	if m.Source == "" {
		m.Source = m.Type
	}
	switch m.Type {
	case "tmpfs":
		if slices.Contains(p.here, target) {
			return
		}
		m.Once, m.Unmounted = true, p.host.Unmounted
		if len(e.Options) == 0 {
			m.Flags = unix.MS_NODEV | restricted
		}
		p.ops = append(p.ops, Tmpfs{Mount: m, CopyUp: o.copyUp})
	case "mqueue":
		m.Once, m.Unmounted = true, p.host.Unmounted
		fallthrough
	default:
		p.ops = append(p.ops, m)
	}
	p.here = append(p.here, target)
}

// isHere tells whether a path is on what is mounted here.
func (p *planner) isHere(name string) bool {
	return slices.ContainsFunc(p.here, func(target string) bool { return within(name, target) })
}

// keep has what the host's runtime has bound to target stay visible where a tmpfs covers it.
func (p *planner) keep(target string) {
	for i, op := range slices.Backward(p.ops) {
		if t, ok := op.(Tmpfs); ok && within(target, t.Target) {
			t.Keep = append(t.Keep, target)
			p.ops[i] = t
			return
		}
	}
}

// Ignored stands for options of a mount that can't be had. Doing it is an error that says so.
type Ignored struct {
	Target  string
	Options []string
}

func (i Ignored) Describe() op.Description {
	return op.Describe("ignore options", i.Target, "options", i.text())
}

func (i Ignored) Do() error {
	return fmt.Errorf("mount on %s: option %s: %w", i.Target, i.text(), op.ErrUnsupported)
}

func (i Ignored) text() string { return strings.Join(i.Options, ",") }
