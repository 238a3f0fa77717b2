package system

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// CgroupDir is where the cgroups (version 2) of a guest are mounted.
const CgroupDir = "/sys/fs/cgroup"

// EnableControllers enables all controllers of the cgroup (version 2) at Dir for its child cgroups.
// A controller that cannot be enabled is left out. It does nothing if there is no cgroup at Dir, or
// a read-only one.
//
// One write enables all controllers. It should be done before child cgroups exist, because the kernel
// then does not wait for the other processors.
type EnableControllers struct{ Dir string }

func (e EnableControllers) Describe() op.Description {
	return op.Describe("enable controllers", e.Dir, "for", "child cgroups")
}

func (e EnableControllers) Do() (err error) {
	defer op.Wrap(&err, "enable the controllers of %s", e.Dir)
	var list [512]byte
	n, err := readFile(e.Dir+"/cgroup.controllers", list[:])
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	var all []byte
	for name := range bytes.FieldsSeq(list[:n]) {
		all = append(append(append(all, '+'), name...), ' ')
	}
	if all == nil {
		return nil
	}
	fd, err := unix.Open(e.Dir+"/cgroup.subtree_control", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == unix.EROFS {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, all); err != nil { // the kernel has enabled none of them
		for name := range bytes.FieldsSeq(all) {
			_, _ = unix.Write(fd, name)
		}
	}
	return nil
}

// readFile reads the start of a file of the kernel into b. Package os makes more system calls.
func readFile(path string, b []byte) (n int, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return unix.Read(fd, b)
}

// DelegateCgroup gives the cgroup (version 2) at Dir to a user, who may then create cgroups in it
// and move processes between them; see "Delegation" in Documentation/admin-guide/cgroup-v2.rst of
// Linux. It does nothing if there is no cgroup at Dir, or a read-only one.
type DelegateCgroup struct {
	Dir string
	UID uint32
}

func (d DelegateCgroup) Describe() op.Description {
	return op.Describe("delegate cgroup", d.Dir, "uid", d.UID)
}

func (d DelegateCgroup) Do() (err error) {
	defer op.Wrap(&err, "delegate the cgroup %s", d.Dir)
	err = unix.Chmod(d.Dir, 0o755) // the root cgroup is not writable by its owner
	for _, file := range [...]string{"", "/cgroup.procs", "/cgroup.subtree_control",
		"/cgroup.threads"} {
		if err == nil {
			err = unix.Lchown(d.Dir+file, int(d.UID), -1)
		}
	}
	if err == unix.ENOENT || err == unix.EROFS {
		return nil
	}
	return err
}
