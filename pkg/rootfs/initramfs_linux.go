package rootfs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// FreeInitramfs frees the memory of an initramfs by deleting its files, as switch_root(8) does.
// Mounts on it stay. It must follow the operations of a Plan with a Device, when no file of the
// original root is needed any more.
//
// It does nothing if the original root is not an initramfs. It also does nothing if this process is
// not process 1 of the machine: in a container, a directory that others use can look like an
// initramfs.
type FreeInitramfs struct{ Original *OriginalRoot }

func (FreeInitramfs) Describe() op.Description {
	return op.Describe("free", "the memory of the initramfs",
		"unless", "the original root is not one")
}

func (f FreeInitramfs) Do() (err error) {
	defer op.Wrap(&err, "free the memory of the initramfs")
	if !f.Original.initramfs || !isMachinesInit() {
		return nil
	}
	var fs unix.Statfs_t
	if unix.Fstatfs(f.Original.fd, &fs) != nil ||
		fs.Type != unix.RAMFS_MAGIC && fs.Type != unix.TMPFS_MAGIC {
		return nil
	}
	return removeContents(f.Original.fd, ".")
}

// isMachinesInit reports whether this is process 1 of the machine, and not of another PID
// namespace.
func isMachinesInit() bool {
	const initial = 0xeffffffc // PROC_PID_INIT_INO of linux/proc_ns.h
	var st unix.Stat_t
	return unix.Getpid() == 1 && unix.Stat("/proc/self/ns/pid", &st) == nil && st.Ino == initial
}

// removeContents deletes the contents of a directory, except other file systems mounted there and
// the directories that lead to them.
func removeContents(parent int, name string) error {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(parent, name, flags, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	var above, here unix.Stat_t
	if err := unix.Fstat(parent, &above); err != nil {
		return err
	}
	if err := unix.Fstat(fd, &here); err != nil || here.Dev != above.Dev {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, child := range names {
		if err := remove(fd, child); err != nil {
			return fmt.Errorf("%s: %w", child, err)
		}
	}
	return nil
}

// remove deletes a file, or a directory with its contents. Mount points stay.
func remove(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == unix.EISDIR {
		if err := removeContents(dir, name); err != nil {
			return err
		}
		err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}
	if err == unix.EBUSY || err == unix.ENOENT || err == unix.ENOTEMPTY {
		return nil
	}
	return err
}
