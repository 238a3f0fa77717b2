package mount

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Teardown leaves the file systems on disks clean, so that no journal needs recovery: they are unmounted, with what is
// mounted below them, and those that are in use are made read-only. It is for the end of a machine, when no other process
// is left. Where no disk is mounted it is one look at the mount table.
type Teardown struct{}

func (Teardown) Describe() op.Description {
	return op.Describe("unmount", "file systems on disks", "inUse", "read-only")
}

// passes bounds how often the table is read again because something could be unmounted: mounts that were moved, or that
// only a mount on top of them names, take more than one.
const passes = 16

func (Teardown) Do() error {
	// Not the one on /proc: who knows what the workload has mounted there.
	proc, err := sysfile.OpenProc()
	if err != nil {
		return errors.Join(err, quiesce("/"))
	}
	defer unix.Close(proc)
	var writable []info
	for pass := range passes {
		table, err := sysfile.ReadAt(proc, "self/mountinfo", maxTable)
		if err != nil {
			// The root, at least, is known.
			return errors.Join(fmt.Errorf("read the mount table: %w", err), quiesce("/"))
		}
		var unmount []info
		unmount, writable = disks(table)
		if pass == 0 && len(writable) != 0 {
			swapOff(proc)
		}
		changed := false
		for _, m := range unmount {
			// What fails stays in the table, and if it is writable, it is seen to below.
			changed = unix.Unmount(m.point, unix.UMOUNT_NOFOLLOW) == nil || changed
		}
		if !changed {
			break
		}
	}
	var errs error
	for _, m := range writable {
		errs = errors.Join(errs, quiesce(m.point))
	}
	return errs
}

// quiesce makes a file system read-only, wherever it is mounted. Where a writer keeps it from that, say the kernel with a
// loop device, it is frozen instead: all is on disk then, and no journal but that of xfs needs recovery; whoever writes waits.
func quiesce(point string) error {
	err := unix.Mount("", point, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	if err == unix.EBUSY && freeze(point) == nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remount %s read-only: %w", point, err)
	}
	return nil
}

// fiFreeze is FIFREEZE of linux/fs.h, ioctl_fs(2).
const fiFreeze = 0xc0045877

func freeze(point string) error {
	// The mount point can be a file.
	fd, err := unix.Open(point, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err = unix.IoctlSetInt(fd, fiFreeze, 0); err == unix.EBUSY {
		return nil // frozen by another of its mount points
	}
	return err
}

// swapOff ends swapping to files, which keep their file systems busy. What it can't end shows there.
func swapOff(proc int) {
	swaps, _ := sysfile.ReadAt(proc, "swaps", 1<<20) // no such file: no swapping in this kernel
	for _, file := range swapFiles(swaps) {
		if path, err := unix.BytePtrFromString(file); err == nil {
			unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(path)), 0, 0)
		}
	}
}
