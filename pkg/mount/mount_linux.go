// Package mount has the mounts of a guest as operations of a boot: the base file systems, and those that a configuration
// asks for.
package mount

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/fault"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Mount mounts a file system; see mount(2) for the fields. The mount point is made where it is missing, and a target on
// which the same file system is mounted already (EBUSY) is fine.
type Mount struct {
	Type, Source, Target string
	Flags                uintptr // MS_*
	Data                 string  // options of the file system, comma-separated
	// Parents makes missing parents of the mount point too.
	Parents bool
	// Once leaves a target alone that is a mount point, whatever is mounted there.
	Once bool
	// Fresh, if not nil, is set to whether the mount was made and not there before.
	Fresh *bool
	// Unmounted, if not nil and true, saves Once the look at the mount table: nobody has mounted anything yet.
	Unmounted *bool
}

// Describe implements boot.Op.
func (m Mount) Describe() boot.Desc {
	return boot.Desc{Verb: "mount", Object: m.Target, Attrs: []boot.Attr{
		boot.A("type", m.Type), boot.A("source", m.Source), boot.A("options", optionText(m.Flags, m.Data)),
	}}
}

// Do implements boot.Op.
func (m Mount) Do() error {
	if m.Once && (m.Unmounted == nil || !*m.Unmounted) {
		mounted, err := Mounted(m.Target)
		if mounted {
			return nil
		}
		// Without /proc nothing is known; then it is better to mount twice than not at all.
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return m.wrap(err)
		}
	}
	// The mount point is nearly always there: try first, and save the round trip to the host.
	err := unix.Mount(m.Source, m.Target, m.Type, m.Flags, m.Data)
	if err == unix.ENOENT {
		if err := m.mkdir(); err != nil {
			return m.wrap(err)
		}
		err = unix.Mount(m.Source, m.Target, m.Type, m.Flags, m.Data)
	}
	if err == nil || err == unix.EBUSY {
		if m.Fresh != nil {
			*m.Fresh = err == nil
		}
		return nil
	}
	if err == unix.ENODEV {
		return m.wrap(fault.Wrap(err, "the kernel has no file system of that type"))
	}
	return m.wrap(err)
}

func (m Mount) wrap(err error) error { return fault.Wrap(err, "mount ", m.Type, " on ", m.Target) }

func (m Mount) mkdir() error {
	var err error
	if m.Parents {
		err = sysfile.MakeDirs(m.Target)
	} else if err = unix.Mkdir(m.Target, 0o755); err == unix.EEXIST {
		err = nil
	}
	return fault.Wrap(err, "make the mount point")
}

// Remount changes the options of what is mounted on Target.
type Remount struct {
	Target string
	Flags  uintptr // MS_*
	Data   string  // options of the file system, comma-separated
}

// Describe implements boot.Op.
func (r Remount) Describe() boot.Desc {
	return boot.Desc{Verb: "remount", Object: r.Target, Attrs: []boot.Attr{boot.A("options", optionText(r.Flags, r.Data))}}
}

// Do implements boot.Op.
func (r Remount) Do() error {
	return fault.Wrap(unix.Mount("", r.Target, "", r.Flags|unix.MS_REMOUNT, r.Data), "remount ", r.Target)
}

// Unsupported stands for a mount that is asked for and not made. It is an error unless something is mounted there.
type Unsupported struct{ Type, Target string }

// Describe implements boot.Op.
func (u Unsupported) Describe() boot.Desc {
	return boot.Desc{Verb: "expect mount", Object: u.Target, Attrs: []boot.Attr{boot.A("type", u.Type)}}
}

// Do implements boot.Op.
func (u Unsupported) Do() error {
	mounted, err := Mounted(u.Target)
	if err == nil && !mounted {
		err = boot.ErrUnsupported
	}
	if err != nil {
		return fault.Wrap(err, "mount ", u.Type, " on ", u.Target)
	}
	return nil
}

// Propagation sets the propagation type of a mount and all below it; Flag is MS_SHARED, MS_SLAVE, MS_PRIVATE or
// MS_UNBINDABLE.
type Propagation struct {
	Target string
	Flag   uintptr
}

// Describe implements boot.Op.
func (p Propagation) Describe() boot.Desc {
	return boot.Desc{Verb: "set propagation", Object: p.Target, Attrs: []boot.Attr{
		boot.A("options", optionText(p.Flag|unix.MS_REC, "")),
	}}
}

// Do implements boot.Op.
func (p Propagation) Do() error {
	if err := unix.Mount("", p.Target, "", p.Flag|unix.MS_REC, ""); err != nil {
		return fault.Wrap(err, "set propagation of ", p.Target)
	}
	return nil
}

// Mounted reports whether target is a mount point of this mount namespace. It asks the kernel's table, because stat would
// trigger an automount, and can hang on a dead one.
func Mounted(target string) (bool, error) {
	table, err := sysfile.Read("/proc/self/mounts", 16<<20)
	if err != nil {
		return false, fault.Wrap(err, "read the mount table")
	}
	return inTable(table, target), nil
}

// inTable finds a mount point in the text of /proc/self/mounts.
func inTable(table []byte, target string) bool {
	for len(table) > 0 {
		var line []byte
		line, table, _ = bytes.Cut(table, []byte("\n"))
		_, rest, _ := bytes.Cut(line, []byte(" "))
		point, _, ok := bytes.Cut(rest, []byte(" "))
		if ok && string(unescape(point)) == target {
			return true
		}
	}
	return false
}

// unescape undoes, in place, the octal escapes of blank, tab, newline and backslash, fstab(5).
func unescape(s []byte) []byte {
	if bytes.IndexByte(s, '\\') < 0 {
		return s
	}
	plain := s[:0]
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			plain = append(plain, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		plain = append(plain, s[i])
	}
	return plain
}

func octal(c byte) bool { return '0' <= c && c <= '7' }
