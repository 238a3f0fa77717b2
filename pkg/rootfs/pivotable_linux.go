package rootfs

import (
	"fmt"
	"os"
	"slices"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// MakePivotable mounts the root of an initramfs on itself and makes that mount the root. Container
// runtimes need it: they call pivot_root(2), which fails on the kernel's own mount of an initramfs.
// Both mounts have the same files, so MakePivotable takes no memory.
//
// It does nothing if the root is not an initramfs, or if file systems are mounted on the initramfs,
// which the new mount would hide. It needs CAP_SYS_ADMIN.
type MakePivotable struct{}

func (MakePivotable) Describe() op.Description {
	return op.Describe("mount over itself", "/", "for", "pivot_root",
		"unless", "/ is no initramfs, or file systems are mounted on it")
}

func (MakePivotable) Do() (err error) {
	defer op.Wrap(&err, "mount the initramfs on /")
	if !mayBeInitramfs("/") {
		return nil
	}
	table, err := readMounts()
	if err != nil || !isPlainInitramfs(table) {
		return err
	}
	root, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("copy its mount: %w", err)
	}
	defer unix.Close(root)
	err = unix.MoveMount(root, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return err
	}
	if err := unix.Fchdir(root); err != nil {
		return err
	}
	return unix.Chroot(".")
}

// mayBeInitramfs reports whether the file system of a directory is of a type that an initramfs may
// have. It is faster than readMounts.
func mayBeInitramfs(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && (fs.Type == unix.RAMFS_MAGIC || fs.Type == unix.TMPFS_MAGIC)
}

// isPlainInitramfs reports whether the only mount is the kernel's mount of an initramfs. That is the
// first mount of the machine, so it is its own parent.
func isPlainInitramfs(table []*mountinfo.Info) bool {
	return len(table) == 1 && hasInitramfs(table) && table[0].ID == table[0].Parent
}

// hasInitramfs reports whether an initramfs is mounted on /, by the kernel or by MakePivotable.
func hasInitramfs(table []*mountinfo.Info) bool {
	return slices.ContainsFunc(table, func(m *mountinfo.Info) bool {
		return m.Mountpoint == "/" && m.FSType == "rootfs"
	})
}

// readMounts returns the mounts that this process can reach. It does not need /proc.
func readMounts() (_ []*mountinfo.Info, err error) {
	defer op.Wrap(&err, "read the mount table")
	proc, err := newMount("proc", nil)
	if err != nil {
		return nil, err
	}
	defer unix.Close(proc)
	fd, err := unix.Openat(proc, "self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "mountinfo")
	defer file.Close()
	return mountinfo.GetMountsFromReader(file, nil)
}
