package bootparam

import (
	"bytes"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxKenv is the size, in bytes, of the longest value that KernelVariable returns. The kernel's
// own limit is 128.
const maxKenv = 1024

// kenvGet is KENV_GET of kenv(2).
const kenvGet = 0

// KernelVariable returns the value of a variable of the kernel environment, kenv(2), and whether
// it is set.
func KernelVariable(name string) (value string, ok bool) {
	cName, err := unix.BytePtrFromString(name)
	if err != nil {
		return "", false
	}
	var buf [maxKenv]byte
	n, _, errno := syscall.Syscall6(unix.SYS_KENV, kenvGet, uintptr(unsafe.Pointer(cName)),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	if errno != 0 {
		return "", false
	}
	text, _, _ := bytes.Cut(buf[:min(int(n), len(buf))], []byte{0})
	return string(text), true
}
