package ndp

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/recvmsg"
)

// Socket receives the router advertisements that arrive at one interface. It is a raw socket, raw(7), beside the kernel, which
// takes the same ones. It does not join a group: the interface is in that of all nodes, and IPV6_MULTICAST_ALL is the default.
type Socket struct {
	fd      int
	ifindex int
	control [64]byte
}

// mostMessages is the number of messages that Receive looks at in one call.
const mostMessages = 32

// allRouters is ff02::2.
var allRouters = [16]byte{0: 0xff, 1: 0x02, 15: 2}

// OpenSocket opens a socket on the interface with that index. Its error wraps EAFNOSUPPORT where there is no IPv6.
func OpenSocket(ifindex int) (*Socket, error) {
	fd, err := openRaw(ifindex)
	if err != nil {
		return nil, fmt.Errorf("open a socket for router advertisements: %w", err)
	}
	return &Socket{fd: fd, ifindex: ifindex}, nil
}

func openRaw(ifindex int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return -1, err
	}
	var filter unix.ICMPv6Filter // a bit for each type that does not pass
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	filter.Data[typeAdvertisement/32] &^= 1 << (typeAdvertisement % 32)
	err = unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &filter)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, ifindex)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hopsOfNeighbor)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// FD returns the descriptor to poll for advertisements.
func (s *Socket) FD() int { return s.fd }

// Close closes the socket.
func (s *Socket) Close() { unix.Close(s.fd) }

// Receive returns the next advertisement. It uses buf; what is longer, or to be discarded for another reason, is skipped.
// Without any its error is EAGAIN.
func (s *Socket) Receive(buf []byte) (Advertisement, error) {
	for range mostMessages {
		var router unix.RawSockaddrInet6
		d, err := recvmsg.Receive(s.fd, buf, s.control[:], &router)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return Advertisement{}, err
		case err != nil:
			return Advertisement{}, fmt.Errorf("receive a router advertisement: %w", err)
		}
		// Before the socket was bound to its interface, it may have heard something at another.
		if router.Family != unix.AF_INET6 || int(router.Scope_id) != s.ifindex || d.Len > len(buf) {
			continue
		}
		if a, err := Parse(buf[:d.Len], inet.Addr6(router.Addr), hopLimit(s.control[:d.Control])); err == nil {
			return a, nil
		}
	}
	return Advertisement{}, unix.EAGAIN // poll will say at once that there is more
}

// hopLimit returns the hop limit in a control message, -1 if there is none.
func hopLimit(control []byte) int {
	for len(control) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		if h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_HOPLIMIT && len(data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(data)))
		}
		control = rest
	}
	return -1
}

// Solicit asks all routers on the link for advertisements, RFC 4861 section 4.1. EADDRNOTAVAIL and ENETUNREACH mean that the
// interface has no address to ask from yet; when it has, the kernel asks.
func (s *Socket) Solicit() error {
	message := [8]byte{0: typeSolicitation} // the kernel adds the checksum
	err := unix.Sendto(s.fd, message[:], 0, &unix.SockaddrInet6{Addr: allRouters, ZoneId: uint32(s.ifindex)})
	if err != nil {
		return fmt.Errorf("ask for router advertisements: %w", err)
	}
	return nil
}
