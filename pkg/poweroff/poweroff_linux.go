package poweroff

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

const (
	// ioctlExitCode is libkrun's request to its virtiofs server; the code is passed by value.
	ioctlExitCode = 0x7602
	virtiofsMagic = 0x65735546 // f_type of statfs(2), FUSE_SUPER_MAGIC
)

// Code is the exit code for a wait status: the workload's own, or 128+n when signal n killed it.
func Code(status unix.WaitStatus) int {
	if status.Signaled() {
		return SignalBase + int(status.Signal())
	}
	return status.ExitStatus()
}

// Report tells the host the exit code, by the ioctl of the virtiofs root. A root of another type has no host that would
// understand it, and is left alone.
type Report struct {
	Root string
	// FD, unless nil, returns a descriptor by which the first root can be opened, whatever Root is by then, if there is one. It
	// counts if that is virtiofs: a guest may as well have begun in an initramfs.
	FD   func() (fd int, ok bool)
	Code *int // read when the operation is done
}

func (r Report) Describe() op.Description {
	return op.Describe("report exit code", r.Root, "ioctl", "0x"+strconv.FormatInt(ioctlExitCode, 16), "unless", "not virtiofs")
}

func (r Report) Do() error {
	code := strconv.Itoa(*r.Code)
	dir, path := unix.AT_FDCWD, r.Root
	if r.FD != nil {
		if kept, ok := r.FD(); ok && isVirtiofs(kept) {
			dir, path = kept, "."
		}
	}
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("report exit code %s: open %s: %w", code, r.Root, err)
	}
	defer unix.Close(fd)
	if !isVirtiofs(fd) {
		return nil
	}
	err = unix.IoctlSetInt(fd, ioctlExitCode, *r.Code)
	if err != nil {
		return fmt.Errorf("report exit code %s: ioctl 0x%s on %s: %w", code, strconv.FormatInt(ioctlExitCode, 16), r.Root, err)
	}
	return nil
}

func isVirtiofs(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Type == virtiofsMagic
}

// Sync writes all file systems to their devices, sync(2).
type Sync struct{}

func (Sync) Describe() op.Description {
	return op.Describe("sync", "all file systems")
}

func (Sync) Do() error {
	unix.Sync()
	return nil
}

// PowerOff ends the machine by reboot(2) with RB_AUTOBOOT, on which a libkrun host ends the VM. In a PID namespace, which
// is no machine, it does nothing, and the caller exits instead.
type PowerOff struct{}

func (PowerOff) Describe() op.Description {
	return op.Describe("reboot", "RB_AUTOBOOT")
}

func (PowerOff) Do() error {
	if !isMachine() {
		return nil
	}
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		return fmt.Errorf("reboot: %w", err)
	}
	return nil
}

// Deadline is the operation after which the machine has a time to end by itself: then it ends as by PowerOff, whatever hangs:
// sync(2) on a file system whose host is gone, an unmount, a console that nobody reads. Where PowerOff does nothing, it
// does nothing.
type Deadline struct {
	After time.Duration
	Arm   func(after time.Duration) error // signals.RestartAfter
}

func (d Deadline) Describe() op.Description {
	return op.Describe("limit", "the end", "to", d.After, "then", "RB_AUTOBOOT")
}

func (d Deadline) Do() error {
	if !isMachine() {
		return nil
	}
	return d.Arm(d.After)
}

// CtrlAltDel is the operation after which Ctrl-Alt-Del does not restart the machine at once: the kernel raises SIGINT for
// process 1, see reboot(2). It does nothing in another process or in a PID namespace.
type CtrlAltDel struct{}

func (CtrlAltDel) Describe() op.Description {
	return op.Describe("catch", "Ctrl-Alt-Del", "as", "SIGINT")
}

func (CtrlAltDel) Do() error {
	if unix.Getpid() != 1 {
		return nil
	}
	// Before /proc is there, the error is what tells a namespace from the machine.
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != unix.EINVAL {
		if err != nil {
			return fmt.Errorf("catch Ctrl-Alt-Del: %w", err)
		}
		return nil
	}
	return nil
}

// isMachine reports whether this process is the first of a machine, whose end is its own.
func isMachine() bool { return unix.Getpid() == 1 && !inPIDNamespace() }

// inPIDNamespace reports whether this process is known to be in a PID namespace other than the machine's, whose inode
// number is fixed (PROC_PID_INIT_INO in linux/proc_ns.h).
func inPIDNamespace() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/pid", &st) == nil && st.Ino != 0xEFFFFFFC
}
