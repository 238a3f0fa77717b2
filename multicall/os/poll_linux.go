package os

import (
	"syscall"
	"unsafe"
)

// poll waits for a pollFD.
func poll(fd unsafe.Pointer) syscall.Errno {
	_, _, err := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(fd), 1, 0, 0, 0, 0)
	return err
}
