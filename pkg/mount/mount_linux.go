// Package mount has the mounts of a guest as operations of a boot: the base file systems, and those that a configuration
// asks for.
package mount

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Mount mounts a file system; see mount(2) for the fields. The mount point is made where it is missing, and a target on
// which the same file system, if it is no device's, is mounted already (EBUSY) is fine.
type Mount struct {
	Type, Source, Target string
	Flags                uintptr // MS_*
	Data                 string  // options of the file system, comma-separated
	After                Attrs   // what is set when it is mounted
	// Parents makes missing parents of the mount point too.
	Parents bool
	// Optional does nothing where the mount point is missing.
	Optional bool
	// Once leaves a target alone that is a mount point, whatever is mounted there.
	Once bool
	// Fresh, if not nil, is set to whether the mount was made and not there before.
	Fresh *bool
	// Unmounted, if not nil and true, saves Once the look at the mount table: nobody has mounted anything yet.
	Unmounted *bool
}

func (m Mount) Describe() op.Description {
	return op.Describe("mount", m.Target, "type", m.Type, "source", m.Source, "options", optionText(m.Flags, m.Data, m.After.names()...))
}

func (m Mount) Do() error {
	if there, err := m.there(); there || err != nil {
		return m.wrap(err)
	}
	return m.wrap(m.mount())
}

// there tells whether a mount that is to be made once is there.
func (m Mount) there() (bool, error) {
	if !m.Once || m.Unmounted != nil && *m.Unmounted {
		return false, nil
	}
	mounted, err := Mounted(m.Target)
	// Without /proc nothing is known; then it is better to mount twice than not at all.
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return mounted, err
}

func (m Mount) mount() error {
	device := strings.HasPrefix(m.Source, "/dev/") && m.Type != "virtiofs" // whose tags can look like that
	if device {
		// The kernel would complain on the console, and what is missing could as well be the mount point.
		if err := unix.Access(m.Source, unix.F_OK); err != nil {
			return err
		}
	}
	// The mount point is nearly always there: try first, and save the round trip to the host.
	err := unix.Mount(m.Source, m.Target, m.Type, m.Flags, m.Data)
	if m.Optional && (err == unix.ENOENT || err == unix.ENOTDIR) {
		return nil
	}
	if err == unix.ENOENT {
		if err := m.mkdir(); err != nil {
			return err
		}
		err = unix.Mount(m.Source, m.Target, m.Type, m.Flags, m.Data)
	}
	switch {
	case err == unix.ENODEV:
		return fmt.Errorf("the kernel has no file system of that type: %w", err)
	case err == unix.EINVAL && m.Type == "virtiofs":
		return fmt.Errorf("the host shares nothing by that name, or options are wrong: %w", err)
	case err != nil && (err != unix.EBUSY || device):
		return err
	}
	if m.Fresh != nil {
		*m.Fresh = err == nil
	}
	return m.After.apply(m.Target)
}

func (m Mount) wrap(err error) error {
	what := m.Type
	if m.Source != "" && m.Source != m.Type {
		what += " " + m.Source
	}
	if err != nil {
		return fmt.Errorf("mount %s on %s: %w", what, m.Target, err)
	}
	return nil
}

func (m Mount) mkdir() error {
	var err error
	if m.Parents {
		err = sysfile.MakeDirs(m.Target)
	} else if err = unix.Mkdir(m.Target, 0o755); err == unix.EEXIST {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	return nil
}

// Remount changes the options of what is mounted on Target.
type Remount struct {
	Target string
	Flags  uintptr // MS_*
	Data   string  // options of the file system, comma-separated
}

func (r Remount) Describe() op.Description {
	return op.Describe("remount", r.Target, "options", optionText(r.Flags, r.Data))
}

func (r Remount) Do() error {
	if err := unix.Mount("", r.Target, "", r.Flags|unix.MS_REMOUNT, r.Data); err != nil {
		return fmt.Errorf("remount %s: %w", r.Target, err)
	}
	return nil
}
