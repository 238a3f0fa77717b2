package workload

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/exitreport"
	"github.com/krunbox/krunbox/pkg/fault"
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
// but for its session, its standard streams and its signal handlers.
func (s *Spec) Exec() error {
	return s.tryShell(func(im *image) failure {
		own := make([]unix.Rlimit, len(im.limits))
		for i, l := range im.limits {
			_ = unix.Prlimit(0, l.resource, nil, &own[i])
		}
		defer func() {
			for i, l := range im.limits {
				_ = unix.Prlimit(0, l.resource, &own[i], nil)
			}
		}()
		// Identity and signal mask belong to a thread: this one ends when the program can't be executed, and no other
		// thread sees what was changed.
		result := make(chan failure)
		go func() {
			runtime.LockOSThread()
			beforeFork()
			f := im.become()
			afterFork()
			result <- f
		}()
		return <-result
	})
}

// tryShell runs start for the program, and where the kernel does not know the file's format, for a shell on the file.
func (s *Spec) tryShell(start func(*image) failure) error {
	if len(s.Args) == 0 {
		return &StartError{Code: exitreport.NotFound, Op: "execute", Err: errors.New("no program given")}
	}
	candidates := []string{s.Path}
	if s.Path == "" {
		candidates = Candidates(s.Args[0], pathOf(s.Env))
	}
	im, err := s.image(candidates, s.Args)
	if err != nil {
		return err
	}
	f := start(im)
	if f.errno == unix.ENOEXEC && isScript(candidates[f.candidate]) {
		script := candidates[f.candidate]
		if im, err = s.image([]string{Shell}, append([]string{Shell, script}, s.Args[1:]...)); err != nil {
			return err
		}
		candidates, f = []string{Shell}, start(im)
		if f.step == stepExec { // it is the script that was asked for, and that is there
			return &StartError{Code: exitreport.NotExecutable, Op: "execute " + strconv.Quote(s.Args[0]),
				Err: fault.Wrap(f.errno, script, " is a script without #!, and ", Shell, " can't run it")}
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

// failure says at which step, and for the last one at which candidate, a program could not be started. The zero value is
// success.
type failure struct {
	step      step
	candidate int32 // index in image.paths; of a limit, in Spec.Limits
	errno     syscall.Errno
}

// image is a Spec in the form of system call arguments, for between fork and exec nothing can be allocated.
type image struct {
	paths   []*byte
	argv    []*byte
	envv    []*byte
	limits  []limit
	groups  []uint32
	setIDs  bool
	uid     uint32
	gid     uint32
	umask   int // -1: none
	streams [3]int
	tty     int // standard descriptor that becomes the controlling terminal; -1: none

	newSession, closeOthers bool
}

type limit struct {
	resource int
	value    unix.Rlimit
	optional bool
}

func (s *Spec) image(candidates, args []string) (*image, error) {
	im := &image{umask: -1, streams: s.Streams, tty: -1, newSession: s.NewSession, closeOthers: s.CloseOthers}
	for _, list := range []struct {
		strings []string
		to      *[]*byte
	}{{candidates, &im.paths}, {args, &im.argv}, {s.Env, &im.envv}} {
		var err error
		if *list.to, err = cStrings(list.strings); err != nil {
			return nil, &StartError{Code: exitreport.InitFailed, Op: "execute " + strconv.Quote(s.Args[0]), Err: err}
		}
	}
	im.paths = im.paths[:len(candidates)] // without the terminating nil
	for _, l := range s.Limits {
		im.limits = append(im.limits, limit{l.Resource, unix.Rlimit{Cur: l.Soft, Max: l.Hard}, false})
	}
	for _, l := range s.wanted() {
		im.limits = append(im.limits, limit{l.Resource, unix.Rlimit{Cur: l.Soft, Max: l.Hard}, true})
	}
	if u := s.User; u != nil {
		im.setIDs, im.uid, im.gid, im.groups = true, u.UID, u.GID, u.AdditionalGIDs
		if u.Umask != nil {
			im.umask = int(*u.Umask)
		}
	}
	for i, fd := range s.Streams {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev == unix.Mkdev(1, 3) {
			continue
		}
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil && im.tty < 0 && s.NewSession {
			im.tty = i
		}
		if im.setIDs && im.uid != st.Uid {
			// A terminal or port is the user's, who may open it anew by /dev/stdout. A root that can't, can't.
			_ = unix.Fchown(fd, int(im.uid), -1)
		}
	}
	return im, nil
}

// cStrings returns pointers to copies that end in a NUL byte, and nil behind the last. All copies are one piece of memory.
func cStrings(list []string) ([]*byte, error) {
	size := 0
	for _, s := range list {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, fault.Wrap(unix.EINVAL, strconv.Quote(s), " has a NUL byte")
		}
		size += len(s) + 1
	}
	pointers := make([]*byte, len(list)+1)
	buf := make([]byte, size)
	for i, s := range list {
		pointers[i] = &buf[0]
		buf = buf[copy(buf, s)+1:]
	}
	return pointers, nil
}

// fork starts the image in a child process, and returns when the program is executed or has failed to be.
func (im *image) fork() (pid int, f failure) {
	syscall.ForkLock.Lock()
	pid, errno := im.forkChild(&f)
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return 0, failure{step: stepFork, errno: errno}
	}
	if f.errno == 0 {
		return pid, f
	}
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return 0, f
		}
	}
}

// forkChild forks a child that shares this process's memory, and stops this thread until it executes the program or ends.
// The child never returns; its failure it leaves in f.
//
//go:noinline
//go:norace
func (im *image) forkChild(f *failure) (pid int, errno syscall.Errno) {
	beforeFork()
	r := vfork()
	if r != 0 {
		afterFork()
		if r < 0 {
			return 0, syscall.Errno(-r)
		}
		return r, 0
	}
	*f = im.become()
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 125, 0, 0)
	}
}

// vfork is clone(2) with CLONE_VM, CLONE_VFORK and SIGCHLD. It returns twice: 0 in the child, the child's process ID or a
// negative errno in the parent.
func vfork() int

// become turns the calling process into the program. It runs between beforeFork and, if it returns, afterFork, maybe in a
// forked child: it must not allocate, grow the stack, or call anything but raw system calls.
//
// The order is that of what a step still needs: the terminal and raised limits need root's rights, groups those of the old
// identity, and the signal mask opens when the handlers are gone.
//
//go:nosplit
//go:norace
func (im *image) become() failure {
	afterForkInChild() // signal handlers to default

	if im.newSession {
		// EPERM says that this process leads its group, and so has a session already.
		syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
	}
	for i := range im.streams {
		if im.streams[i] == i {
			continue
		}
		if _, _, e := syscall.RawSyscall(syscall.SYS_DUP3, uintptr(im.streams[i]), uintptr(i), 0); e != 0 {
			return failure{step: stepStreams, errno: e}
		}
	}
	if im.tty >= 0 {
		// 1: taken from the session that has it, if any. Without a terminal the program can still run.
		syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(im.tty), unix.TIOCSCTTY, 1)
	}
	if im.closeOthers {
		// Ours close by themselves; these are what somebody left to us. Kernels before 5.11 don't know the call.
		syscall.RawSyscall(unix.SYS_CLOSE_RANGE, 3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	}
	if im.umask >= 0 {
		syscall.RawSyscall(syscall.SYS_UMASK, uintptr(im.umask), 0, 0)
	}
	for i := range im.limits {
		l := &im.limits[i]
		_, _, e := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, uintptr(l.resource), uintptr(unsafe.Pointer(&l.value)), 0, 0, 0)
		if e != 0 && !l.optional {
			return failure{step: stepLimits, candidate: int32(i), errno: e}
		}
	}
	if im.setIDs {
		var groups unsafe.Pointer
		if len(im.groups) > 0 {
			groups = unsafe.Pointer(&im.groups[0])
		}
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(im.groups)), uintptr(groups), 0); e != 0 {
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
	var none uint64
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
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
		case unix.ENOENT, unix.ENOTDIR, unix.ESTALE, unix.ENODEV, unix.ETIMEDOUT:
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
