package timesync

import (
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/recvmsg"
)

// socket receives datagrams. Tests replace it.
type socket interface {
	fd() int
	// receive stores the first bytes of the next datagram in b. It returns the length of the
	// datagram and its sender. The error is EAGAIN if no datagram is queued.
	receive(b *[size]byte) (n int, from Address, err error)
	close()
}

// vsock is the descriptor of a datagram socket of AF_VSOCK, vsock(7).
type vsock int

// listen opens the socket that receives the host's datagrams.
func listen() (socket, error) {
	fd, err := recvmsg.Open(unix.AF_VSOCK, unix.SOCK_DGRAM, 0, func(fd int) error {
		return unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: Port})
	})
	if err != nil {
		return nil, err
	}
	return vsock(fd), nil
}

// isMissing reports whether an error of listen means that the machine has no vsock with datagrams.
func isMissing(err error) bool {
	switch err {
	case unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EOPNOTSUPP, unix.ENODEV:
		return true
	}
	return false
}

func (s vsock) fd() int { return int(s) }

func (s vsock) close() { _ = unix.Close(int(s)) }

func (s vsock) receive(b *[size]byte) (n int, from Address, err error) {
	var sender unix.RawSockaddrVM
	n, _, err = recvmsg.Receive(int(s), b[:], nil, &sender)
	if err != nil {
		return 0, Address{}, err
	}
	if sender.Family == unix.AF_VSOCK {
		from = Address{sender.Cid, sender.Port}
	}
	return n, from, nil
}

// HasDevice reports whether a vsock device connects this machine to a host. Sync.Open may succeed
// without a device, because the kernel also supports vsock within the machine.
func HasDevice() bool {
	fd, err := unix.Open("/dev/vsock", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	cid, err := unix.IoctlGetUint32(fd, unix.IOCTL_VM_SOCKETS_GET_LOCAL_CID)
	return err == nil && cid != unix.VMADDR_CID_ANY && cid != unix.VMADDR_CID_LOCAL
}
