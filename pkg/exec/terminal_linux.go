package exec

import (
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// KeepTerminal is the operation that makes this process the leader of the session of a terminal that
// is a serial port. The kernel hangs a terminal up when the leader of its session ends, and drops what
// the port has not sent yet. So a program should not be the leader, see Spec.Foreground.
//
// It is for process 1. The kernel treats a process group as orphaned if its parent is process 1, or
// is in another session, so job control of the program does not change.
type KeepTerminal struct {
	Streams [3]int  // as in Spec
	Device  *string // path of the terminal that is among Streams; "" does nothing
	Kept    *bool   // set to true if it is a serial port
}

func (KeepTerminal) Describe() op.Description {
	return op.Describe("lead the session", "of the terminal", "if", "it is a serial port")
}

// Do does nothing if the terminal is not a serial port, such as hvc0, which sends at once.
func (k KeepTerminal) Do() (err error) {
	streams := descriptors(k.Streams)
	if *k.Device == "" || !slices.ContainsFunc(streams[:], isSerial) {
		return nil
	}
	defer op.Wrap(&err, "take the terminal %s", *k.Device)
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Open(*k.Device, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Setsid(); err != nil && err != unix.EPERM { // EPERM: it leads one already
		return fmt.Errorf("start a session: %w", err)
	}
	// 1 takes the terminal from a session that has it.
	if err := unix.IoctlSetInt(fd, unix.TIOCSCTTY, 1); err != nil {
		return err
	}
	*k.Kept = true
	return nil
}

// isSerial reports whether a descriptor is a terminal that is a serial port.
func isSerial(fd int) bool {
	const getSerial = 0x541E    // TIOCGSERIAL of asm-generic/ioctls.h
	var serial [128 / 8]uintptr // struct serial_struct, 72 bytes
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getSerial, uintptr(unsafe.Pointer(&serial)))
	return errno == 0
}
