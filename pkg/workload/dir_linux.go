package workload

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
)

// Workdir is the operation that changes to a working directory, process.cwd of the OCI runtime specification. It is made
// where it is missing.
type Workdir struct{ Path string }

// Describe implements boot.Op.
func (w Workdir) Describe() boot.Desc { return boot.Desc{Verb: "change directory", Object: w.Path} }

// Do implements boot.Op.
func (w Workdir) Do() error {
	err := unix.Chdir(w.Path)
	if err == unix.ENOENT {
		if made := os.MkdirAll(w.Path, 0o755); made != nil {
			var pathErr *os.PathError
			if errors.As(made, &pathErr) {
				made = pathErr.Err
			}
			return fmt.Errorf("make the working directory %s: %w", w.Path, made)
		}
		err = unix.Chdir(w.Path)
	}
	if err != nil {
		return fmt.Errorf("change to the working directory %s: %w", w.Path, err)
	}
	return nil
}
