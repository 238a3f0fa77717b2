package mount

import (
	"path"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/fault"
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

// Describe implements boot.Op.
func (b Bind) Describe() boot.Desc {
	attrs := []boot.Attr{boot.A("source", b.Source), boot.A("options", optionText(b.flags(), "", b.After.names()...))}
	if b.Lenient {
		attrs = append(attrs, boot.A("missing", "ok"))
	}
	return boot.Desc{Verb: "bind", Object: b.Target, Attrs: attrs}
}

func (b Bind) flags() uintptr {
	if b.Recursive {
		return unix.MS_BIND | unix.MS_REC
	}
	return unix.MS_BIND
}

// Do implements boot.Op.
func (b Bind) Do() error {
	err := b.bind()
	if err == unix.ENOENT { // one of the two is missing
		var st unix.Stat_t
		if err = unix.Stat(b.Source, &st); err == unix.ENOENT && b.Lenient {
			return nil
		}
		if err == nil {
			err = fault.Wrap(makePoint(b.Target, st.Mode&unix.S_IFMT == unix.S_IFDIR), "make the mount point")
		}
		if err == nil {
			err = b.bind()
		}
	}
	if err == nil {
		err = b.After.apply(b.Target)
	}
	return fault.Wrap(err, "bind ", b.Source, " to ", b.Target)
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
