package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// faults are the signals that Go's runtime takes for a fault of the program, and ends it or panics,
// unless it sees that a process sent them.
var faults = [...]uintptr{
	uintptr(unix.SIGILL), uintptr(unix.SIGTRAP), uintptr(unix.SIGBUS), uintptr(unix.SIGFPE),
	uintptr(unix.SIGSEGV), uintptr(unix.SIGSTKFLT), uintptr(unix.SIGSYS),
}

// acceptQueued makes Go's runtime see that a process sent one of the faults also if it came by
// sigqueue(3), or by fcntl(2) with F_SETSIG. The runtime knows kill(2) and tgkill(2) only, and
// changes the handlers of these signals no more.
func acceptQueued() {
	var action [4]uintptr              // struct sigaction of the kernel, which begins with the handler
	sigaction(faults[0], nil, &action) // the runtime's is the same for all of them
	action[0] = faultHandler
	for _, sig := range faults {
		sigaction(sig, &action, nil)
	}
}

// sigaction calls rt_sigaction(2), which can't fail for signals that exist.
func sigaction(sig uintptr, action, old *[4]uintptr) {
	const sigsetSize = 8
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(action)),
		uintptr(unsafe.Pointer(old)), sigsetSize, 0, 0)
}

// faultHandler is the address of the handler, which is in assembly because the kernel calls it. It
// changes si_code to SI_USER, that of kill(2), unless the kernel reports a fault, and goes on with
// the runtime's handler.
//
// The kernel's si_code is above 0, a process can only send others. SIGSTKFLT is never a fault, and
// has an si_code like the kernel's by F_SETSIG.
var faultHandler uintptr
