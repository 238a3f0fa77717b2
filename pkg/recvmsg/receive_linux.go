// Package recvmsg receives datagrams without allocating. Recvmsg and Recvfrom of package unix make an address for each, and
// those who send many would have PID 1's memory grow by megabytes before the garbage collector runs.
package recvmsg

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Result is what Receive says of a datagram.
type Result struct {
	Len     int // bytes; more than the buffer if the datagram is longer than that
	Control int // bytes of control messages
}

// Receive is recvmsg(2) without a wait: its error is EAGAIN if there is nothing. from is where to put the sender's address,
// such as a unix.RawSockaddrInet6, or nil. Cleared before, it has the family of one only if the sender has.
func Receive[Address any](fd int, buf, control []byte, from *Address) (Result, error) {
	data := unix.Iovec{Base: unsafe.SliceData(buf)}
	data.SetLen(len(buf))
	msg := unix.Msghdr{Iov: &data, Iovlen: 1, Control: unsafe.SliceData(control)}
	msg.SetControllen(len(control))
	if from != nil {
		msg.Name, msg.Namelen = (*byte)(unsafe.Pointer(from)), uint32(unsafe.Sizeof(*from))
	}
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	if errno != 0 {
		return Result{}, errno
	}
	return Result{Len: int(n), Control: int(msg.Controllen)}, nil
}
