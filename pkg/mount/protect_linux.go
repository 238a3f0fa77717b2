package mount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// ReadOnlyRoot makes the root file system read-only (root.readonly of the OCI runtime
// specification). Mounts below it do not change.
func ReadOnlyRoot() op.Op { return Change{Target: "/", Attrs: Attrs{Set: unix.MS_RDONLY}} }

// Mask hides files and directories (linux.maskedPaths of the OCI runtime specification): a file
// reads like /dev/null, a directory is empty and read-only. Missing paths are ignored.
type Mask []string

func (m Mask) Describe() op.Description {
	return op.Describe("mask", "paths", "paths", []string(m), "missing", "ok")
}

func (m Mask) Do() error {
	const null = "/dev/null"
	// Without this check a missing /dev/null would look like missing paths.
	if err := unix.Access(null, unix.F_OK); err != nil {
		return fmt.Errorf("mask paths by %s: %w", null, err)
	}
	var errs error
	empty := "" // a directory that is masked already
	for _, path := range m {
		err := unix.Mount(null, path, "", unix.MS_BIND, "")
		switch {
		case err != unix.ENOTDIR:
		case empty != "": // cheaper than another tmpfs
			err = unix.Mount(empty, path, "", unix.MS_BIND, "")
		default:
			err = unix.Mount("tmpfs", path, "tmpfs", unix.MS_RDONLY, "size=0k")
			if err == nil {
				empty = path
			}
		}
		if err != nil && err != unix.ENOENT {
			errs = errors.Join(errs, fmt.Errorf("mask %s: %w", path, err))
		}
	}
	return errs
}

// ReadOnly makes files and directories, and all mounts below them, read-only (linux.readonlyPaths
// of the OCI runtime specification). Missing paths are ignored.
type ReadOnly []string

func (r ReadOnly) Describe() op.Description {
	return op.Describe("make read-only", "paths", "paths", []string(r), "missing", "ok")
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
