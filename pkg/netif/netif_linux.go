package netif

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Up sets the interface Name up.
type Up struct{ Name string }

func (u Up) Describe() op.Description { return op.Describe("interface up", u.Name) }

func (u Up) Do() error {
	return withSocket(func(socket int) error {
		return up(socket, u.Name)
	})
}

// Address gives the interface Name an IPv4 address and sets it up. It replaces the first address of the interface.
type Address struct {
	Name      string
	IP        [4]byte // not net/netip, whose initialisation costs more than all of this package
	PrefixLen int     // 0 to 32
}

func (a Address) Describe() op.Description {
	return op.Describe("interface address", a.Name, "address", a)
}

// String is the address in CIDR notation.
func (a Address) String() string {
	var b []byte
	for i, n := range a.IP {
		b = append(strconv.AppendUint(b, uint64(n), 10), ".../"[i])
	}
	return string(strconv.AppendInt(b, int64(a.PrefixLen), 10))
}

func (a Address) Do() error {
	if a.PrefixLen < 0 || a.PrefixLen > 32 {
		return fmt.Errorf("set address %v of %s: %w", a, a.Name, unix.EINVAL)
	}
	return withSocket(func(socket int) error {
		if err := setAddr(socket, a.Name, unix.SIOCSIFADDR, a.IP); err != nil {
			return fmt.Errorf("set address %v of %s: %w", a, a.Name, err)
		}
		mask := ^uint32(0) << (32 - a.PrefixLen)
		bytes := [4]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)}
		if err := setAddr(socket, a.Name, unix.SIOCSIFNETMASK, bytes); err != nil {
			return fmt.Errorf("set netmask of %s for %v: %w", a.Name, a, err)
		}
		return up(socket, a.Name)
	})
}

// withSocket runs f with a socket to send ioctls to.
func withSocket(f func(socket int) error) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket for interface requests: %w", err)
	}
	defer unix.Close(s)
	return f(s)
}

// up adds IFF_UP; other flags that can be set are off on an interface that was never up, so there is nothing to keep.
func up(socket int, name string) error {
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_UP)
		err = unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, req)
	}
	if err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

func setAddr(socket int, name string, request uint, addr [4]byte) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := req.SetInet4Addr(addr[:]); err != nil {
		return err
	}
	return unix.IoctlIfreq(socket, request, req)
}

// Hostname is the operation that sets the host name, sethostname(2).
type Hostname struct{ Name string }

func (h Hostname) Describe() op.Description {
	return op.Describe("set hostname", h.Name)
}

func (h Hostname) Do() error {
	if err := unix.Sethostname([]byte(h.Name)); err != nil {
		return fmt.Errorf("set hostname %q: %w", h.Name, err)
	}
	return nil
}
