// Package recvmsg opens datagram sockets and receives from them without allocating memory. The
// functions of package unix allocate an address for each datagram, so a flood of datagrams would
// make PID 1 grow by megabytes before the garbage collector runs.
package recvmsg

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxSkipped is the number of datagrams that one call of Next skips before it gives up.
const MaxSkipped = 32

// Open opens a socket in non-blocking mode and calls setup with it. If setup fails, Open closes the
// socket and returns the error.
func Open(domain, kind, protocol int, setup func(fd int) error) (fd int, err error) {
	fd, err = unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, err
	}
	if err := setup(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// TakeOnlyFrom makes a socket drop datagrams that did not arrive by the interface with the given
// index. SO_BINDTOIFINDEX alone lets datagrams pass that a process of this machine sends to an
// address of the interface. To a filter, these arrive by the loopback interface.
func TakeOnlyFrom(fd, ifindex int) error {
	const arrivedBy = 1<<32 - 0x1000 + 8 // SKF_AD_OFF + SKF_AD_IFINDEX of linux/filter.h
	filter := [...]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: arrivedBy},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(ifindex), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// Receive calls recvmsg(2) without waiting. It returns the length of the datagram, which exceeds
// len(buf) if the datagram was truncated, and the length of the control messages. The error is a
// unix.Errno: unix.EAGAIN if no datagram is queued.
//
// Address is the type of the socket's addresses, such as unix.RawSockaddrInet6. Unless from is nil,
// the sender's address is stored there; it is zero if the datagram carries none.
func Receive[Address any](fd int, buf, control []byte, from *Address) (
	length, controlLength int, err error,
) {
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
		return 0, 0, errno
	}
	return int(n), int(msg.Controllen), nil
}

// Next receives datagrams like Receive until accept returns true. It skips datagrams that accept
// refuses or that are longer than buf. After MaxSkipped of them it returns unix.EAGAIN, so that a
// flood cannot keep the caller from other work; poll(2) then reports that more datagrams are
// queued.
func Next[Address any](fd int, buf, control []byte, from *Address,
	accept func(payload, control []byte) bool) error {
	for range MaxSkipped {
		n, controlLength, err := Receive(fd, buf, control, from)
		if err != nil && err != unix.EINTR {
			return err
		}
		if err == nil && n <= len(buf) && accept(buf[:n], control[:controlLength]) {
			return nil
		}
	}
	return unix.EAGAIN
}

// ControlValue returns the first 4 bytes of the data of a control message as an integer in native
// byte order. It returns 0 unless the first message in control has the given level and type: a
// socket that enabled one type of control message receives no other.
func ControlValue(control []byte, level, kind int32) uint32 {
	if len(control) < unix.SizeofCmsghdr {
		return 0
	}
	h, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || h.Level != level || h.Type != kind || len(data) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(data)
}
