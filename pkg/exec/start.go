//go:build linux || freebsd

package exec

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/poweroff"
)

// Start starts the program as a child and returns its process ID when the program is executed. An
// error is a *StartError; no child is left then.
//
// Start lowers this process's soft limit RLIMIT_NOFILE to what it was when the process started:
// Go raises that limit for itself, and the program inherits it.
func (s *Spec) Start() (pid int, err error) {
	resetOpenFileLimit()
	err = s.start(func(im *image) (f failure, err error) {
		pid, f, err = im.fork()
		return f, err
	})
	return pid, err
}

// Exec replaces this process by the program. It returns only with an error, a *StartError. This
// process then has the state that it had, except for its session, standard streams, umask, OOM
// score, and the soft limit RLIMIT_NOFILE, as after Start; on FreeBSD also except for its IDs.
func (s *Spec) Exec() error {
	resetOpenFileLimit()
	return s.start(func(im *image) (failure, error) {
		defer im.saveLimits()()
		// IDs, capabilities, scheduling and signal mask of Linux belong to a thread. This one is
		// never unlocked, so it ends if the program can't be executed, and no other thread has
		// its state.
		result := make(chan failure)
		go func() {
			runtime.LockOSThread()
			resetIgnored()
			im.setTimerSlack()
			beforeExec()
			f := im.become()
			afterExec()
			result <- f
		}()
		return <-result, nil
	})
}

// These keep the runtime from creating threads during execve(2): clone(2) then fails, which kills
// the process. syscall.Exec calls them, but it also allocates memory, which can fail once the
// program's limits are set, and that kills the process too.
//
//go:linkname beforeExec syscall.runtime_BeforeExec
func beforeExec()

//go:linkname afterExec syscall.runtime_AfterExec
func afterExec()

// resetOpenFileLimit lowers the soft limit RLIMIT_NOFILE, which package syscall raises when a Go
// process starts, to its original value. Only syscall.Exec knows that value; it restores it even if
// the file does not exist. Later calls have no effect.
func resetOpenFileLimit() {
	_ = syscall.Exec("", []string{""}, nil)
}

// start calls try to run the program or, if that is a script without "#!", the shell with the script
// as its argument.
func (s *Spec) start(try func(*image) (failure, error)) error {
	args := s.Process.Args
	if len(args) == 0 {
		err := errors.New("no program given")
		return &StartError{Op: "execute", Err: err, Code: poweroff.NotFound}
	}
	paths := []string{s.Path}
	if s.Path == "" {
		paths = candidates(args[0], s.Process.Env)
	}
	im, err := s.image(paths, args)
	if err != nil {
		return err
	}
	f, err := try(im)
	if err != nil || f.errno == 0 {
		return err
	}
	if f.errno != unix.ENOEXEC || !isScript(paths[f.path]) {
		return im.startError(args[0], f)
	}
	script := paths[f.path]
	im, err = s.image([]string{Shell}, append([]string{Shell, script}, args[1:]...))
	if err != nil {
		return err
	}
	f, err = try(im)
	if err != nil || f.errno == 0 {
		return err
	}
	if f.call < len(im.calls) {
		return im.startError(args[0], f)
	}
	return &StartError{
		Op:   fmt.Sprintf("execute %q", args[0]),
		Err:  fmt.Errorf("%s is a script without #!, and %s can't run it: %w", script, Shell, f.errno),
		Code: poweroff.NotExecutable,
	}
}

// fork starts the image in a child process. It returns when the program is executed or has
// failed.
func (im *image) fork() (pid int, f failure, err error) {
	// A handler of this process must not run in the child, so signals wait until its handlers are
	// gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	im.setTimerSlack()
	syscall.ForkLock.Lock()
	mask := setSignalMask(sigset{1<<64 - 1, 1<<64 - 1})
	pid, errno := im.spawn(&f)
	setSignalMask(mask)
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return 0, f, &StartError{Op: "fork", Err: errno, Code: poweroff.InitFailed}
	}
	if f.errno == 0 {
		return pid, f, nil
	}
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return 0, f, nil
		}
	}
}

// become turns this process, or a child that has the memory of this process, into the program. It
// must not allocate memory or grow the stack, and calls nothing but raw system calls.
//
//go:nosplit
//go:norace
func (im *image) become() failure {
	var result uintptr
	for i := range im.calls {
		c := &im.calls[i]
		a := c.args
		if c.useResult {
			a[0] = result
		}
		r, _, errno := syscall.RawSyscall6(c.number, a[0], a[1], a[2], a[3], a[4], 0)
		if errno != 0 && !c.optional {
			return failure{call: i, errno: errno}
		}
		result = r
	}
	return im.execute()
}

// execute tries the candidates as execvp(3) does. It continues after a candidate that does not exist
// or may not be executed (EACCES). If none can be executed, it reports EACCES in preference to ENOENT.
//
//go:nosplit
//go:norace
func (im *image) execute() failure {
	f := failure{call: len(im.calls), errno: unix.ENOENT}
	for i := range im.paths {
		_, _, errno := syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(im.paths[i])),
			uintptr(unsafe.Pointer(&im.argv[0])), uintptr(unsafe.Pointer(&im.envv[0])))
		switch {
		case errno == unix.ENOTDIR && len(im.paths) > 1: // a file in PATH
		case errno == unix.ENOENT, errno == unix.ENOTDIR, errno == unix.ESTALE,
			errno == unix.ENODEV, errno == unix.ETIMEDOUT:
			if f.errno == unix.ENOENT {
				f.path, f.errno = i, errno
			}
		case errno == unix.EACCES:
			f.path, f.errno = i, errno
		default:
			return failure{call: len(im.calls), path: i, errno: errno}
		}
	}
	return f
}

// resetSignals gives all signals their default disposition. It runs in a child, like become.
//
//go:nosplit
//go:norace
func resetSignals() {
	var action [8]uint64 // struct sigaction with SIG_DFL, which is 0
	for sig := uintptr(1); sig <= lastSignal; sig++ {
		syscall.RawSyscall6(sysSigaction, sig, uintptr(unsafe.Pointer(&action)),
			0, sigsetSize, 0, 0)
	}
}

// resetIgnored gives the signals that this process ignores their default disposition. Otherwise the
// program would ignore them too.
func resetIgnored() {
	const ignored = 1 // SIG_IGN
	for sig := uintptr(1); sig <= lastSignal; sig++ {
		var action, none [8]uint64 // struct sigaction, which begins with the handler
		_, _, _ = syscall.RawSyscall6(sysSigaction, sig, 0, uintptr(unsafe.Pointer(&action)), sigsetSize, 0, 0)
		if action[0] == ignored {
			_, _, _ = syscall.RawSyscall6(sysSigaction, sig, uintptr(unsafe.Pointer(&none)), 0, sigsetSize, 0, 0)
		}
	}
}

// sigset is a signal mask of this thread. Linux uses the first word.
type sigset [2]uint64

// sigsetSize is the size of a mask, which Linux wants as an argument.
const sigsetSize = 8

// setSignalMask replaces the signal mask of this thread and returns the old one.
func setSignalMask(mask sigset) (old sigset) {
	_, _, _ = syscall.RawSyscall6(sysSigprocmask, sigSetmask, uintptr(unsafe.Pointer(&mask)),
		uintptr(unsafe.Pointer(&old)), sigsetSize, 0, 0)
	return old
}

// saveLimits returns a function that restores this process's present limits of the resources that
// the image limits.
func (im *image) saveLimits() (restore func()) {
	limits := make([]unix.Rlimit, len(im.resources))
	for i, resource := range im.resources {
		_ = unix.Getrlimit(resource, &limits[i])
	}
	return func() {
		for i, resource := range im.resources {
			_ = unix.Setrlimit(resource, &limits[i])
		}
	}
}

// StartError is the reason why a program could not be started.
type StartError struct {
	Op   string // operation and object: `execute "foo"`
	Err  error
	Code int // exit code for the host: 127 not found, 126 not executable, 125 everything else
}

func (e *StartError) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *StartError) Unwrap() error { return e.Err }

// ExitCode returns the exit code for an error: that of a *StartError, else poweroff.InitFailed.
func ExitCode(err error) int {
	if start, ok := errors.AsType[*StartError](err); ok {
		return start.Code
	}
	return poweroff.InitFailed
}
