package netif

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Loopback is the operation that gives the interface Name the address 127.0.0.1/8 and sets it up. FreeBSD's kernel, unlike
// that of Linux, does not know loopback's address by itself.
type Loopback struct{ Name string }

func (l Loopback) Describe() op.Description {
	return op.Describe("interface up", l.Name, "address", "127.0.0.1/8")
}

// flagsRequest is struct ifreq, netintro(4), with flags.
type flagsRequest struct {
	name  [unix.IFNAMSIZ]byte
	flags uint16
	_     [14]byte
}

// aliasRequest is struct ifaliasreq, netintro(4).
type aliasRequest struct {
	name                     [unix.IFNAMSIZ]byte
	address, broadcast, mask unix.RawSockaddrInet4
	vhid                     int32
}

// siocAddAlias is SIOCAIFADDR of FreeBSD 10 and later; package unix has that of older ones.
const siocAddAlias = 0x80000000 | unsafe.Sizeof(aliasRequest{})<<16 | 'i'<<8 | 43

// Do implements op.Op. Without IPv4 in the kernel the interface is up all the same.
func (l Loopback) Do() error {
	alias := aliasRequest{address: sockaddr(127, 0, 0, 1), mask: sockaddr(255, 0, 0, 0)}
	flags := flagsRequest{flags: unix.IFF_UP} // what else can be set is off on an interface that was never up
	if len(l.Name) >= len(alias.name) {
		return fmt.Errorf("set %s up: %w", l.Name, unix.EINVAL)
	}
	copy(alias.name[:], l.Name)
	copy(flags.name[:], l.Name)
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket for interface requests: %w", err)
	}
	defer unix.Close(s)
	if err := request(s, unix.SIOCSIFFLAGS, unsafe.Pointer(&flags)); err != nil {
		return fmt.Errorf("set %s up: %w", l.Name, err)
	}
	if err := request(s, siocAddAlias, unsafe.Pointer(&alias)); err != nil {
		return fmt.Errorf("set address 127.0.0.1/8 of %s: %w", l.Name, err)
	}
	return nil
}

func sockaddr(a, b, c, d byte) unix.RawSockaddrInet4 {
	return unix.RawSockaddrInet4{Len: unix.SizeofSockaddrInet4, Family: unix.AF_INET, Addr: [4]byte{a, b, c, d}}
}

func request(socket int, number uintptr, argument unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(unix.SYS_IOCTL, uintptr(socket), number, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// Hostname is the operation that sets the host name, KERN_HOSTNAME of sysctl(3).
type Hostname struct{ Name string }

func (h Hostname) Describe() op.Description {
	return op.Describe("set hostname", h.Name)
}

func (h Hostname) Do() error {
	const ctlKern, kernHostname = 1, 10
	mib := [2]int32{ctlKern, kernHostname}
	name := []byte(h.Name)
	if len(name) == 0 {
		return fmt.Errorf("set hostname %q: %w", h.Name, unix.EINVAL)
	}
	_, _, errno := syscall.Syscall6(unix.SYS___SYSCTL, uintptr(unsafe.Pointer(&mib)), uintptr(len(mib)), 0, 0,
		uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)))
	if errno != 0 {
		return fmt.Errorf("set hostname %q: %w", h.Name, errno)
	}
	return nil
}
