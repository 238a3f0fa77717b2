package mount

import (
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Bind shows a file or directory, Source, at Target too. A missing mount point is made, parents included: a directory for a
// directory, a file for whatever else.
type Bind struct {
	Source, Target string
	Recursive      bool  // what is mounted below Source too
	After          Attrs // what is set when it is bound
	// Lenient does nothing where the source is missing.
	Lenient bool
}

func (b Bind) Describe() op.Description {
	attrs := []op.Detail{op.A("source", b.Source), op.A("options", optionText(b.flags(), "", b.After.names()...))}
	if b.Lenient {
		attrs = append(attrs, op.A("missing", "ok"))
	}
	return op.Description{Verb: "bind", Object: b.Target, Details: attrs}
}

func (b Bind) flags() uintptr {
	if b.Recursive {
		return unix.MS_BIND | unix.MS_REC
	}
	return unix.MS_BIND
}

func (b Bind) Do() error {
	err := b.bind()
	if err == unix.ENOENT { // one of the two is missing
		var st unix.Stat_t
		if err = unix.Stat(b.Source, &st); err == unix.ENOENT && b.Lenient {
			return nil
		}
		if err == nil {
			if err = makePoint(b.Target, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
				err = fmt.Errorf("make the mount point: %w", err)
			}
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

// makePoint makes a directory or an empty file to mount on.
func makePoint(target string, dir bool) error {
	if dir {
		return sysfile.MakeDirs(target)
	}
	if err := sysfile.MakeDirs(path.Dir(target)); err != nil {
		return err
	}
	fd, err := unix.Open(target, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}
