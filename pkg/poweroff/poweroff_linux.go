package poweroff

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/fault"
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

// Describe implements boot.Op.
func (r Report) Describe() boot.Desc {
	return boot.Desc{Verb: "report exit code", Object: r.Root, Attrs: []boot.Attr{
		boot.A("ioctl", "0x"+strconv.FormatInt(ioctlExitCode, 16)), boot.A("unless", "not virtiofs"),
	}}
}

// Do implements boot.Op.
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
		return fault.Wrap(err, "report exit code ", code, ": open ", r.Root)
	}
	defer unix.Close(fd)
	if !isVirtiofs(fd) {
		return nil
	}
	err = unix.IoctlSetInt(fd, ioctlExitCode, *r.Code)
	return fault.Wrap(err, "report exit code ", code, ": ioctl 0x", strconv.FormatInt(ioctlExitCode, 16), " on ", r.Root)
}

func isVirtiofs(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Type == virtiofsMagic
}

// Sync writes all file systems to their devices, sync(2).
type Sync struct{}

// Describe implements boot.Op.
func (Sync) Describe() boot.Desc { return boot.Desc{Verb: "sync", Object: "all file systems"} }

// Do implements boot.Op.
func (Sync) Do() error {
	unix.Sync()
	return nil
}

// PowerOff ends the machine by reboot(2) with RB_AUTOBOOT, on which a libkrun host ends the VM. In a PID namespace, which
// is no machine, it does nothing, and the caller exits instead.
type PowerOff struct{}

// Describe implements boot.Op.
func (PowerOff) Describe() boot.Desc { return boot.Desc{Verb: "reboot", Object: "RB_AUTOBOOT"} }

// Do implements boot.Op.
func (PowerOff) Do() error {
	if !isMachine() {
		return nil
	}
	return fault.Wrap(unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART), "reboot")
}

// Deadline is the operation after which the machine has a time to end by itself: then it ends as by PowerOff, whatever hangs:
// sync(2) on a file system whose host is gone, an unmount, a console that nobody reads. Where PowerOff does nothing, it
// does nothing.
type Deadline struct {
	After time.Duration
	Arm   func(after time.Duration) error // signals.RestartAfter
}

// Describe implements boot.Op.
func (d Deadline) Describe() boot.Desc {
	return boot.Desc{Verb: "limit", Object: "the end", Attrs: []boot.Attr{boot.A("to", d.After.String()), boot.A("then", "RB_AUTOBOOT")}}
}

// Do implements boot.Op.
func (d Deadline) Do() error {
	if !isMachine() {
		return nil
	}
	return d.Arm(d.After)
}

// CtrlAltDel is the operation after which Ctrl-Alt-Del does not restart the machine at once: the kernel raises SIGINT for
// process 1, see reboot(2). It does nothing in another process or in a PID namespace.
type CtrlAltDel struct{}

// Describe implements boot.Op.
func (CtrlAltDel) Describe() boot.Desc {
	return boot.Desc{Verb: "catch", Object: "Ctrl-Alt-Del", Attrs: []boot.Attr{boot.A("as", "SIGINT")}}
}

// Do implements boot.Op.
func (CtrlAltDel) Do() error {
	if unix.Getpid() != 1 {
		return nil
	}
	// Before /proc is there, the error is what tells a namespace from the machine.
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != unix.EINVAL {
		return fault.Wrap(err, "catch Ctrl-Alt-Del")
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
