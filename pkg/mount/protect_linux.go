package mount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/fault"
)

// ReadOnlyRoot makes the root read-only, root.readonly of the OCI runtime specification. What is mounted below it stays
// as it is.
func ReadOnlyRoot() boot.Op { return Change{Target: "/", Attrs: Attrs{Set: unix.MS_RDONLY}} }

// Mask hides files and directories, linux.maskedPaths of the OCI runtime specification: files read as /dev/null does,
// directories are empty and read-only. Those that are missing are ignored.
type Mask []string

// Describe implements boot.Op.
func (m Mask) Describe() boot.Desc {
	return boot.Desc{Verb: "mask", Object: "paths", Attrs: []boot.Attr{boot.L("paths", m), boot.A("missing", "ok")}}
}

// Do implements boot.Op.
func (m Mask) Do() error {
	const null = "/dev/null"
	if err := unix.Access(null, unix.F_OK); err != nil { // else a missing one would look like missing paths
		return fault.Wrap(err, "mask paths by ", null)
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
		if err != unix.ENOENT {
			errs = errors.Join(errs, fault.Wrap(err, "mask ", path))
		}
	}
	return errs
}

// ReadOnly makes files and directories read-only, with all that is mounted below them: linux.readonlyPaths of the OCI
// runtime specification. Those that are missing are ignored.
type ReadOnly []string

// Describe implements boot.Op.
func (r ReadOnly) Describe() boot.Desc {
	return boot.Desc{Verb: "make read-only", Object: "paths", Attrs: []boot.Attr{boot.L("paths", r), boot.A("missing", "ok")}}
}

// Do implements boot.Op.
func (r ReadOnly) Do() error {
	var errs error
	for _, path := range r {
		err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, "")
		if err == nil {
			err = setAttrs(path, unix.AT_RECURSIVE, unix.MS_RDONLY, 0)
		}
		if err != unix.ENOENT {
			errs = errors.Join(errs, fault.Wrap(err, "make ", path, " read-only"))
		}
	}
	return errs
}
