package supervise

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// isStopRequest reports whether a signal to this process asks for the end of the workload.
func isStopRequest(sig syscall.Signal) bool {
	return sig == unix.SIGTERM || sig == unix.SIGINT
}

// earlySignals are all signals that are received.
func earlySignals() []os.Signal {
	return []os.Signal{unix.SIGCHLD, unix.SIGPIPE, unix.SIGTERM, unix.SIGINT, unix.SIGHUP,
		unix.SIGQUIT, unix.SIGABRT, unix.SIGTRAP, unix.SIGSYS, unix.SIGEMT, unix.SIGSEGV, unix.SIGBUS,
		unix.SIGFPE, unix.SIGILL, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGINFO}
}

// lateSignals returns none: earlySignals has all of them.
func lateSignals() []os.Signal { return nil }
