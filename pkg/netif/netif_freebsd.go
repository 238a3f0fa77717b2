package netif

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Loopback is the operation that gives the interface Name the address 127.0.0.1/8 and sets it up.
// Unlike Linux, FreeBSD does not assign this address by itself. If the kernel has no IPv4, Do
// fails, but the interface is up.
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

// siocAddAlias is SIOCAIFADDR of FreeBSD 10 and later. Package unix has the value of older
// versions.
const siocAddAlias = 0x80000000 | unsafe.Sizeof(aliasRequest{})<<16 | 'i'<<8 | 43

func (l Loopback) Do() error {
	alias := aliasRequest{address: sockaddr(127, 0, 0, 1), mask: sockaddr(255, 0, 0, 0)}
	// The request replaces all flags that can be set. On an interface that was never up, none is set.
	flags := flagsRequest{flags: unix.IFF_UP}
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
	return unix.RawSockaddrInet4{
		Len: unix.SizeofSockaddrInet4, Family: unix.AF_INET, Addr: [4]byte{a, b, c, d},
	}
}

func request(socket int, number uintptr, argument unsafe.Pointer) error {
	_, _, errno := syscall.Syscall(unix.SYS_IOCTL, uintptr(socket), number, uintptr(argument))
	if errno != 0 {
		return errno
	}
	return nil
}
