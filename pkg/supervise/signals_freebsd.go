package supervise

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopRequests are the signals for which stopSignal does not return 0.
var stopRequests = [...]syscall.Signal{unix.SIGTERM, unix.SIGINT}

// stopSignal returns the signal that asks the workload to end, unless StopPolicy names another one,
// when sig came to this process. It returns 0 if sig is not a stop request.
func stopSignal(sig syscall.Signal) syscall.Signal {
	if sig == unix.SIGTERM || sig == unix.SIGINT {
		return sig
	}
	return 0
}

// earlySignals are all signals that are received.
func earlySignals() []os.Signal {
	return []os.Signal{unix.SIGCHLD, unix.SIGPIPE, unix.SIGTERM, unix.SIGINT, unix.SIGHUP,
		unix.SIGQUIT, unix.SIGABRT, unix.SIGTRAP, unix.SIGSYS, unix.SIGEMT, unix.SIGSEGV, unix.SIGBUS,
		unix.SIGFPE, unix.SIGILL, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGINFO}
}

// lateSignals returns none: earlySignals has all of them.
func lateSignals() []os.Signal { return nil }

// ownLimits recognizes signals that concern this process; none of those that it receives does.
type ownLimits struct{}

func (ownLimits) exceeded(syscall.Signal, time.Duration) bool { return false }
