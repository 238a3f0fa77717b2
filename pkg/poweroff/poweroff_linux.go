package poweroff

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// IsReboot reports whether the wait status of the first process of a PID namespace means that a
// process of the namespace called reboot(2). The status then says that SIGHUP or SIGINT killed the
// process. These signals themselves never do: without a handler, the first process ignores them.
func IsReboot(status unix.WaitStatus) bool {
	return status.Signaled() && (status.Signal() == unix.SIGHUP || status.Signal() == unix.SIGINT)
}

// ioctlExitCode is a request of libkrun's virtiofs server; its argument is the code itself.
const ioctlExitCode = 0x7602

// Report is the operation that reports the exit code to the host, by an ioctl on the virtiofs root.
// It does nothing if the root is not virtiofs, because then no host serves the ioctl.
type Report struct {
	Root string // a path
	// FD, unless nil, returns a descriptor of the root that the machine started with, and whether
	// there is one. If that root is virtiofs, it is used instead of Root.
	FD   func() (fd int, ok bool)
	Code *int // read by Do
}

func (r Report) Describe() op.Description {
	return op.Describe("report exit code", r.Root, "ioctl", fmt.Sprintf("%#x", ioctlExitCode),
		"unless", "not virtiofs")
}

func (r Report) Do() (err error) {
	defer op.Wrap(&err, "report exit code %d", *r.Code)
	dir, path := unix.AT_FDCWD, r.Root
	if r.FD != nil {
		if fd, ok := r.FD(); ok && isVirtiofs(fd) {
			dir, path = fd, "."
		}
	}
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", r.Root, err)
	}
	defer unix.Close(fd)
	if !isVirtiofs(fd) {
		return nil
	}
	defer op.Wrap(&err, "ioctl %#x on %s", ioctlExitCode, r.Root)
	return unix.IoctlSetInt(fd, ioctlExitCode, *r.Code)
}

func isVirtiofs(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.FUSE_SUPER_MAGIC
}

// CtrlAltDel is the operation after which Ctrl-Alt-Del no longer restarts the machine at once: the
// kernel sends SIGINT to process 1 instead, see reboot(2). It does nothing in another process or in
// a PID namespace.
type CtrlAltDel struct{}

func (CtrlAltDel) Describe() op.Description {
	return op.Describe("catch", "Ctrl-Alt-Del", "as", "SIGINT")
}

func (CtrlAltDel) Do() error {
	if unix.Getpid() != 1 {
		return nil
	}
	if err := catchCtrlAltDel(); err != nil && err != unix.EINVAL {
		return fmt.Errorf("catch Ctrl-Alt-Del: %w", err)
	}
	return nil
}

// catchCtrlAltDel fails with EINVAL in a PID namespace.
func catchCtrlAltDel() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) }

// isMachine reports whether this process is the first one of a machine, and not of another PID
// namespace. It asks the kernel, because a workload may have mounted anything on /proc.
func isMachine() bool { return unix.Getpid() == 1 && catchCtrlAltDel() == nil }

// reboot calls reboot(2) with RB_AUTOBOOT. In a PID namespace the kernel ends the namespace.
func reboot() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) }

// RaiseLimits is the operation that raises the resource limits of this process. A workload with
// CAP_SYS_RESOURCE can lower them, prlimit(2); with a limit of no open files, for example, this
// process could not report the exit code. If this process lacks CAP_SYS_RESOURCE, RaiseLimits raises
// the soft limits to the hard ones.
type RaiseLimits struct{}

func (RaiseLimits) Describe() op.Description {
	return op.Describe("raise", "resource limits of this process", "openFiles", openFiles)
}

// openFiles is the limit of open files. It cannot be unlimited, because fs.nr_open bounds it. The end
// of a machine needs fewer.
const openFiles = 1024

func (RaiseLimits) Do() error {
	var errs error
	for resource := range unix.RLIMIT_RTTIME + 1 {
		limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
		if resource == unix.RLIMIT_NOFILE {
			limit = unix.Rlimit{Cur: openFiles, Max: openFiles}
		}
		// Not package syscall's function, which remembers a limit for programs that it starts.
		if unix.Prlimit(0, resource, &limit, nil) != nil {
			_ = unix.Prlimit(0, resource, nil, &limit)
			limit.Cur = limit.Max
			errs = errors.Join(errs, unix.Prlimit(0, resource, &limit, nil))
		}
	}
	return errs
}
