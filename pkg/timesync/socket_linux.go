package timesync

import (
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/recvmsg"
)

// socket is where datagrams arrive.
type socket interface {
	fd() int
	// receive returns the length of the next datagram, of which b gets the beginning, and its sender. Without one its error is
	// EAGAIN.
	receive(b *[size]byte) (n int, from Address, err error)
	close()
}

// vsock is a datagram socket of AF_VSOCK, vsock(7).
type vsock int

func listen() (socket, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		if err = unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: Port}); err == nil {
			return vsock(fd), nil
		}
		unix.Close(fd)
	}
	return nil, err
}

// missing tells whether an error of listen means that there is no vsock, or none with datagrams.
func missing(err error) bool {
	switch err {
	case unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EOPNOTSUPP, unix.ENODEV:
		return true
	}
	return false
}

func (s vsock) fd() int { return int(s) }

func (s vsock) close() { unix.Close(int(s)) }

func (s vsock) receive(b *[size]byte) (n int, from Address, err error) {
	var sender unix.RawSockaddrVM
	d, err := recvmsg.Receive(int(s), b[:], nil, &sender)
	if err != nil {
		return 0, Address{}, err
	}
	if sender.Family == unix.AF_VSOCK {
		from = Address{sender.Cid, sender.Port}
	}
	return d.Len, from, nil
}

// HasDevice tells whether this machine is connected to a host by vsock, in the opinion of its /dev/vsock. Without one, a
// socket can be there nevertheless, for connections within the machine.
func HasDevice() bool {
	fd, err := unix.Open("/dev/vsock", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	cid, err := unix.IoctlGetUint32(fd, unix.IOCTL_VM_SOCKETS_GET_LOCAL_CID)
	return err == nil && cid != unix.VMADDR_CID_ANY && cid != unix.VMADDR_CID_LOCAL
}
