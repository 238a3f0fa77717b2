package dhcp6

import (
	"cmp"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/recvmsg"
)

// UDP ports: section 7.2.
const (
	clientPort = 546
	serverPort = 547
)

// allServers is ff02::1:2, All_DHCP_Relay_Agents_and_Servers: section 7.1.
var allServers = [16]byte{0: 0xff, 1: 0x02, 13: 1, 15: 2}

// The first 10 bits of fe80::/10, and their mask, in an integer read from memory by a little-endian
// machine.
const linkLocalPrefix, linkLocalMask = 0x80fe, 0xc0ff

// Socket sends the messages of a Client on one interface and receives the answers. It accepts only
// datagrams that arrived by that interface and were sent to a link-local address. That excludes
// processes of this machine and hosts beyond a router.
type Socket struct {
	fd      int
	ifindex int
	name    string
	control [64]byte
}

// OpenSocket opens a socket on the interface with the given index. The name is used in errors.
func OpenSocket(ifindex int, name string) (*Socket, error) {
	fd, err := recvmsg.Open(unix.AF_INET6, unix.SOCK_DGRAM, 0, func(fd int) error {
		return cmp.Or( // the first error
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, ifindex),
			recvmsg.TakeOnlyFrom(fd, ifindex),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
			unix.Bind(fd, &unix.SockaddrInet6{Port: clientPort}))
	})
	if err != nil {
		return nil, fmt.Errorf("open a socket for DHCPv6 on %s: %w", name, err)
	}
	return &Socket{fd: fd, ifindex: ifindex, name: name}, nil
}

// FD returns the descriptor to poll for answers.
func (s *Socket) FD() int { return s.fd }

// Close closes the socket.
func (s *Socket) Close() { unix.Close(s.fd) }

// Send sends a message to all servers and relay agents on the link. The error wraps EADDRNOTAVAIL
// or ENETUNREACH until the interface has a link-local address that the kernel knows to be unique.
func (s *Socket) Send(payload []byte) error {
	to := &unix.SockaddrInet6{Port: serverPort, ZoneId: uint32(s.ifindex), Addr: allServers}
	if err := unix.Sendto(s.fd, payload, 0, to); err != nil {
		return fmt.Errorf("send a DHCPv6 message on %s: %w", s.name, err)
	}
	return nil
}

// Receive returns the next datagram. Its payload is stored in buf; longer datagrams are skipped.
// The error is unix.EAGAIN if no datagram is queued, or if recvmsg.MaxSkipped datagrams were
// skipped.
func (s *Socket) Receive(buf []byte) (d Datagram, err error) {
	var from unix.RawSockaddrInet6
	err = recvmsg.Next(s.fd, buf, s.control[:], &from, func(payload, control []byte) bool {
		d = Datagram{payload, netip.AddrFrom16(from.Addr)}
		// The destination address is the first field of struct in6_pktinfo, ipv6(7).
		to := recvmsg.ControlValue(control, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO)
		return to&linkLocalMask == linkLocalPrefix
	})
	if err != nil && err != unix.EAGAIN {
		err = fmt.Errorf("receive a DHCPv6 message on %s: %w", s.name, err)
	}
	return d, err
}
