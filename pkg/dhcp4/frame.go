package dhcp4

import (
	"encoding/binary"

	"github.com/krunbox/krunbox/pkg/inet"
)

// UDP ports, RFC 2131 section 4.1.
const (
	serverPort = 67
	clientPort = 68
)

// Headers of IPv4 (RFC 791) without options, and UDP (RFC 768).
const (
	ipHeader    = 20
	udpHeader   = 8
	protocolUDP = 17
	fragment    = 0x3fff // of flags and fragment offset: what tells a fragment from a whole packet
)

// AppendFrame appends a client's message with its IPv4 and UDP headers. A source that is not valid is 0.0.0.0.
func AppendFrame(b []byte, source, destination inet.Addr, payload []byte) []byte {
	src, dst := source.As4(), destination.As4()
	size := udpHeader + len(payload)
	ip := [ipHeader]byte{
		0: 4<<4 | ipHeader/4,
		2: byte((ipHeader + size) >> 8), 3: byte(ipHeader + size),
		6: 0x40, // don't fragment: such a datagram needs no identification (RFC 6864)
		8: 64,   // time to live
		9: protocolUDP,
	}
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(ip[10:], inet.Checksum(ip[:]))
	udp := [udpHeader]byte{1: clientPort, 3: serverPort, 4: byte(size >> 8), 5: byte(size)}
	sum := udpChecksum(ip[:], udp[:], payload)
	if sum == 0 {
		sum = 0xffff // 0 would mean that there is none
	}
	binary.BigEndian.PutUint16(udp[6:], sum)
	return append(append(append(b, ip[:]...), udp[:]...), payload...)
}

// ParseFrame takes a server's message out of an IPv4 packet, which padding of the link may follow. It is false for whatever
// is not a whole UDP datagram to the client's port with the right checksums. The source port can be any: RFC 2131 says
// nothing of it.
//
// With partialChecksum the UDP checksum is not looked at: a sender on the same machine leaves it to a network device that
// is none.
func ParseFrame(b []byte, partialChecksum bool) (Datagram, bool) {
	if len(b) < ipHeader || b[0]>>4 != 4 || b[9] != protocolUDP {
		return Datagram{}, false
	}
	header := int(b[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if header < ipHeader || total < header+udpHeader || total > len(b) || binary.BigEndian.Uint16(b[6:])&fragment != 0 ||
		inet.Checksum(b[:header]) != 0 {
		return Datagram{}, false
	}
	ip, udp := b[:header], b[header:total]
	size := int(binary.BigEndian.Uint16(udp[4:]))
	if binary.BigEndian.Uint16(udp[2:]) != clientPort || size < udpHeader || size > len(udp) {
		return Datagram{}, false
	}
	udp = udp[:size:size]
	if sum := binary.BigEndian.Uint16(udp[6:]); sum != 0 && !partialChecksum && udpChecksum(ip, udp, nil) != 0 {
		return Datagram{}, false
	}
	return Datagram{Payload: udp[udpHeader:], Source: inet.AddrFrom(ip[12:16])}, true
}

// udpChecksum returns the checksum of a datagram in two parts, the first of even length, and of the addresses in its IP
// header.
func udpChecksum(ip, udp, payload []byte) uint16 {
	size := len(udp) + len(payload)
	return inet.Checksum(ip[12:20], []byte{0, protocolUDP, byte(size >> 8), byte(size)}, udp, payload)
}
