package exitreport

import (
	"strconv"

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
	fd, err := unix.Open(r.Root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fault.Wrap(err, "report exit code ", strconv.Itoa(*r.Code), ": open ", r.Root)
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return fault.Wrap(err, "report exit code ", strconv.Itoa(*r.Code), ": statfs ", r.Root)
	}
	if fs.Type != virtiofsMagic {
		return nil
	}
	if err := unix.IoctlSetInt(fd, ioctlExitCode, *r.Code); err != nil {
		return fault.Wrap(err, "report exit code ", strconv.Itoa(*r.Code), ": ioctl 0x", strconv.FormatInt(ioctlExitCode, 16), " on ", r.Root)
	}
	return nil
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
	if unix.Getpid() != 1 || inPIDNamespace() {
		return nil
	}
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		return fault.Wrap(err, "reboot")
	}
	return nil
}

// inPIDNamespace reports whether this process is known to be in a PID namespace other than the machine's, whose inode
// number is fixed (PROC_PID_INIT_INO in linux/proc_ns.h).
func inPIDNamespace() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/pid", &st) == nil && st.Ino != 0xEFFFFFFC
}
