package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// faults are the signals that Go's runtime takes for a fault of the program, unless it recognizes that
// a process sent them. For a fault it panics or ends the program.
var faults = [...]syscall.Signal{
	unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSTKFLT, unix.SIGSYS,
}

// unhandled are the signals for which Go's runtime has no handler. C libraries use them internally.
var unhandled = [...]syscall.Signal{32, 34}

// sigaction is the structure of the kernel. The order of the other members, which are flags, restorer
// and mask, depends on the architecture.
type sigaction struct {
	handler uintptr
	_       [3]uintptr
}

// acceptQueued changes the handlers of Go's runtime so that no signal of another process ends this
// one. The runtime recognizes only signals that were sent by kill(2) or tgkill(2). It takes one that
// was sent by sigqueue(3), or by fcntl(2) with F_SETSIG, for a fault.
//
// Signals without a handler are ignored. If they had their default effect, the kernel would end
// process 1, too, when one comes while its first thread blocks all signals, as in a handler.
func acceptQueued() {
	var action sigaction
	setAction(faults[0], nil, &action) // the runtime's is the same for all of them
	if action.handler != faultHandler {
		runtimeHandler, action.handler = action.handler, faultHandler
		for _, sig := range faults {
			setAction(sig, &action, nil)
		}
	}
	const ignore = 1 // SIG_IGN
	for _, sig := range unhandled {
		setAction(sig, &sigaction{handler: ignore}, nil)
	}
}

// setAction calls rt_sigaction(2), which can't fail for signals that exist.
func setAction(sig syscall.Signal, action, before *sigaction) {
	const sigsetSize = 8
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(action)),
		uintptr(unsafe.Pointer(before)), sigsetSize, 0, 0)
}

// faultHandler is the address of the handler, which is in assembly because the kernel calls it. It
// changes si_code to SI_USER, that of kill(2), unless the kernel reports a fault, and goes on with
// runtimeHandler.
//
// The si_code of a fault that the kernel reports is above 0, which a process can't send. SIGSTKFLT is
// never a fault, but has an si_code above 0 if F_SETSIG selects it.
var faultHandler uintptr

// runtimeHandler is the handler of Go's runtime, which the assembly reads.
var runtimeHandler uintptr //nolint:unused // the assembly uses it
