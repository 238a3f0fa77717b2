package mount

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Host describes where a configuration and its mounts come from.
type Host struct {
	// BlockRoot says that the root file system is on a disk, not a directory of the host.
	BlockRoot bool
	// RuntimeMounts says that a container runtime on the host has made all mounts, in its own mount
	// namespace, before it started the machine.
	RuntimeMounts bool
	// Pristine is passed on to the mounts of the plan, see Mount.Pristine.
	Pristine *bool
}

// Configured returns the operations for the mounts of an OCI configuration, in their order.
//
// Base file systems (IsBase) exist already: only their attributes change, such as read-only and
// nosuid. The source of a bind is a path in the guest. If a runtime on the host has made the mounts
// and the root is the host's directory, binds are visible already and left alone, unless their
// source is on a file system that the plan itself mounts. A bind from such a root whose source is
// missing is skipped, because the source may be a path on the host.
func Configured(mounts []specs.Mount, host Host) []op.Op {
	p := planner{host: host}
	for _, m := range mounts {
		p.add(m)
	}
	return p.ops
}

type planner struct {
	host    Host
	mounted []string // targets of the file systems, not binds, that the plan mounts
	ops     []op.Op
}

// add plans an entry of the configuration.
func (p *planner) add(m specs.Mount) {
	target := path.Clean("/" + m.Destination)
	base := IsBase(target) || target == "/"
	o := parse(m.Options)
	if len(o.unsupported) != 0 {
		p.ops = append(p.ops, IgnoreOptions{Target: target, Options: o.unsupported})
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
	if bind || base { // in other cases mount(2) sets them
		after.Set, after.Clear = o.flags&attributes, o.cleared&attributes
	}
	source := path.Clean("/" + m.Source)
	bound := p.host.RuntimeMounts && !p.host.BlockRoot // the runtime has made the binds
	switch {
	case remount, target == "/dev/shm" && m.Type == "tmpfs" && !bind && len(m.Options) != 0:
		p.ops = append(p.ops,
			Remount{Target: target, Flags: o.flags &^ unix.MS_REMOUNT, Data: o.data})
	case bind && m.Source == "":
		p.change(target, after)
	case base && (!bind || source == target || bound && !p.isMounted(source)):
		after.Propagation = 0
		p.change(target, after)
	case bind:
		if bound {
			p.keepVisible(target)
		}
		if !bound || p.isMounted(source) {
			p.ops = append(p.ops, Bind{Source: source, Target: target,
				Recursive: o.flags&unix.MS_REC != 0, After: after, Lenient: !p.host.BlockRoot})
		}
	default:
		p.mount(m, target, o)
	}
}

// change plans changes to the mount on target, if there are any.
func (p *planner) change(target string, attrs Attrs) {
	if attrs != (Attrs{}) {
		p.ops = append(p.ops, Change{Target: target, Attrs: attrs})
	}
}

// mount plans the mount of a file system.
func (p *planner) mount(entry specs.Mount, target string, o options) {
	m := Mount{Type: entry.Type, Source: entry.Source, Target: target,
		Flags: o.flags, Data: o.data, After: o.after, Parents: true}
	if m.Source == "" {
		m.Source = m.Type
	}
	if m.Type == "tmpfs" || m.Type == "mqueue" {
		m.Once, m.Pristine = true, p.host.Pristine
	}
	if m.Type == "tmpfs" {
		if slices.Contains(p.mounted, target) {
			return
		}
		if len(entry.Options) == 0 {
			m.Flags = unix.MS_NODEV | restricted
		}
		p.ops = append(p.ops, Tmpfs{Mount: m, CopyUp: o.copyUp})
	} else {
		p.ops = append(p.ops, m)
	}
	p.mounted = append(p.mounted, target)
}

// isMounted reports whether a path is on a file system that the plan mounts.
func (p *planner) isMounted(name string) bool {
	return slices.ContainsFunc(p.mounted, func(target string) bool { return within(name, target) })
}

// keepVisible arranges that a bind made by the host's runtime stays visible if a tmpfs of the plan
// covers it.
func (p *planner) keepVisible(target string) {
	for i, op := range slices.Backward(p.ops) {
		if t, ok := op.(Tmpfs); ok && within(target, t.Target) {
			t.Keep = append(t.Keep, target)
			p.ops[i] = t
			return
		}
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
