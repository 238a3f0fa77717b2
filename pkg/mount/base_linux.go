package mount

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// restricted are flags that most base file systems have.
const restricted = unix.MS_NOEXEC | unix.MS_NOSUID | unix.MS_RELATIME

// Essential returns the mounts of /dev and /proc, which every workload and this package need.
func Essential() []op.Op {
	return []op.Op{
		// A devtmpfs keeps files in memory, like a tmpfs.
		Mount{Type: "devtmpfs", Source: "devtmpfs", Target: "/dev", Flags: unix.MS_RELATIME, MemoryPercent: 10},
		// Since Linux 5.8 a second mount of a proc file system succeeds, hence Once.
		Mount{Type: "proc", Source: "proc", Target: "/proc", Flags: unix.MS_NODEV | restricted,
			Once: true},
	}
}

// IsBase reports whether target is the mount point of a base file system, which every guest has.
func IsBase(target string) bool {
	switch target {
	case "/dev", "/proc", "/sys", "/sys/fs/cgroup", "/dev/pts", "/dev/shm":
		return true
	}
	return false
}

// Optional returns the operations that mount the base file systems that a workload may run without,
// and that create the symbolic links in /dev that programs expect.
func Optional() []op.Op {
	return []op.Op{
		Mount{Type: "sysfs", Source: "sysfs", Target: "/sys", Flags: unix.MS_NODEV | restricted},
		Mount{Type: "cgroup2", Source: "cgroup2", Target: "/sys/fs/cgroup",
			Flags: unix.MS_NODEV | restricted},
		// grantpt(3) needs mode 0620 and group 5 (tty). ptmxmode lets every user open a
		// pseudo-terminal.
		Mount{Type: "devpts", Source: "devpts", Target: "/dev/pts", Flags: restricted,
			Data: "gid=5,mode=0620,ptmxmode=0666", Once: true},
		// Container engines use the source shm, and a remount cannot change the source.
		Mount{Type: "tmpfs", Source: "shm", Target: "/dev/shm", Flags: restricted,
			Data: "mode=1777", Once: true, MemoryPercent: 50},
		Symlink{Target: "/proc/self/fd", Path: "/dev/fd"},
		Symlink{Target: "/proc/self/fd/0", Path: "/dev/stdin"},
		Symlink{Target: "/proc/self/fd/1", Path: "/dev/stdout"},
		Symlink{Target: "/proc/self/fd/2", Path: "/dev/stderr"},
	}
}

// Symlink makes Path a symbolic link to Target, unless Path exists.
type Symlink struct{ Target, Path string }

func (s Symlink) Describe() op.Description {
	return op.Describe("symlink", s.Path, "target", s.Target)
}

func (s Symlink) Do() error {
	if err := os.Symlink(s.Target, s.Path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
