package system

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setHostname sets KERN_HOSTNAME, sysctl(3). It fails with EINVAL if name is empty.
func setHostname(name string) error {
	const ctlKern, kernHostname = 1, 10
	mib := [2]int32{ctlKern, kernHostname}
	value := []byte(name)
	if len(value) == 0 {
		return unix.EINVAL
	}
	_, _, errno := syscall.Syscall6(unix.SYS___SYSCTL,
		uintptr(unsafe.Pointer(&mib)), uintptr(len(mib)), 0, 0,
		uintptr(unsafe.Pointer(&value[0])), uintptr(len(value)))
	if errno != 0 {
		return errno
	}
	return nil
}
