package mount

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Symlink makes Path a symbolic link to Target, unless something is there.
type Symlink struct{ Target, Path string }

func (s Symlink) Describe() op.Description {
	return op.Describe("symlink", s.Path, "target", s.Target)
}

func (s Symlink) Do() error {
	if err := unix.Symlink(s.Target, s.Path); err != nil && err != unix.EEXIST {
		return fmt.Errorf("symlink %s to %s: %w", s.Path, s.Target, err)
	}
	return nil
}

// Chmod sets the permissions of a file, if there is one.
type Chmod struct {
	Path string
	Mode uint32
}

func (c Chmod) Describe() op.Description {
	return op.Describe("chmod", c.Path, "mode", "0"+strconv.FormatUint(uint64(c.Mode), 8), "missing", "ok")
}

func (c Chmod) Do() error {
	if err := unix.Chmod(c.Path, c.Mode); err != nil && err != unix.ENOENT {
		return fmt.Errorf("chmod %s: %w", c.Path, err)
	}
	return nil
}
