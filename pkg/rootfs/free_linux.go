package rootfs

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Free is the operation that gives the memory of an initramfs back, by deleting what is in it, as switch_root(8) does. It comes
// after Plan's, with a Device, and when nobody needs a file of the first root any more. What is mounted there stays.
//
// A first root that is anything else is left as it is, and so is any in a process that is not the machine's init: what looks
// like an initramfs in a container can be a directory of somebody's.
type Free struct{ First *First }

func (Free) Describe() op.Description {
	return describe("free", "the memory of the initramfs", "unless", "the first root is none")
}

func (f Free) Do() error {
	if !f.First.immovable || !isMachinesInit() {
		return nil
	}
	const ramfs = 0x858458f6 // RAMFS_MAGIC of linux/magic.h
	var fs unix.Statfs_t
	if unix.Fstatfs(f.First.fd, &fs) != nil || fs.Type != ramfs && fs.Type != unix.TMPFS_MAGIC {
		return nil
	}
	if err := empty(f.First.fd, "."); err != nil {
		return fmt.Errorf("free the memory of the initramfs: %w", err)
	}
	return nil
}

// isMachinesInit tells whether this is process 1 of the machine, and not of a PID namespace.
func isMachinesInit() bool {
	const initial = 0xeffffffc // PROC_PID_INIT_INO of linux/proc_ns.h
	var st unix.Stat_t
	return unix.Getpid() == 1 && unix.Stat("/proc/self/ns/pid", &st) == nil && st.Ino == initial
}

// empty deletes what is in a directory, but for other file systems that are mounted there and what is above them.
func empty(parent int, name string) error {
	dir, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var above, here unix.Stat_t
	if err := unix.Fstat(parent, &above); err != nil {
		return err
	}
	if err := unix.Fstat(dir, &here); err != nil || here.Dev != above.Dev {
		return err
	}
	names, err := sysfile.NamesOf(dir, name)
	if err != nil {
		return err
	}
	for _, child := range names {
		switch err := unix.Unlinkat(dir, child, 0); err {
		case nil, unix.EBUSY, unix.ENOENT:
		case unix.EISDIR:
			if err := empty(dir, child); err != nil {
				return fmt.Errorf("%s: %w", child, err)
			}
			err = unix.Unlinkat(dir, child, unix.AT_REMOVEDIR)
			if err != nil && err != unix.EBUSY && err != unix.ENOTEMPTY {
				return fmt.Errorf("%s: %w", child, err)
			}
		default:
			if err != nil {
				return fmt.Errorf("%s: %w", child, err)
			}
			return nil
		}
	}
	return nil
}
