package probe

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// prctlInt returns the value of an option of prctl(2) that stores an int at its argument.
func prctlInt(option int) (value int32, err error) {
	_, _, errno := unix.RawSyscall(unix.SYS_PRCTL, uintptr(option), uintptr(unsafe.Pointer(&value)), 0)
	return value, orNil(errno)
}
