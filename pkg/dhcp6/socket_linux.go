package dhcp6

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/recvmsg"
)

// UDP ports, section 7.2.
const (
	clientPort = 546
	serverPort = 547
)

// allServers is ff02::1:2, All_DHCP_Relay_Agents_and_Servers.
var allServers = [16]byte{0: 0xff, 1: 0x02, 13: 1, 15: 2}

// Socket sends the messages of a Client on one interface, and receives the answers.
type Socket struct {
	fd      int
	ifindex int
	name    string
}

// mostLong is the number of datagrams too long for its buffer that Receive skips in one call.
const mostLong = 32

// OpenSocket opens a socket on the interface with that index. The name is for errors.
func OpenSocket(ifindex int, name string) (*Socket, error) {
	fd, err := openUDP(ifindex)
	if err != nil {
		return nil, fmt.Errorf("open a socket for DHCPv6 on %s: %w", name, err)
	}
	return &Socket{fd, ifindex, name}, nil
}

func openUDP(ifindex int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, ifindex)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet6{Port: clientPort})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// FD returns the descriptor to poll for answers.
func (s *Socket) FD() int { return s.fd }

// Close closes the socket.
func (s *Socket) Close() { unix.Close(s.fd) }

// Send sends a message to all servers and relays on the link. EADDRNOTAVAIL and ENETUNREACH mean that the interface has no
// link-local address yet, or that the kernel is still looking whether somebody else has it; sent again, the message will get
// through.
func (s *Socket) Send(payload []byte) error {
	err := unix.Sendto(s.fd, payload, 0, &unix.SockaddrInet6{Port: serverPort, ZoneId: uint32(s.ifindex), Addr: allServers})
	if err != nil {
		return fmt.Errorf("send a DHCPv6 message on %s: %w", s.name, err)
	}
	return nil
}

// Receive returns the next datagram, which lies in buf. One that does not fit is skipped. Without any its error is EAGAIN.
func (s *Socket) Receive(buf []byte) (Datagram, error) {
	for range mostLong {
		var from unix.RawSockaddrInet6
		d, err := recvmsg.Receive(s.fd, buf, nil, &from)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return Datagram{}, err
		case err != nil:
			return Datagram{}, fmt.Errorf("receive a DHCPv6 message on %s: %w", s.name, err)
		}
		if from.Family == unix.AF_INET6 && d.Len <= len(buf) {
			return Datagram{Payload: buf[:d.Len], Source: inet.Addr6(from.Addr)}, nil
		}
	}
	return Datagram{}, unix.EAGAIN // poll will say at once that there is more
}
