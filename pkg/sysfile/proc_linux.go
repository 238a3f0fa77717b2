package sysfile

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// OpenProc opens the root directory of a /proc of its own, which is mounted nowhere: nobody has covered parts of it, or made
// them read-only.
func OpenProc() (dir int, err error) {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open a proc file system: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("create a proc file system: %w", err)
	}
	dir, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return dir, fmt.Errorf("mount a proc file system: %w", err)
	}
	return dir, nil
}
