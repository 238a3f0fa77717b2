package mount

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Teardown leaves the file systems on disks clean, so that no journal needs recovery. They are
// unmounted, with everything mounted below them; those that are in use are made read-only. It is
// for the end of a machine, when no other process is left. Without disks it only reads the mount
// table.
type Teardown struct {
	// Lost, unless nil, is set to true if the kernel could not write data to a disk.
	Lost *bool
}

func (Teardown) Describe() op.Description {
	return op.Describe("unmount", "file systems on disks", "inUse", "read-only")
}

// maxPasses bounds how often the mount table is read again after something was unmounted. More than
// one pass is needed for mounts that were moved, or whose mount point another mount covers.
const maxPasses = 16

func (t Teardown) Do() error {
	// The workload may have mounted anything on /proc.
	proc, err := OpenProc()
	if err != nil {
		return errors.Join(err, makeReadOnly("/"))
	}
	defer proc.Close()
	var all, dirty []*mountinfo.Info
	var errs error
	for pass := range maxPasses {
		table, err := readAt(proc, "self/mountinfo")
		if err != nil { // the root needs no mount table
			return errors.Join(fmt.Errorf("read the mount table: %w", err), makeReadOnly("/"))
		}
		all = parseTable(table)
		var unmount []*mountinfo.Info
		unmount, dirty = disks(all)
		if pass == 0 && len(dirty) != 0 {
			swaps, _ := readAt(proc, "swaps") // a kernel without swapping has no such file
			swapOff(swapFiles(string(swaps)))
			errs = flush(dirty)
			if t.Lost != nil {
				*t.Lost = errs != nil
			}
		}
		changed := false
		for _, m := range unmount {
			// A mount that stays is in the table of the next pass. If it is dirty, it is made
			// read-only below.
			changed = unix.Unmount(m.Mountpoint, unix.UMOUNT_NOFOLLOW) == nil || changed
		}
		if !changed {
			break
		}
	}
	if !slices.ContainsFunc(all, func(m *mountinfo.Info) bool { return m.Mountpoint == "/" }) {
		// It was unmounted lazily, umount2(2) MNT_DETACH, and is in use by this process.
		errs = errors.Join(errs, makeReadOnly("/"))
	}
	for _, m := range dirty {
		err := makeReadOnly(m.Mountpoint)
		if m.FSType == "overlay" && errors.Is(err, unix.EBUSY) {
			err = nil // it can't be frozen, but the file system that takes its changes is
		}
		errs = errors.Join(errs, err)
	}
	return errs
}

// flush writes file systems to their disks, syncfs(2). It returns an error for each that has lost
// data since the last flush, which sync(2) does not tell.
func flush(mounts []*mountinfo.Info) (errs error) {
	flushed := map[[2]int]bool{}
	for _, m := range mounts {
		device := [2]int{m.Major, m.Minor}
		if flushed[device] {
			continue
		}
		flushed[device] = true
		fd, err := openAny(m.Mountpoint)
		if err != nil {
			continue // another mount covers it
		}
		if err := unix.Syncfs(fd); err != nil {
			errs = errors.Join(errs, fmt.Errorf("write %s to its disk: data is lost: %w", m.Mountpoint, err))
		}
		unix.Close(fd)
	}
	return errs
}

// openAny opens a mount point, which may be a file of any kind.
func openAny(point string) (fd int, err error) {
	return unix.Open(point, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}

// makeReadOnly makes the file system on point read-only, wherever it is mounted. If a writer
// prevents that, such as the kernel with a loop device, it freezes the file system: all data is on
// disk then, no journal but that of xfs needs recovery, and whoever writes waits.
func makeReadOnly(point string) (err error) {
	defer op.Wrap(&err, "remount %s read-only", point)
	err = unix.Mount("", point, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	if err == unix.EINVAL {
		err = reconfigure(point)
	}
	if err == unix.EBUSY && freeze(point) == nil {
		return nil
	}
	return err
}

// reconfigure is like a remount, for a mount that is in no mount namespace any more.
func reconfigure(point string) error {
	fs, err := unix.Fspick(unix.AT_FDCWD, point, unix.FSPICK_CLOEXEC|unix.FSPICK_NO_AUTOMOUNT)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetFlag(fs, "ro"); err != nil {
		return err
	}
	return unix.FsconfigReconfigure(fs)
}

// fiFreeze is FIFREEZE of linux/fs.h.
const fiFreeze = 0xc0045877

// freeze suspends writing to the file system on point, ioctl_fs(2).
func freeze(point string) error {
	fd, err := openAny(point)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err = unix.IoctlSetInt(fd, fiFreeze, 0); err == unix.EBUSY {
		return nil // frozen already, by another of its mount points
	}
	return err
}

// swapOff stops swapping to files. A failure shows when the file system is unmounted.
func swapOff(files []string) {
	for _, file := range files {
		if path, err := unix.BytePtrFromString(file); err == nil {
			unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(path)), 0, 0)
		}
	}
}
