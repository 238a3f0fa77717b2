package netif

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// The operations of this file are part of every boot. They use the ioctls of netdevice(7), which
// take one call for a change. Package netlink would first allocate 64 KiB and receive a description
// of the interface.

// Up is the operation that sets the interface Name up.
type Up struct{ Name string }

func (u Up) Describe() op.Description { return op.Describe("interface up", u.Name) }

func (u Up) Do() (err error) {
	defer op.Wrap(&err, "set up interface %s", u.Name)
	return change(u.Name, flagUp)
}

// Address is the operation that replaces the first IPv4 address of the interface Name, if it has
// one, by Prefix, and sets the interface up.
type Address struct {
	Name   string
	Prefix netip.Prefix // with the bits of the host
}

func (a Address) Describe() op.Description {
	return op.Describe("interface address", a.Name, "address", a.Prefix)
}

func (a Address) Do() (err error) {
	defer op.Wrap(&err, "set address %v of interface %s", a.Prefix, a.Name)
	if !a.Prefix.Addr().Is4() {
		return unix.EINVAL
	}
	mask := net.CIDRMask(a.Prefix.Bits(), 32)
	return change(a.Name,
		setAddr(unix.SIOCSIFADDR, a.Prefix.Addr().AsSlice()),
		setAddr(unix.SIOCSIFNETMASK, mask),
		flagUp)
}

// change makes changes to an interface, in order, until one fails. Each change makes ioctls on
// socket with argument, which has the name of the interface.
func change(name string, changes ...func(socket int, argument *unix.Ifreq) error) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(s)
	for _, apply := range changes {
		argument, err := unix.NewIfreq(name)
		if err != nil {
			return unix.ENODEV // no interface can have such a name
		}
		if err := apply(s, argument); err != nil {
			return err
		}
	}
	return nil
}

// flagUp sets IFF_UP and keeps the other flags, such as IFF_MULTICAST.
func flagUp(socket int, argument *unix.Ifreq) error {
	err := unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, argument)
	if flags := argument.Uint16(); err == nil && flags&unix.IFF_UP == 0 {
		argument.SetUint16(flags | unix.IFF_UP)
		err = unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, argument)
	}
	return err
}

// setAddr returns a change that sets an address or mask by the given ioctl.
func setAddr(request uint, addr []byte) func(int, *unix.Ifreq) error {
	return func(socket int, argument *unix.Ifreq) error {
		if err := argument.SetInet4Addr(addr); err != nil {
			return err
		}
		return unix.IoctlIfreq(socket, request, argument)
	}
}
