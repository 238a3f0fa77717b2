package mount

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// EnableControllers enables all controllers of the cgroup (version 2) at Dir for its child cgroups.
// A controller that cannot be enabled is left out. It does nothing if there is no cgroup at Dir, or
// a read-only one. The kernel takes some milliseconds for it.
type EnableControllers struct{ Dir string }

func (e EnableControllers) Describe() op.Description {
	return op.Describe("enable controllers", e.Dir, "for", "child cgroups")
}

func (e EnableControllers) Do() error {
	list, err := os.ReadFile(e.Dir + "/cgroup.controllers")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var all []byte
	for name := range bytes.FieldsSeq(list) {
		all = fmt.Appendf(all, "+%s ", name)
	}
	if all == nil {
		return nil
	}
	f, err := os.OpenFile(e.Dir+"/cgroup.subtree_control", os.O_WRONLY, 0)
	if errors.Is(err, unix.EROFS) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(all); err != nil { // the kernel has enabled none of them
		for name := range bytes.FieldsSeq(all) {
			_, _ = f.Write(name)
		}
	}
	return nil
}
