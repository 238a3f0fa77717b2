package mount

import (
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

const restricted = unix.MS_NOEXEC | unix.MS_NOSUID | unix.MS_RELATIME

// Essential are the base file systems that no workload and not this library itself can do without. fresh becomes true when
// /proc was not mounted before: then this is the first program of the machine, and below /dev, which the kernel may have
// mounted itself, nothing is mounted yet.
func Essential(fresh *bool) []op.Op {
	return []op.Op{
		Mount{Type: "devtmpfs", Source: "devtmpfs", Target: "/dev", Flags: unix.MS_RELATIME},
		Mount{Type: "proc", Source: "proc", Target: "/proc", Flags: unix.MS_NODEV | restricted, Fresh: fresh},
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

// Optional are the base file systems whose lack a workload may survive, and the names in /dev that programs expect. fresh
// is what Essential has found.
func Optional(fresh *bool) []op.Op {
	return []op.Op{
		Mount{Type: "sysfs", Source: "sysfs", Target: "/sys", Flags: unix.MS_NODEV | restricted},
		Mount{Type: "cgroup2", Source: "cgroup2", Target: "/sys/fs/cgroup", Flags: unix.MS_NODEV | restricted},
		// Mode 0620 and group 5 (tty) are what grantpt(3) wants; ptmxmode lets every user open a pseudo-terminal.
		Mount{Type: "devpts", Source: "devpts", Target: "/dev/pts", Flags: restricted,
			Data: "gid=5,mode=0620,ptmxmode=0666", Once: true, Unmounted: fresh},
		Mount{Type: "tmpfs", Source: "tmpfs", Target: "/dev/shm", Flags: restricted,
			Data: "mode=1777", Once: true, Unmounted: fresh},
		Symlink{Target: "/proc/self/fd", Path: "/dev/fd"},
		Symlink{Target: "/proc/self/fd/0", Path: "/dev/stdin"},
		Symlink{Target: "/proc/self/fd/1", Path: "/dev/stdout"},
		Symlink{Target: "/proc/self/fd/2", Path: "/dev/stderr"},
		// Virtual machines in the guest, started by any of its users.
		Chmod{Path: "/dev/kvm", Mode: 0o666},
	}
}

// Run is the tmpfs for what programs keep while they run, where the image has the directory and nothing is mounted there.
// fresh is what Essential has found.
func Run(fresh *bool) op.Op {
	return Mount{Type: "tmpfs", Source: "tmpfs", Target: "/run", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=0755",
		Optional: true, Once: true, Unmounted: fresh}
}
