package mount

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Controllers enables all controllers of a cgroup, version 2, for its children. One that can't be is left out, and without a
// cgroup there, or with a read-only one that can have no children, nothing is done. The kernel takes some milliseconds.
type Controllers struct{ Dir string }

func (c Controllers) Describe() op.Description {
	return op.Describe("enable controllers", c.Dir, "for", "child cgroups")
}

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
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, all); err != nil { // then none is enabled
		for name := range bytes.FieldsSeq(all) {
			unix.Write(fd, name)
		}
	}
	return nil
}
