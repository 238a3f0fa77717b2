package netif

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// The operations of this file are part of every boot. They use the ioctls of netdevice(7): a change
// is one call without an answer, where package netlink receives a description of the interface
// first, into 64 KiB.

// Up is the operation that sets the interface Name up.
type Up struct{ Name string }

func (u Up) Describe() op.Description { return op.Describe("interface up", u.Name) }

func (u Up) Do() (err error) {
	defer op.Wrap(&err, "set up interface %s", u.Name)
	return change(u.Name, flagUp)
}

// Address is the operation that gives the interface Name an IPv4 address, in place of the first one
// that it has, and sets it up.
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

// change makes changes to an interface, in order. Each fills in its argument and returns its ioctl.
func change(name string, changes ...func(*unix.Ifreq) (request uint, err error)) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(s)
	for _, fill := range changes {
		argument, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		request, err := fill(argument)
		if err == nil {
			err = unix.IoctlIfreq(s, request, argument)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// flagUp sets IFF_UP. It takes away no other flag: the settable ones are off on an interface that
// was never up.
func flagUp(argument *unix.Ifreq) (request uint, err error) {
	argument.SetUint16(unix.IFF_UP)
	return unix.SIOCSIFFLAGS, nil
}

func setAddr(request uint, addr []byte) func(*unix.Ifreq) (uint, error) {
	return func(argument *unix.Ifreq) (uint, error) { return request, argument.SetInet4Addr(addr) }
}
