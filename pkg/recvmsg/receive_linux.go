// Package recvmsg receives datagrams without allocating memory. The functions of package unix
// allocate an address for each datagram, so a flood of datagrams would make PID 1 grow by megabytes
// before the garbage collector runs.
package recvmsg

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxSkipped is the number of datagrams that one call of Next skips before it gives up.
const MaxSkipped = 32

// Result describes a received datagram.
type Result struct {
	Len     int // length of the datagram in bytes; greater than the buffer's if it was truncated
	Control int // length of the control messages in bytes
}

// Receive calls recvmsg(2) without waiting. Its error is an errno: unix.EAGAIN if no datagram is
// queued.
//
// Address is the type of the socket's addresses, such as unix.RawSockaddrInet6. Unless from is nil,
// the sender's address is stored there; it is zero if the datagram carries none.
func Receive[Address any](fd int, buf, control []byte, from *Address) (Result, error) {
	data := unix.Iovec{Base: unsafe.SliceData(buf)}
	data.SetLen(len(buf))
	msg := unix.Msghdr{Iov: &data, Iovlen: 1, Control: unsafe.SliceData(control)}
	msg.SetControllen(len(control))
	if from != nil {
		*from = *new(Address)
		msg.Name, msg.Namelen = (*byte)(unsafe.Pointer(from)), uint32(unsafe.Sizeof(*from))
	}
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)),
		unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	if errno != 0 {
		return Result{}, errno
	}
	return Result{Len: int(n), Control: int(msg.Controllen)}, nil
}

// Next receives datagrams like Receive until accept returns true for one. It skips the datagrams
// that accept refuses, and those longer than buf. After MaxSkipped of them it returns unix.EAGAIN,
// so that a flood cannot keep the caller from other work; poll(2) reports at once that more
// datagrams are queued.
func Next[Address any](fd int, buf, control []byte, from *Address,
	accept func(payload, control []byte) bool) error {
	for range MaxSkipped {
		d, err := Receive(fd, buf, control, from)
		if err != nil && err != unix.EINTR {
			return err
		}
		if err == nil && d.Len <= len(buf) && accept(buf[:d.Len], control[:d.Control]) {
			return nil
		}
	}
	return unix.EAGAIN
}
