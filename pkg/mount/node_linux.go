package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Symlink makes Path a symbolic link to Target, unless something exists there.
type Symlink struct{ Target, Path string }

func (s Symlink) Describe() op.Description {
	return op.Describe("symlink", s.Path, "target", s.Target)
}

func (s Symlink) Do() error {
	if err := os.Symlink(s.Target, s.Path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Chmod sets the permissions of a file. It does nothing if the file is missing.
type Chmod struct {
	Path string
	Mode uint32
}

func (c Chmod) Describe() op.Description {
	return op.Describe("chmod", c.Path, "mode", fmt.Sprintf("%#o", c.Mode), "missing", "ok")
}

func (c Chmod) Do() error {
	if err := unix.Chmod(c.Path, c.Mode); err != nil && err != unix.ENOENT {
		return fmt.Errorf("chmod %s: %w", c.Path, err)
	}
	return nil
}
