package exec

import (
	"errors"
	"fmt"
	"runtime"
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
// but for its session, standard streams, umask, score of the OOM killer and signal handlers.
func (s *Spec) Exec() error {
	return s.tryShell(func(im *image) failure {
		own := make([]unix.Rlimit, len(im.limits))
		for i, l := range im.limits {
			_ = unix.Prlimit(0, l.Resource, nil, &own[i])
		}
		defer func() {
			for i, l := range im.limits {
				_ = unix.Prlimit(0, l.Resource, &own[i], nil)
			}
		}()
		// Identity, capabilities, scheduling and signal mask belong to a thread: this one ends when the program can't be
		// executed, and no other thread sees what was changed.
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
		return &StartError{Code: poweroff.NotFound, Op: "execute", Err: errors.New("no program given")}
	}
	candidates := []string{s.Path}
	if s.Path == "" {
		path, ok := lookUp(s.Env, "PATH")
		if !ok {
			path = DefaultPath
		}
		candidates = Candidates(s.Args[0], path)
	}
	im, err := s.image(candidates, s.Args)
	if err != nil {
		return err
	}
	f := start(im)
	if f.errno == unix.ENOEXEC && isScript(candidates[f.index]) {
		script := candidates[f.index]
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

// lookUp returns the value of a variable in an environment, and whether it is there.
func lookUp(env []string, name string) (string, bool) {
	for _, entry := range slices.Backward(env) {
		if len(entry) > len(name) && entry[len(name)] == '=' && entry[:len(name)] == name {
			return entry[len(name)+1:], true
		}
	}
	return "", false
}

// failure says at which step a program could not be started. The zero value is success.
type failure struct {
	step  step
	index int32 // what of it: the number of a capability, the place in image.limits, for execution that in image.paths
	errno syscall.Errno
}

// image is a Spec in the form of system calls, for between fork and exec nothing can be allocated.
type image struct {
	calls []call // what turns a process into one in the state that is asked for
	paths []*byte
	argv  []*byte
	envv  []*byte

	limits []rlimit.Limit
	kept   []unsafe.Pointer // what arguments of calls point to
}

// call is a system call.
type call struct {
	number    uintptr
	args      [5]uintptr
	step      step  // what the call is part of
	index     int32 // see failure
	optional  bool  // the program can do without
	useResult bool  // the first argument is the result of the call before
}

func (s *Spec) image(candidates, args []string) (*image, error) {
	im := &image{calls: make([]call, 0, 16)}
	for _, list := range []struct {
		strings []string
		to      *[]*byte
	}{{candidates, &im.paths}, {args, &im.argv}, {s.Env, &im.envv}} {
		var err error
		if *list.to, err = cStrings(list.strings); err != nil {
			return nil, &StartError{Code: poweroff.InitFailed, Op: "execute " + strconv.Quote(s.Args[0]), Err: err}
		}
	}
	im.paths = im.paths[:len(candidates)] // without the terminating nil
	s.prepare(im)
	return im, nil
}

// cStrings returns pointers to copies that end in a NUL byte, and nil behind the last. All copies are one piece of memory.
func cStrings(list []string) ([]*byte, error) {
	size := 0
	for _, s := range list {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, fmt.Errorf("%q has a NUL byte: %w", s, unix.EINVAL)
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
//go:nosplit
//go:norace
func (im *image) become() failure {
	afterForkInChild() // signal handlers to default
	var result uintptr
	for i := range im.calls {
		c := &im.calls[i]
		first := c.args[0]
		if c.useResult {
			first = result
		}
		r, _, errno := syscall.RawSyscall6(c.number, first, c.args[1], c.args[2], c.args[3], c.args[4], 0)
		if errno != 0 && !c.optional {
			return failure{c.step, c.index, errno}
		}
		result = r
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
		case unix.ENOENT, unix.ENOTDIR, unix.ESTALE, unix.ENODEV, unix.ETIMEDOUT:
			if f.errno == unix.ENOENT {
				f.index, f.errno = int32(i), e
			}
		case unix.EACCES:
			f.index, f.errno = int32(i), e
		default:
			return failure{stepExec, int32(i), e}
		}
	}
	return f
}
