package exec

import (
	"fmt"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/poweroff"
)

const (
	procDir = "/proc"
	// Descriptors in the child: the proc file system's context and mount, and the first mount that
	// is kept. The program's streams and what this process has open are below.
	contextFD, procFD, keptFD = 198, 199, 200
	// maxKept keeps the descriptors below the default limit, 1024.
	maxKept = 800
)

// preparePIDNamespace starts the program in a PID namespace of its own. The child mounts the proc
// file system, which shows the namespace of the process that makes it.
func (s *Spec) preparePIDNamespace(im *image) error {
	im.cloneFlags = unix.CLONE_NEWPID
	var fs unix.Statfs_t
	if err := unix.Statfs(procDir, &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return nil // the configuration has put something else there
	}
	var err error
	if s.procMounts == nil { // else this is a second attempt, and /proc has been replaced
		s.workdir, _ = syscall.Getwd()
		s.procMounts, err = s.ProcMounts()
	}
	points, kept := s.procMounts, keptMounts(s.procMounts)
	if err == nil && len(kept) > maxKept {
		err = fmt.Errorf("more than %d mounts", maxKept)
	}
	if err != nil {
		op := "find what is mounted below " + procDir
		return &StartError{Op: op, Err: err, Code: poweroff.InitFailed}
	}
	// The new mount comes first, so that it is listed before those on it. All paths are absolute.
	const mountOp = "mount proc of the PID namespace on " + procDir
	name := im.text("proc")
	im.do(mountOp, unix.SYS_FSOPEN, name, unix.FSOPEN_CLOEXEC)
	im.keepResult(mountOp, contextFD)
	im.do(mountOp, unix.SYS_FSCONFIG, contextFD, unix.FSCONFIG_SET_STRING, im.text("source"), name)
	im.do(mountOp, unix.SYS_FSCONFIG, contextFD, unix.FSCONFIG_CMD_CREATE)
	im.do(mountOp, unix.SYS_FSMOUNT, contextFD, unix.FSMOUNT_CLOEXEC, mountAttrs(fs.Flags))
	im.keepResult(mountOp, procFD)
	for i, point := range kept {
		const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE
		op := "keep what is mounted on " + point
		im.do(op, unix.SYS_OPEN_TREE, 0, im.text(point), flags)
		im.keepResult(op, keptFD+i)
	}
	for _, point := range points {
		if point == procDir { // more than one if it is mounted over itself
			im.try(unix.SYS_UMOUNT2, im.text(procDir), unix.MNT_DETACH)
		}
	}
	for i, point := range append([]string{procDir}, kept...) {
		im.do("move a mount to "+point, unix.SYS_MOVE_MOUNT, uintptr(procFD+i), im.text(""),
			0, im.text(point), unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	if within(s.workdir, procDir) {
		im.try(unix.SYS_CHDIR, im.text(s.workdir)) // it was on the file system that is gone
	}
	return nil
}

// keepResult moves the descriptor that the last call returns to fd.
func (im *image) keepResult(op string, fd int) {
	im.do(op, unix.SYS_DUP3, 0, uintptr(fd), unix.O_CLOEXEC).useResult = true
}

// keptMounts returns the mount points below /proc, each once, without those below another one.
func keptMounts(points []string) (kept []string) {
	for _, point := range points {
		covered := func(other string) bool {
			return other != procDir && other != point && within(point, other)
		}
		if point != procDir && !slices.Contains(kept, point) && !slices.ContainsFunc(points, covered) {
			kept = append(kept, point)
		}
	}
	return kept
}

// within reports whether the path name is dir or below it.
func within(name, dir string) bool {
	rest, ok := strings.CutPrefix(name, dir)
	return ok && (rest == "" || rest[0] == '/')
}

// mountAttrs returns the attributes for fsmount(2) that stand for flags of statfs(2).
func mountAttrs(flags int64) uintptr {
	const (
		// These have the same values for both.
		same = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV |
			unix.MOUNT_ATTR_NOEXEC
		noatime, nodiratime, relatime = 0x400, 0x800, 0x1000 // ST_* of linux/statfs.h
	)
	attrs := uintptr(flags & same)
	if flags&nodiratime != 0 {
		attrs |= unix.MOUNT_ATTR_NODIRATIME
	}
	switch {
	case flags&noatime != 0:
		attrs |= unix.MOUNT_ATTR_NOATIME
	case flags&relatime == 0:
		attrs |= unix.MOUNT_ATTR_STRICTATIME
	}
	return attrs
}
