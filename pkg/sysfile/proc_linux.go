package sysfile

import (
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/fault"
)

// OpenProc opens the root directory of a /proc of its own, which is mounted nowhere: nobody has covered parts of it, or made
// them read-only.
func OpenProc() (dir int, err error) {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fault.Wrap(err, "open a proc file system")
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fault.Wrap(err, "create a proc file system")
	}
	dir, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	return dir, fault.Wrap(err, "mount a proc file system")
}
