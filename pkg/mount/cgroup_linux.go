package mount

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/fault"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Controllers enables all controllers of a cgroup, version 2, for its children. One that can't be is left out, and without a
// cgroup there, or with a read-only one that can have no children, nothing is done. The kernel takes some milliseconds.
type Controllers struct{ Dir string }

// Describe implements boot.Op.
func (c Controllers) Describe() boot.Desc {
	return boot.Desc{Verb: "enable controllers", Object: c.Dir, Attrs: []boot.Attr{boot.A("for", "child cgroups")}}
}

// Do implements boot.Op.
func (c Controllers) Do() error {
	list, err := sysfile.Read(c.Dir+"/cgroup.controllers", 4096)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	var all []byte
	for name := range bytes.FieldsSeq(list) {
		all = append(append(append(all, '+'), name...), ' ')
	}
	if all == nil {
		return nil
	}
	file := c.Dir + "/cgroup.subtree_control"
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == unix.EROFS {
		return nil
	}
	if err != nil {
		return fault.Wrap(err, "open ", file)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, all); err != nil { // then none is enabled
		for name := range bytes.FieldsSeq(all) {
			unix.Write(fd, name)
		}
	}
	return nil
}
