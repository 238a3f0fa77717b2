package rootfs

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// enterWorkspace makes a new tmpfs, with /dev and /proc, the root. It needs no directory on the
// original root.
type enterWorkspace struct {
	original *OriginalRoot
	lower    bool // mount the original root on lowerDir
}

func (w *enterWorkspace) Describe() op.Description {
	mounts := "/dev,/proc"
	if w.lower {
		mounts += "," + lowerDir
	}
	return op.Describe("make root", "tmpfs", "mount", mounts)
}

func (w *enterWorkspace) Do() (err error) {
	defer op.Wrap(&err, "make a tmpfs the root")
	// pivot_root(2) fails on shared mounts.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make all mounts private: %w", err)
	}
	lower := -1
	if w.lower {
		// This copies the mount, without the mounts below it. It must come before switchToTmpfs, which
		// detaches the mount: a detached mount cannot be copied.
		const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH
		if lower, err = unix.OpenTree(w.original.fd, "", flags); err != nil {
			return fmt.Errorf("copy the mount of /: %w", err)
		}
		defer unix.Close(lower)
	}
	if mayBeInitramfs("/") {
		table, err := readMounts()
		w.original.initramfs = err == nil && hasInitramfs(table)
	}
	if err := w.switchToTmpfs(); err != nil {
		return err
	}
	for _, m := range [...][2]string{{"devtmpfs", "/dev"}, {"proc", "/proc"}} {
		const flags = unix.MS_NOSUID | unix.MS_NOEXEC
		if err := unix.Mount(m[0], m[1], m[0], flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m[0], err)
		}
	}
	if lower < 0 {
		return nil
	}
	defer op.Wrap(&err, "mount the original root on %s", lowerDir)
	return unix.MoveMount(lower, "", unix.AT_FDCWD, lowerDir, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// switchToTmpfs makes a tmpfs with the directories of the workspace the root.
func (w *enterWorkspace) switchToTmpfs() (err error) {
	var memory unix.Sysinfo_t
	_ = unix.Sysinfo(&memory)
	tmpfs, err := newMount("tmpfs", map[string]string{"mode": "0755", "size": workspaceSize(memory)})
	if err != nil {
		return err
	}
	defer unix.Close(tmpfs)
	for _, dir := range [...]string{"dev", "proc", newRoot[1:], lowerDir[1:], upperDir[1:]} {
		if err := unix.Mkdirat(tmpfs, dir, 0o755); err != nil {
			return err
		}
	}
	err = unix.MoveMount(tmpfs, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("mount it: %w", err)
	}
	if err := unix.Fchdir(tmpfs); err != nil {
		return err
	}
	defer op.Wrap(&err, "move to it")
	err = swapRoot()
	if err == unix.EINVAL { // pivot_root cannot move an initramfs; it stays mounted below
		w.original.initramfs = true
		err = unix.Chroot(".")
	}
	return err
}

// workspaceSize returns the mount option size of the workspace, which takes the changes of an overlay
// in memory. The default of tmpfs, half of all memory, may be all free memory of a small machine.
func workspaceSize(memory unix.Sysinfo_t) string {
	const freePercent = 60
	unit := uint64(memory.Unit)
	bytes := min(memory.Totalram*unit/2, memory.Freeram*unit/100*freePercent)
	if bytes == 0 { // unknown
		return "50%"
	}
	return fmt.Sprintf("%dk", (bytes+1023)/1024)
}

// newMount returns a descriptor of a new file system that is mounted nowhere.
func newMount(fsType string, options map[string]string) (int, error) {
	fs, err := unix.Fsopen(fsType, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	for key, value := range options {
		if err := unix.FsconfigSetString(fs, key, value); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// swapRoot makes the working directory, which must be a mount point, the root, and unmounts the old
// root with everything below it. No directory for the old root is needed: pivot_root(2) mounts it
// over the new one for a moment.
func swapRoot() (err error) {
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	defer op.Wrap(&err, "change to /")
	return unix.Chdir("/")
}

// enterNewRoot makes the file system on newRoot the root and unmounts the workspace.
type enterNewRoot struct{}

func (enterNewRoot) Describe() op.Description { return op.Describe("enter", "the new root") }

func (enterNewRoot) Do() (err error) {
	defer op.Wrap(&err, "enter the new root")
	if err := unix.Chdir(newRoot); err != nil {
		return err
	}
	return swapRoot()
}
