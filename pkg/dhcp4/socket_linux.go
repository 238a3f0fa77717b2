package dhcp4

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/recvmsg"
)

// Socket sends the messages of a Client on one interface and receives the answers. It uses a packet
// socket, packet(7), because the interface has no address at first and servers may send answers to
// the address that they offer.
type Socket struct {
	packet   int
	udp      int        // sends to the server's own address; -1 before the first such message
	udpFrom  netip.Addr // the local address of udp
	ifindex  int
	filtered bool // whether dhcpFilter was attached, or could not be attached
	frame    []byte
	control  [64]byte
}

// protocolIP is ETH_P_IP in network byte order. All machines that libkrun runs on are
// little-endian.
const protocolIP = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8

// dhcpFilter passes complete UDP datagrams to the client's port. The socket attaches it only when
// another frame arrives, because compiling a filter takes longer than the rest of OpenSocket.
var dhcpFilter = [...]unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9}, // protocol
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: protocolUDP, Jf: 6},
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 6}, // flags and fragment offset
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: isFragment, Jt: 4},
	{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0}, // length of the IP header
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2},  // destination port
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: clientPort, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

// OpenSocket opens a socket on the interface with the given index. The interface may be down.
func OpenSocket(ifindex int) (*Socket, error) {
	// With protocol 0 the socket receives nothing until bind selects the interface.
	fd, err := recvmsg.Open(unix.AF_PACKET, unix.SOCK_DGRAM, 0, func(fd int) error {
		return cmp.Or( // the first error
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocolIP, Ifindex: ifindex}))
	})
	if err != nil {
		return nil, fmt.Errorf("open a packet socket for DHCP: %w", err)
	}
	return &Socket{packet: fd, udp: -1, ifindex: ifindex}, nil
}

func attachFilter(fd int, filter []unix.SockFilter) error {
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// FD returns the descriptor to poll for answers.
func (s *Socket) FD() int { return s.packet }

// Close closes the socket.
func (s *Socket) Close() {
	unix.Close(s.packet)
	if s.udp >= 0 {
		unix.Close(s.udp)
	}
}

// Receive returns the next datagram. The payload is a part of buf; longer frames are skipped, and
// 1500 bytes suffice for an Ethernet link. The error is unix.EAGAIN if no datagram is queued, or if
// recvmsg.MaxSkipped other frames were skipped. The error wraps unix.ENETDOWN if the interface went
// down; the socket works again when the interface is up.
func (s *Socket) Receive(buf []byte) (datagram Datagram, err error) {
	err = recvmsg.Next[unix.RawSockaddrLinklayer](s.packet, buf, s.control[:], nil,
		func(packet, control []byte) (ok bool) {
			// The UDP checksum of a packet from this machine, or from the host of a virtual
			// machine, may be incomplete.
			status := recvmsg.ControlValue(control, unix.SOL_PACKET, unix.PACKET_AUXDATA)
			datagram, ok = ParseFrame(packet, status&unix.TP_STATUS_CSUMNOTREADY != 0)
			if !ok && !s.filtered {
				_ = attachFilter(s.packet, dhcpFilter[:]) // without it, Receive is only slower
				s.filtered = true
			}
			return ok
		})
	if err != nil && err != unix.EAGAIN {
		err = fmt.Errorf("receive a DHCP message: %w", err)
	}
	return datagram, err
}

// Send sends the message of an action. It does nothing if there is none. The source address is the
// field ciaddr of the message: the leased address, or 0.0.0.0 without a lease.
func (s *Socket) Send(a Action) error {
	if len(a.Send) < fixedSize {
		return nil
	}
	source := toAddr(a.Send[offCIAddr:][:4])
	send := s.unicast
	if a.To == limitedBroadcast() {
		send = s.broadcast
	}
	if err := send(source, a); err != nil {
		return fmt.Errorf("send a DHCP message from %v to %v: %w", source, a.To, err)
	}
	return nil
}

func (s *Socket) broadcast(source netip.Addr, a Action) error {
	s.frame = AppendFrame(s.frame[:0], source, a.To, a.Send)
	return unix.Sendto(s.packet, s.frame, 0, &unix.SockaddrLinklayer{
		Protocol: protocolIP, Ifindex: s.ifindex,
		Halen: 6, Addr: [8]uint8{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	})
}

// unicast sends by a UDP socket, so that the kernel finds the route and the hardware address.
func (s *Socket) unicast(source netip.Addr, a Action) error {
	if s.udp >= 0 && s.udpFrom != source {
		unix.Close(s.udp)
		s.udp = -1
	}
	if s.udp < 0 {
		var err error
		if s.udp, err = openUDP(s.ifindex, source); err != nil {
			return err
		}
		s.udpFrom = source
	}
	return unix.Sendto(s.udp, a.Send, 0, &unix.SockaddrInet4{Port: serverPort, Addr: as4(a.To)})
}

// Flush waits until the messages to a server's own address have left the machine, at most for
// limit. The kernel holds them back while it resolves the server's hardware address by ARP, and
// drops them if the interface loses its address meanwhile.
func (s *Socket) Flush(limit time.Duration) {
	for deadline := time.Now().Add(limit); s.udp >= 0 && time.Now().Before(deadline); {
		if queued, err := unix.IoctlGetInt(s.udp, unix.SIOCOUTQ); err != nil || queued == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// openUDP opens a socket that only sends. It stays open so that the kernel does not reject the
// answers, which the packet socket receives, by ICMP "port unreachable"; a filter drops its copies.
func openUDP(ifindex int, source netip.Addr) (int, error) {
	return recvmsg.Open(unix.AF_INET, unix.SOCK_DGRAM, 0, func(fd int) error {
		return cmp.Or( // the first error
			attachFilter(fd, []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, ifindex),
			unix.Bind(fd, &unix.SockaddrInet4{Port: clientPort, Addr: as4(source)}))
	})
}
