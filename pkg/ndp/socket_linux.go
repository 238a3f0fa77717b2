package ndp

import (
	"cmp"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/recvmsg"
)

// Socket receives the router advertisements that arrive at one interface. It is a raw socket,
// raw(7), which gets a copy of the advertisements that the kernel processes. It need not join a
// multicast group: the interface is a member of the all-nodes group, and by default
// (IPV6_MULTICAST_ALL) a socket receives the packets of all groups of the interface.
type Socket struct {
	fd      int
	ifindex int
	control [64]byte
}

// allRouters is ff02::2.
var allRouters = [16]byte{0: 0xff, 1: 0x02, 15: 2}

// OpenSocket opens a socket on the interface with the given index. If the kernel does not support
// IPv6, the error wraps EAFNOSUPPORT.
func OpenSocket(ifindex int) (*Socket, error) {
	var filter unix.ICMPv6Filter // a set bit blocks a type
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	filter.Data[typeAdvertisement/32] &^= 1 << (typeAdvertisement % 32)
	setup := func(fd int) error {
		return cmp.Or( // the first error
			unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &filter),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, ifindex),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, neighborHopLimit))
	}
	fd, err := recvmsg.Open(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6, setup)
	if err != nil {
		return nil, fmt.Errorf("open a socket for router advertisements: %w", err)
	}
	return &Socket{fd: fd, ifindex: ifindex}, nil
}

// FD returns the descriptor to poll for advertisements.
func (s *Socket) FD() int { return s.fd }

// Close closes the socket.
func (s *Socket) Close() { unix.Close(s.fd) }

// Receive returns the next advertisement. It stores the message in buf, and skips messages that are
// longer than buf or that Parse rejects. The error is unix.EAGAIN if no advertisement is queued, or
// if recvmsg.MaxSkipped messages were skipped.
func (s *Socket) Receive(buf []byte) (a Advertisement, err error) {
	var router unix.RawSockaddrInet6
	err = recvmsg.Next(s.fd, buf, s.control[:], &router, func(message, control []byte) bool {
		// Messages from other interfaces may have arrived before SO_BINDTOIFINDEX was set.
		if int(router.Scope_id) != s.ifindex {
			return false
		}
		hopLimit := recvmsg.ControlValue(control, unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT)
		var err error
		a, err = Parse(message, netip.AddrFrom16(router.Addr), int(hopLimit))
		return err == nil
	})
	if err != nil && err != unix.EAGAIN {
		err = fmt.Errorf("receive a router advertisement: %w", err)
	}
	return a, err
}

// Solicit asks all routers on the link for advertisements (RFC 4861 section 4.1). The error wraps
// EADDRNOTAVAIL or ENETUNREACH until the interface has a usable address.
func (s *Socket) Solicit() error {
	message := [8]byte{0: typeSolicitation} // the kernel adds the checksum
	to := &unix.SockaddrInet6{Addr: allRouters, ZoneId: uint32(s.ifindex)}
	if err := unix.Sendto(s.fd, message[:], 0, to); err != nil {
		return fmt.Errorf("send a router solicitation: %w", err)
	}
	return nil
}
