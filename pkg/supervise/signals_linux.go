package supervise

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// stopRequests are the signals for which stopSignal does not return 0.
var stopRequests = [...]syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGPWR}

// stopSignal returns the signal that asks the workload to end, unless StopPolicy names another one,
// when sig came to this process. It returns 0 if sig is not a stop request.
func stopSignal(sig syscall.Signal) syscall.Signal {
	switch sig {
	case unix.SIGTERM, unix.SIGINT:
		return sig
	case unix.SIGPWR: // which few programs know
		return unix.SIGTERM
	}
	return 0
}

// caughtSignals are all signals that are received. Those that would end another process must be:
// the kernel ends also process 1 if its first thread blocks the signal just then, and another thread
// does not.
//
// These are not: SIGKILL and SIGSTOP, which can't be caught and have no effect on process 1; SIGTTIN
// and SIGTTOU, which the kernel sends for what this process does itself; SIGURG, by which Go interrupts
// its own threads.
func caughtSignals() (all []os.Signal) {
	const last = 64
	for sig := syscall.Signal(1); sig <= last; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGURG:
		default:
			all = append(all, sig)
		}
	}
	return all
}

// ownLimit reports whether the kernel has probably sent sig because this process has exceeded a limit,
// of the size of a file or of processor time. There is none, unless a workload has set it, prlimit(2).
// ownLimit removes the limit then.
func ownLimit(sig syscall.Signal) bool {
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
	return unix.Prlimit(0, resource, &none, &limit) == nil && limit.Cur != unix.RLIM_INFINITY
}
