package exec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/rlimit"
)

// The runtime's hooks around a fork. Package syscall's own fork can't set resource limits, and limits set beforehand, on
// this process, would be this process's: with RLIMIT_AS of some megabytes it would die of them.
//
//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// step is a part of starting a program that can fail.
type step int32

const (
	stepFork step = iota + 1
	stepLimits
	stepGroups
	stepGID
	stepUID
	stepExec
)

// failure says at which step, and for the last one at which candidate, a program could not be started. The zero value is
// success.
type failure struct {
	step      step
	candidate int32 // index in image.paths; of a limit, in Spec.Limits
	errno     syscall.Errno
}

func (s *Spec) startError(f failure, candidates []string) error {
	e := &StartError{Code: poweroff.InitFailed, Err: f.errno}
	switch f.step {
	case stepFork:
		e.Op = "fork"
	case stepLimits:
		e.Op = "set " + s.Limits[f.candidate].String()
	case stepGroups:
		e.Op = "set the additional groups"
	case stepGID:
		e.Op = "set gid " + utoa(s.User.GID)
	case stepUID:
		e.Op = "set uid " + utoa(s.User.UID)
	default:
		e.Op = "execute " + strconv.Quote(s.Args[0])
		e.Code = poweroff.NotExecutable
		if f.errno == unix.ENOENT {
			e.Code = poweroff.NotFound
		}
		if len(candidates) > 1 {
			e.Err = fmt.Errorf("looked for in PATH, last reason %s: %w", candidates[f.candidate], f.errno)
		}
	}
	return e
}

// Start starts the program in a child process and returns its process ID once the program is executed. An error is a
// *StartError.
func (s *Spec) Start() (pid int, err error) {
	err = s.tryShell(func(im *image) failure {
		var f failure
		pid, f = im.fork()
		return f
	})
	return pid, err
}

// Exec replaces this process by the program. It returns only with an error, a *StartError; this process is then as it was,
// but for its session, its identity and its signal handlers.
func (s *Spec) Exec() error {
	return s.tryShell(func(im *image) failure {
		own := make([]unix.Rlimit, len(im.limits))
		for i, l := range im.limits {
			_ = unix.Getrlimit(l.resource, &own[i])
		}
		beforeFork()
		f := im.become()
		afterFork()
		for i, l := range im.limits {
			_ = unix.Setrlimit(l.resource, &own[i])
		}
		return f
	})
}

// tryShell runs start for the program, and where the kernel does not know the file's format, for a shell on the file.
func (s *Spec) tryShell(start func(*image) failure) error {
	if len(s.Args) == 0 {
		return &StartError{Code: poweroff.NotFound, Op: "execute", Err: errors.New("no program given")}
	}
	candidates := Candidates(s.Args[0], pathOf(s.Env))
	im, err := s.image(candidates, s.Args)
	if err != nil {
		return err
	}
	f := start(im)
	if f.errno == unix.ENOEXEC {
		script := candidates[f.candidate]
		if im, err = s.image([]string{Shell}, append([]string{Shell, script}, s.Args[1:]...)); err != nil {
			return err
		}
		candidates, f = []string{Shell}, start(im)
		if f.step == stepExec { // it is the script that was asked for, and that is there
			return &StartError{Code: poweroff.NotExecutable, Op: "execute " + strconv.Quote(s.Args[0]),
				Err: fmt.Errorf("%s is a script without #!, and %s can't run it: %w", script, Shell, f.errno)}
		}
	}
	if f.errno == 0 {
		return nil
	}
	return s.startError(f, candidates)
}

// pathOf is the search path of an environment.
func pathOf(env []string) string {
	for _, entry := range slices.Backward(env) {
		if path, ok := strings.CutPrefix(entry, "PATH="); ok {
			return path
		}
	}
	return DefaultPath
}

// image is a Spec in the form of system call arguments, for between fork and exec nothing can be allocated.
type image struct {
	paths      []*byte
	argv       []*byte
	envv       []*byte
	limits     []limit
	groups     []uint32
	setIDs     bool
	uid        uint32
	gid        uint32
	umask      int // -1: none
	newSession bool
}

type limit struct {
	resource int
	value    unix.Rlimit
}

func (s *Spec) image(candidates, args []string) (*image, error) {
	im := &image{umask: -1, newSession: s.NewSession}
	for _, list := range []struct {
		strings []string
		to      *[]*byte
	}{{candidates, &im.paths}, {args, &im.argv}, {s.Env, &im.envv}} {
		var err error
		if *list.to, err = syscall.SlicePtrFromStrings(list.strings); err != nil {
			return nil, &StartError{Code: poweroff.InitFailed, Op: "execute " + strconv.Quote(s.Args[0]), Err: err}
		}
	}
	im.paths = im.paths[:len(candidates)] // without the terminating nil
	for _, l := range s.Limits {
		im.limits = append(im.limits, limit{l.Resource, unix.Rlimit{Cur: value(l.Soft), Max: value(l.Hard)}})
	}
	if u := s.User; u != nil {
		im.setIDs, im.uid, im.gid = true, u.UID, u.GID
		// The kernel's first group is the effective one, getgroups(2).
		im.groups = append([]uint32{u.GID}, u.AdditionalGIDs...)
		if u.Umask != nil {
			im.umask = int(*u.Umask)
		}
	}
	return im, nil
}

// value is a limit as this kernel has it, whose numbers are signed.
func value(n uint64) int64 { return int64(min(n, unix.RLIM_INFINITY, rlimit.Infinity)) }

// fork starts the image in a child process, and returns when the program is executed or has failed to be: the child then
// writes its failure to a pipe, which else the exec closes.
func (im *image) fork() (pid int, f failure) {
	var report [2]int
	if err := unix.Pipe2(report[:], unix.O_CLOEXEC); err != nil {
		errno, _ := errors.AsType[syscall.Errno](err)
		return 0, failure{step: stepFork, errno: errno}
	}
	defer unix.Close(report[0])
	syscall.ForkLock.Lock()
	pid, errno := im.forkChild(report[1])
	syscall.ForkLock.Unlock()
	unix.Close(report[1])
	if errno != 0 {
		return 0, failure{step: stepFork, errno: errno}
	}
	text := unsafe.Slice((*byte)(unsafe.Pointer(&f)), unsafe.Sizeof(f))
	for {
		n, err := unix.Read(report[0], text)
		if err == unix.EINTR {
			continue
		}
		if n != len(text) {
			return pid, failure{} // it is executed, or was killed, which is as good
		}
		break
	}
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return 0, f
		}
	}
}

// forkChild forks a child, which executes the program and never returns; its failure it writes to the descriptor report.
//
//go:noinline
//go:norace
func (im *image) forkChild(report int) (pid int, errno syscall.Errno) {
	beforeFork()
	r, _, errno := syscall.RawSyscall(syscall.SYS_FORK, 0, 0, 0)
	if errno != 0 || r != 0 {
		afterFork()
		return int(r), errno
	}
	f := im.become()
	syscall.RawSyscall(syscall.SYS_WRITE, uintptr(report), uintptr(unsafe.Pointer(&f)), unsafe.Sizeof(f))
	for {
		syscall.RawSyscall(syscall.SYS_EXIT, 125, 0, 0)
	}
}

// become turns the calling process into the program. It runs between beforeFork and, if it returns, afterFork, maybe in a
// forked child: it must not allocate, grow the stack, or call anything but raw system calls.
//
// The order is that of what a step still needs: the terminal and raised limits need root's rights, groups those of the old
// identity.
//
//go:nosplit
//go:norace
func (im *image) become() failure {
	afterForkInChild() // signal handlers to default, nothing blocked

	if im.newSession {
		// EPERM says that this process leads its group, and so has a session already. Without a terminal the program can
		// still run.
		syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
		syscall.RawSyscall(syscall.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
	}
	if im.umask >= 0 {
		syscall.RawSyscall(syscall.SYS_UMASK, uintptr(im.umask), 0, 0)
	}
	for i := range im.limits {
		l := &im.limits[i]
		_, _, e := syscall.RawSyscall(syscall.SYS_SETRLIMIT, uintptr(l.resource), uintptr(unsafe.Pointer(&l.value)), 0)
		if e != 0 {
			return failure{step: stepLimits, candidate: int32(i), errno: e}
		}
	}
	if im.setIDs {
		_, _, e := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(im.groups)), uintptr(unsafe.Pointer(&im.groups[0])), 0)
		if e != 0 {
			return failure{step: stepGroups, errno: e}
		}
		gid, uid := uintptr(im.gid), uintptr(im.uid)
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESGID, gid, gid, gid); e != 0 {
			return failure{step: stepGID, errno: e}
		}
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, uid, uid, uid); e != 0 {
			return failure{step: stepUID, errno: e}
		}
	}
	return im.execute()
}

// execute tries the candidates as execvp(3) does: one that is not there or not permitted is no reason to stop, but the
// latter is what is reported.
//
//go:nosplit
//go:norace
func (im *image) execute() failure {
	f := failure{step: stepExec, errno: unix.ENOENT}
	for i := range im.paths {
		_, _, e := syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(im.paths[i])),
			uintptr(unsafe.Pointer(&im.argv[0])), uintptr(unsafe.Pointer(&im.envv[0])))
		switch e {
		case unix.ENOENT, unix.ENOTDIR:
			if f.errno == unix.ENOENT {
				f.candidate, f.errno = int32(i), e
			}
		case unix.EACCES:
			f.candidate, f.errno = int32(i), e
		default:
			return failure{step: stepExec, candidate: int32(i), errno: e}
		}
	}
	return f
}
