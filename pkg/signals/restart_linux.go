package signals

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// RestartAfter has reboot(2) called, with RB_AUTOBOOT, when a time above 0 has passed, whatever the calling goroutine does by
// then or waits for; a call in the meantime sets the time anew. It takes SIGALRM and the timer of setitimer(2) for that: another
// thread takes the signal, and its handler is the system call, so that nothing of Go's has to work any more. Only process 1 may
// ask for it. In a PID namespace, which is no machine, the kernel ends the namespace.
//
// The goroutine stays in its thread from then on, and SIGALRM is blocked there: the kernel gives a signal to one thread only, and
// must not choose the one that hangs.
func RestartAfter(after time.Duration) error {
	const doing = "set the time to restart"
	if unix.Getpid() != 1 {
		return fmt.Errorf("%s: %w", doing, errors.New("this is not process 1"))
	}
	action := newAction(restartHandlerAddress())
	if err := rtSigaction(unix.SIGALRM, &action, nil); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	runtime.LockOSThread()
	var alarm unix.Sigset_t
	alarm.Val[0] = 1 << (unix.SIGALRM - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &alarm, nil); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	// Less than a microsecond would be never.
	timer := unix.Itimerval{Value: unix.NsecToTimeval(max(after, time.Microsecond).Nanoseconds())}
	_, err := unix.Setitimer(unix.ItimerReal, timer)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
