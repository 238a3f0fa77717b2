package exec

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/poweroff"
)

const (
	sysSigaction   = unix.SYS_RT_SIGACTION
	sysSigprocmask = unix.SYS_RT_SIGPROCMASK
	sigSetmask     = unix.SIG_SETMASK
	lastSignal     = 64
)

// setTimerSlack sets the timer slack of this thread. A child inherits it as its slack and as its
// default slack. The default would not change if the child set its slack itself before it executes.
func (im *image) setTimerSlack() {
	if im.timerSlack != 0 {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(im.timerSlack), 0, 0, 0) // can't fail
	}
}

// spawn forks a child that executes the image. The child shares this process's memory, and this
// thread is suspended until the child has executed the program or ends. The child never returns;
// it leaves its failure in f.
//
//go:noinline
//go:norace
func (im *image) spawn(f *failure) (pid int, errno syscall.Errno) {
	r := vfork(im.cloneFlags)
	if r < 0 {
		return 0, syscall.Errno(-r)
	}
	if r > 0 {
		return r, 0
	}
	resetSignals()
	r2, _, _ := syscall.RawSyscall(unix.SYS_GETPID, 0, 0, 0)
	im.pid = int32(r2)
	*f = im.become()
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, poweroff.InitFailed, 0, 0)
	}
}

// vfork is clone(2) with CLONE_VM, CLONE_VFORK, SIGCHLD and the given flags: unlike fork(2), it
// copies no page tables, and needs no memory. It returns twice: 0 in the child, and the child's
// process ID or a negative errno in the parent.
//
// It is in assembly because the child runs on the parent's stack: a vfork in Go would return to
// the parent by a return address that the child has overwritten.
func vfork(flags uintptr) int
