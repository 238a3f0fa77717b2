package mount

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Bind makes the file or directory Source visible at Target too. A missing mount point is created
// with its parents: a directory for a directory, else an empty file.
type Bind struct {
	Source, Target string
	Recursive      bool  // include the mounts below Source
	After          Attrs // attributes to set after the bind
	// Lenient does nothing if the source is missing.
	Lenient bool
}

func (b Bind) Describe() op.Description {
	return op.Describe("bind", b.Target, "source", b.Source,
		"options", optionText(b.flags(), "", b.After.names()...),
		"missing", op.If(b.Lenient, "ok"))
}

func (b Bind) flags() uintptr {
	if b.Recursive {
		return unix.MS_BIND | unix.MS_REC
	}
	return unix.MS_BIND
}

func (b Bind) Do() error {
	err := b.bind()
	if err == unix.ENOENT { // the source or the mount point is missing
		var st unix.Stat_t
		err = unix.Stat(b.Source, &st)
		if err == unix.ENOENT && b.Lenient {
			return nil
		}
		if err == nil {
			err = makePoint(b.Target, st.Mode&unix.S_IFMT == unix.S_IFDIR, true)
		}
		if err == nil {
			err = b.bind()
		}
	}
	if err == nil {
		err = b.After.apply(b.Target)
	}
	if err != nil {
		return fmt.Errorf("bind %s to %s: %w", b.Source, b.Target, err)
	}
	return nil
}

func (b Bind) bind() error { return unix.Mount(b.Source, b.Target, "", b.flags(), "") }
