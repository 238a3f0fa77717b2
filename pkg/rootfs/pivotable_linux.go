package rootfs

import (
	"fmt"
	"os"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// MakePivotable mounts the root of an initramfs on itself and makes that mount the root, so that
// pivot_root(2) works, which container runtimes need. The kernel's own mount of an initramfs can't
// be exchanged. Both mounts have the same files, so this takes no memory.
//
// It does nothing if the root is no initramfs, and also if file systems are mounted on that: they
// would be hidden. It needs CAP_SYS_ADMIN.
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
// have. It costs less than readMounts.
func mayBeInitramfs(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && (fs.Type == unix.RAMFS_MAGIC || fs.Type == unix.TMPFS_MAGIC)
}

// isPlainInitramfs reports whether the kernel's mount of an initramfs is all that is mounted. It is
// the first mount of the machine, and so its own parent.
func isPlainInitramfs(table []*mountinfo.Info) bool {
	return len(table) == 1 && hasInitramfs(table) && table[0].ID == table[0].Parent
}

// hasInitramfs reports whether the root is an initramfs, whichever mount of it.
func hasInitramfs(table []*mountinfo.Info) bool {
	for _, m := range table {
		if m.Mountpoint == "/" && m.FSType == "rootfs" {
			return true
		}
	}
	return false
}

// readMounts returns the mounts that this process can reach. It needs no /proc.
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
