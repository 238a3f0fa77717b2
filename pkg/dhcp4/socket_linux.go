package dhcp4

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/recvmsg"
)

// Socket hears the answers to a Client on one interface, whatever address they are sent to, and sends its messages. It is
// a packet socket, packet(7), which can do that before the interface has an address.
type Socket struct {
	packet  int
	udp     int       // for messages to the server's own address; -1 until there is one
	udpFrom inet.Addr // the address that udp is bound to
	ifindex int
	filters bool // the filter is attached
	frame   []byte
	control [64]byte
}

// protocolIP is ETH_P_IP in network byte order; all machines that libkrun runs on are little-endian.
const protocolIP = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8

// mostFrames is the number of frames that Receive looks at in one call. The filter leaves few that are not for us, unless
// somebody means harm.
const mostFrames = 32

// dhcpFilter passes whole UDP datagrams to the client's port, and nothing else. It is attached when the first frame comes that
// is something else: on an interface without an address, whose server answers at once, none does, and to compile its first
// filter takes the kernel longer than the rest of OpenSocket (2 to 6 ms under emulation).
var dhcpFilter = [...]unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9}, // protocol
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: protocolUDP, Jf: 6},
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 6}, // flags and fragment offset
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: fragment, Jt: 4},
	{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0}, // length of the IP header
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2},  // destination port
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: clientPort, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

// OpenSocket opens a socket on the interface with that index. The interface need not be up.
func OpenSocket(ifindex int) (*Socket, error) {
	s := &Socket{udp: -1, ifindex: ifindex}
	if err := s.openPacket(); err != nil {
		return nil, fmt.Errorf("open a packet socket for DHCP: %w", err)
	}
	return s, nil
}

func (s *Socket) openPacket() (err error) {
	// Protocol 0 hears nothing: what gets into the queue comes from the interface.
	s.packet, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
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

// Receive returns the next datagram, which lies in buf; 1500 bytes are enough for any. Without one its error is EAGAIN.
// ENETDOWN means that the interface went down; the socket works again when that is up.
func (s *Socket) Receive(buf []byte) (Datagram, error) {
	for range mostFrames {
		d, err := recvmsg.Receive[unix.RawSockaddrLinklayer](s.packet, buf, s.control[:], nil)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return Datagram{}, err
		case err != nil:
			return Datagram{}, fmt.Errorf("receive a DHCP message: %w", err)
		}
		if d.Len > len(buf) {
			continue
		}
		if datagram, ok := ParseFrame(buf[:d.Len], partialChecksum(s.control[:d.Control])); ok {
			return datagram, nil
		}
		if !s.filters {
			// Without the filter it works as well, only slower.
			_ = attachFilter(s.packet, dhcpFilter[:])
			s.filters = true
		}
	}
	return Datagram{}, unix.EAGAIN // poll will say at once that there is more
}

// partialChecksum tells whether a packet's control message says that its UDP checksum was never completed: it comes from
// this machine, or from the host of a virtual one.
func partialChecksum(control []byte) bool {
	for len(control) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return false
		}
		if h.Level == unix.SOL_PACKET && h.Type == unix.PACKET_AUXDATA && len(data) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			return (*unix.TpacketAuxdata)(unsafe.Pointer(&data[0])).Status&unix.TP_STATUS_CSUMNOTREADY != 0
		}
		control = rest
	}
	return false
}

// Send sends the message of an action, if it has one, from the address that the message says is the client's: 0.0.0.0 or,
// once there is a lease, the leased address.
func (s *Socket) Send(a Action) error {
	if len(a.Send) < fixedSize {
		return nil
	}
	source := inet.AddrFrom(a.Send[offCIAddr:][:4])
	var err error
	if a.To == limitedBroadcast() {
		err = s.broadcast(source, a)
	} else {
		err = s.unicast(source, a)
	}
	if err != nil {
		return fmt.Errorf("send a DHCP message from %v to %v: %w", source, a.To, err)
	}
	return nil
}

func (s *Socket) broadcast(source inet.Addr, a Action) error {
	s.frame = AppendFrame(s.frame[:0], source, a.To, a.Send)
	return unix.Sendto(s.packet, s.frame, 0, &unix.SockaddrLinklayer{
		Protocol: protocolIP, Ifindex: s.ifindex, Halen: 6, Addr: [8]uint8{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	})
}

// unicast leaves it to the kernel to find the way, over a router or by ARP.
func (s *Socket) unicast(source inet.Addr, a Action) error {
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
	return unix.Sendto(s.udp, a.Send, 0, &unix.SockaddrInet4{Port: serverPort, Addr: a.To.As4()})
}

// Flush waits, up to a limit, until what was sent to a server's own address has left. The kernel keeps it back while it asks by
// ARP where the server is, and drops it if meanwhile the interface loses its address.
func (s *Socket) Flush(limit time.Duration) {
	for deadline := time.Now().Add(limit); s.udp >= 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if waiting, err := unix.IoctlGetInt(s.udp, unix.SIOCOUTQ); err != nil || waiting == 0 {
			return
		}
	}
}

// openUDP opens a socket for sending. The answers go by it to the packet socket; it stays open so that the kernel does not
// call the client's port unreachable, and its filter lets none of them pile up.
func openUDP(ifindex int, source inet.Addr) (int, error) {
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
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: clientPort, Addr: source.As4()})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
