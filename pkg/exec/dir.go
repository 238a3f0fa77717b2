package exec

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Workdir is the operation that changes to a working directory, process.cwd of the runtime-spec.
// It creates a missing directory.
type Workdir struct{ Path string }

func (w Workdir) Describe() op.Description {
	return op.Describe("change directory", w.Path)
}

func (w Workdir) Do() error {
	err := unix.Chdir(w.Path)
	if err == unix.ENOENT {
		if err := os.MkdirAll(w.Path, 0o755); err != nil {
			return fmt.Errorf("create the working directory %s: %w", w.Path, err)
		}
		err = unix.Chdir(w.Path)
	}
	if err != nil {
		return fmt.Errorf("change to the working directory %s: %w", w.Path, err)
	}
	return nil
}
