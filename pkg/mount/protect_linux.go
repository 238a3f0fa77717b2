package mount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// ReadOnlyRoot makes the root read-only, root.readonly of the OCI runtime specification. What is mounted below it stays
// as it is.
func ReadOnlyRoot() op.Op { return Change{Target: "/", Attrs: Attrs{Set: unix.MS_RDONLY}} }

// Mask hides files and directories, linux.maskedPaths of the OCI runtime specification: files read as /dev/null does,
// directories are empty and read-only. Those that are missing are ignored.
type Mask []string

func (m Mask) Describe() op.Description {
	return op.Describe("mask", "paths", "paths", m, "missing", "ok")
}

func (m Mask) Do() error {
	const null = "/dev/null"
	if err := unix.Access(null, unix.F_OK); err != nil { // else a missing one would look like missing paths
		return fmt.Errorf("mask paths by %s: %w", null, err)
	}
	var errs error
	empty := "" // a masked directory
	for _, path := range m {
		err := unix.Mount(null, path, "", unix.MS_BIND, "")
		if err == unix.ENOTDIR {
			if empty != "" { // cheaper than another file system
				err = unix.Mount(empty, path, "", unix.MS_BIND, "")
			} else if err = unix.Mount("tmpfs", path, "tmpfs", unix.MS_RDONLY, "size=0k"); err == nil {
				empty = path
			}
		}
		if err != nil && err != unix.ENOENT {
			errs = errors.Join(errs, fmt.Errorf("mask %s: %w", path, err))
		}
	}
	return errs
}

// ReadOnly makes files and directories read-only, with all that is mounted below them: linux.readonlyPaths of the OCI
// runtime specification. Those that are missing are ignored.
type ReadOnly []string

func (r ReadOnly) Describe() op.Description {
	return op.Describe("make read-only", "paths", "paths", r, "missing", "ok")
}

func (r ReadOnly) Do() error {
	var errs error
	for _, path := range r {
		err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, "")
		if err == nil {
			err = setAttrs(path, unix.AT_RECURSIVE, unix.MS_RDONLY, 0)
		}
		if err != nil && err != unix.ENOENT {
			errs = errors.Join(errs, fmt.Errorf("make %s read-only: %w", path, err))
		}
	}
	return errs
}
