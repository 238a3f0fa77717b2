package exec

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	sysSigaction   = unix.SYS_SIGACTION
	sysSigprocmask = unix.SYS_SIGPROCMASK
	sigSetmask     = 3   // SIG_SETMASK of sys/signal.h
	lastSignal     = 127 // the highest valid number is _SIG_MAXSIG - 1
)

func (*image) setTimerSlack() {}

// spawn forks a child that executes the image, and waits until it does so or fails. It stores the
// failure in f. The child writes its failure to a pipe, which execve(2) closes.
func (im *image) spawn(f *failure) (pid int, errno syscall.Errno) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		errno, _ := errors.AsType[syscall.Errno](err)
		return 0, errno
	}
	defer unix.Close(pipe[0])
	pid, errno = im.forkChild(pipe[1])
	unix.Close(pipe[1])
	if errno != 0 {
		return 0, errno
	}
	report := unsafe.Slice((*byte)(unsafe.Pointer(f)), unsafe.Sizeof(*f))
	for {
		// Nothing to read means that the program is executed, or that the child was killed.
		if _, err := unix.Read(pipe[0], report); err != unix.EINTR {
			return pid, 0
		}
	}
}

// forkChild forks. The child never returns, and writes a failure to the descriptor report.
//
//go:noinline
//go:norace
func (im *image) forkChild(report int) (pid int, errno syscall.Errno) {
	r, _, errno := syscall.RawSyscall(unix.SYS_FORK, 0, 0, 0)
	if errno != 0 || r != 0 {
		return int(r), errno
	}
	resetSignals()
	f := im.become()
	syscall.RawSyscall(unix.SYS_WRITE,
		uintptr(report), uintptr(unsafe.Pointer(&f)), unsafe.Sizeof(f))
	for {
		syscall.RawSyscall(unix.SYS_EXIT, 125, 0, 0)
	}
}
