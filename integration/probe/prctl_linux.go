package probe

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// prctlInt is for options of prctl(2) that store an int.
func prctlInt(option int) (value int32, err error) {
	_, _, errno := unix.RawSyscall(unix.SYS_PRCTL, uintptr(option), uintptr(unsafe.Pointer(&value)), 0)
	return value, orNil(errno)
}
