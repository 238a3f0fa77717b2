package mount

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/fault"
)

// Symlink makes Path a symbolic link to Target, unless something is there.
type Symlink struct{ Target, Path string }

// Describe implements boot.Op.
func (s Symlink) Describe() boot.Desc {
	return boot.Desc{Verb: "symlink", Object: s.Path, Attrs: []boot.Attr{boot.A("target", s.Target)}}
}

// Do implements boot.Op.
func (s Symlink) Do() error {
	if err := unix.Symlink(s.Target, s.Path); err != nil && err != unix.EEXIST {
		return fault.Wrap(err, "symlink ", s.Path, " to ", s.Target)
	}
	return nil
}

// Chmod sets the permissions of a file, if there is one.
type Chmod struct {
	Path string
	Mode uint32
}

// Describe implements boot.Op.
func (c Chmod) Describe() boot.Desc {
	return boot.Desc{Verb: "chmod", Object: c.Path, Attrs: []boot.Attr{
		boot.A("mode", "0"+strconv.FormatUint(uint64(c.Mode), 8)), boot.A("missing", "ok"),
	}}
}

// Do implements boot.Op.
func (c Chmod) Do() error {
	if err := unix.Chmod(c.Path, c.Mode); err != nil && err != unix.ENOENT {
		return fault.Wrap(err, "chmod ", c.Path)
	}
	return nil
}
