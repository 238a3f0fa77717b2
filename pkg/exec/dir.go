package exec

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Workdir is the operation that changes to a working directory, process.cwd of the OCI runtime specification. It is made
// where it is missing.
type Workdir struct{ Path string }

func (w Workdir) Describe() op.Description {
	return op.Describe("change directory", w.Path)
}

func (w Workdir) Do() error {
	err := unix.Chdir(w.Path)
	if err == unix.ENOENT {
		if err := sysfile.MakeDirs(w.Path); err != nil {
			return fmt.Errorf("make the working directory %s: %w", w.Path, err)
		}
		err = unix.Chdir(w.Path)
	}
	if err != nil {
		return fmt.Errorf("change to the working directory %s: %w", w.Path, err)
	}
	return nil
}
