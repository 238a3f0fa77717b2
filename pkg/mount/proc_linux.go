package mount

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// OpenProc returns the root directory of a new proc file system that is mounted nowhere. Unlike
// /proc, no mount covers parts of it or makes them read-only. It needs CAP_SYS_ADMIN. The caller
// must close it.
func OpenProc() (*os.File, error) {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open a proc file system: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("create a proc file system: %w", err)
	}
	const attrs = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	dir, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, fmt.Errorf("mount a proc file system: %w", err)
	}
	return os.NewFile(uintptr(dir), "/proc"), nil
}

// maxProcFile bounds what is read of a file of /proc, in bytes: some ten thousand mounts.
const maxProcFile = 16 << 20

// readAt returns the first maxProcFile bytes of the file name in dir.
func readAt(dir *os.File, name string) ([]byte, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxProcFile))
}
