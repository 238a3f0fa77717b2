package dhcp4

import (
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/recvmsg"
)

// Socket sends the messages of a Client on one interface and receives the answers, whatever address
// they are sent to. It is a packet socket, packet(7), because the interface has no address at
// first.
type Socket struct {
	packet   int
	udp      int        // sends to the server's own address; -1 before the first such message
	udpFrom  netip.Addr // the local address of udp
	ifindex  int
	filtered bool // attaching the filter was tried
	frame    []byte
	control  [64]byte
}

// protocolIP is ETH_P_IP in network byte order. All machines that libkrun runs on are
// little-endian.
const protocolIP = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8

// dhcpFilter passes complete UDP datagrams to the client's port. The socket attaches it when the
// first other frame arrives. On an interface without an address whose server answers at once there
// is none, and compiling its first filter takes the kernel longer than the rest of OpenSocket.
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

// OpenSocket opens a socket on the interface with the given index, which need not be up.
func OpenSocket(ifindex int) (*Socket, error) {
	s := &Socket{udp: -1, ifindex: ifindex}
	if err := s.openPacket(); err != nil {
		return nil, fmt.Errorf("open a packet socket for DHCP: %w", err)
	}
	return s, nil
}

func (s *Socket) openPacket() (err error) {
	// Protocol 0 receives nothing: only frames of the interface enter the queue, after bind.
	s.packet, err = unix.Socket(unix.AF_PACKET,
		unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.SetsockoptInt(s.packet, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1)
	if err == nil {
		err = unix.Bind(s.packet, &unix.SockaddrLinklayer{Protocol: protocolIP, Ifindex: s.ifindex})
	}
	if err != nil {
		unix.Close(s.packet)
	}
	return err
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

// Receive returns the next datagram, whose payload is a part of buf; a buf of 1500 bytes holds any
// datagram of an Ethernet link. It returns unix.EAGAIN if no datagram is queued, or if it skipped
// recvmsg.MaxSkipped other frames. An error that wraps unix.ENETDOWN says that the interface went
// down; the socket continues to work when the interface is up again.
func (s *Socket) Receive(buf []byte) (Datagram, error) {
	var datagram Datagram
	err := recvmsg.Next[unix.RawSockaddrLinklayer](s.packet, buf, s.control[:], nil,
		func(packet, control []byte) (ok bool) {
			if datagram, ok = ParseFrame(packet, partialChecksum(control)); !ok {
				s.filter()
			}
			return ok
		})
	if err == unix.EAGAIN {
		return Datagram{}, err
	}
	if err != nil {
		return Datagram{}, fmt.Errorf("receive a DHCP message: %w", err)
	}
	return datagram, nil
}

// filter attaches the filter when it is first called.
func (s *Socket) filter() {
	if !s.filtered {
		_ = attachFilter(s.packet, dhcpFilter[:]) // without the filter, Receive is only slower
		s.filtered = true
	}
}

// partialChecksum reports whether a packet's control messages say that its UDP checksum is not
// complete: the packet comes from this machine, or from the host of a virtual machine.
func partialChecksum(control []byte) bool {
	for len(control) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return false
		}
		if h.Level == unix.SOL_PACKET && h.Type == unix.PACKET_AUXDATA &&
			len(data) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&data[0]))
			return aux.Status&unix.TP_STATUS_CSUMNOTREADY != 0
		}
		control = rest
	}
	return false
}

// Send sends the message of an action, if there is one. The source is the message's field ciaddr:
// the leased address, or 0.0.0.0 without a lease.
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
		fd, err := openUDP(s.ifindex, source)
		if err != nil {
			return err
		}
		s.udp, s.udpFrom = fd, source
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

// openUDP opens a socket that only sends. The packet socket receives the answers; this one stays
// open so that the kernel does not reject them by ICMP "port unreachable", and its filter drops its
// copies of them.
func openUDP(ifindex int, source netip.Addr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = attachFilter(fd, []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, ifindex)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: clientPort, Addr: as4(source)})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
