package os

import (
	"syscall"
	"unsafe"
)

// poll waits for a pollFD.
func poll(fd unsafe.Pointer) syscall.Errno {
	const forever = ^uintptr(0)
	_, _, err := syscall.Syscall(syscall.SYS_POLL, uintptr(fd), 1, forever)
	return err
}
