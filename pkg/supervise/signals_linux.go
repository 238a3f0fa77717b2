package supervise

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopRequests are the signals for which stopSignal does not return 0.
var stopRequests = [...]syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGPWR}

// stopSignal returns the signal that asks the workload to end when this process receives the stop
// request sig, unless StopPolicy names another one. It returns 0 if sig is not a stop request.
func stopSignal(sig syscall.Signal) syscall.Signal {
	switch sig {
	case unix.SIGTERM, unix.SIGINT:
		return sig
	case unix.SIGPWR: // few programs handle it
		return unix.SIGTERM
	}
	return 0
}

// earlySignals are the signals that are received from the beginning: those that would end a Go
// program, and those that may come before there is a workload.
//
// These are never received: SIGKILL and SIGSTOP, which can't be caught and have no effect on
// process 1; SIGTTIN and SIGTTOU, which the kernel sends for what this process does itself; SIGURG,
// by which Go interrupts its own threads, and SIGPROF; 32 to 34, which C libraries use internally.
func earlySignals() []os.Signal {
	return []os.Signal{unix.SIGCHLD, unix.SIGPIPE, unix.SIGTERM, unix.SIGINT, unix.SIGPWR,
		unix.SIGHUP, unix.SIGQUIT, unix.SIGABRT, unix.SIGTRAP, unix.SIGSYS, unix.SIGSTKFLT,
		unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGUSR1, unix.SIGUSR2}
}

// lateSignals are the others that a workload may send. Go ignores them until they are received,
// and because each takes time (see Signals.Notify), they don't delay the workload's start.
func lateSignals() []os.Signal {
	late := []os.Signal{unix.SIGWINCH, unix.SIGALRM, unix.SIGVTALRM, unix.SIGIO, unix.SIGXCPU,
		unix.SIGXFSZ, unix.SIGTSTP, unix.SIGCONT}
	const firstRealTime, lastRealTime = 35, 64
	for n := syscall.Signal(firstRealTime); n <= lastRealTime; n++ {
		late = append(late, n)
	}
	return late
}

// ownLimits recognizes signals that the kernel has sent because this process has exceeded a limit, of the
// size of a file or of processor time, which a workload has set by prlimit(2).
type ownLimits struct{ until time.Duration }

// lateSignal is how long after the limit was removed a signal about it may still arrive: it takes two
// goroutines to receive one.
const lateSignal = time.Second

// exceeded reports whether sig probably means that this process has exceeded a limit, and removes
// that limit.
func (l *ownLimits) exceeded(sig syscall.Signal, now time.Duration) bool {
	resource := unix.RLIMIT_FSIZE
	switch sig {
	case unix.SIGXCPU:
		resource = unix.RLIMIT_CPU
	case unix.SIGXFSZ:
	default:
		return false
	}
	none := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	var limit unix.Rlimit
	if unix.Prlimit(0, resource, &none, &limit) == nil && limit.Cur != unix.RLIM_INFINITY {
		l.until = now + lateSignal
	}
	return now < l.until
}
