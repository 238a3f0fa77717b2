package dhcp4

import (
	"encoding/binary"
	"net/netip"
)

// UDP ports, RFC 2131 section 4.1.
const (
	serverPort = 67
	clientPort = 68
)

// Headers of IPv4 (RFC 791) without options, and of UDP (RFC 768).
const (
	ipHeader     = 20
	udpHeader    = 8
	protocolUDP  = 17
	dontFragment = 0x4000
	isFragment   = 0x3fff // the flag "more fragments" and the fragment offset
)

// AppendFrame appends an IPv4 packet with a message from a client to a server. If source or
// destination is not an IPv4 address, the packet has 0.0.0.0 in its place.
func AppendFrame(b []byte, source, destination netip.Addr, payload []byte) []byte {
	size := udpHeader + len(payload)
	src, dst := as4(source), as4(destination)
	ip := [ipHeader]byte{0: 4<<4 | ipHeader/4, 8: 64, 9: protocolUDP} // 64: time to live
	binary.BigEndian.PutUint16(ip[2:], uint16(ipHeader+size))
	// Without fragmentation, the packet needs no identification (RFC 6864).
	binary.BigEndian.PutUint16(ip[6:], dontFragment)
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(ip[10:], Checksum(ip[:]))

	udp := [udpHeader]byte{1: clientPort, 3: serverPort}
	binary.BigEndian.PutUint16(udp[4:], uint16(size))
	sum := udpChecksum(ip[:], udp[:], payload)
	if sum == 0 {
		sum = 0xffff // 0 means that there is no checksum
	}
	binary.BigEndian.PutUint16(udp[6:], sum)
	return append(append(append(b, ip[:]...), udp[:]...), payload...)
}

// ParseFrame returns the message to a client in an IPv4 packet, which may be followed by padding of
// the link. It returns false unless the packet is a complete UDP datagram to the client's port with
// correct checksums. If partialChecksum is true, the UDP checksum is ignored: a sender on the same
// machine leaves the checksum to the network device, and a virtual device does not compute it.
func ParseFrame(b []byte, partialChecksum bool) (Datagram, bool) {
	if len(b) < ipHeader || b[0]>>4 != 4 || b[9] != protocolUDP ||
		binary.BigEndian.Uint16(b[6:])&isFragment != 0 {
		return Datagram{}, false
	}
	header := int(b[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if header < ipHeader || total < header+udpHeader || total > len(b) ||
		Checksum(b[:header]) != 0 {
		return Datagram{}, false
	}
	ip, udp := b[:header], b[header:total]
	size := int(binary.BigEndian.Uint16(udp[4:]))
	if binary.BigEndian.Uint16(udp[2:]) != clientPort || size < udpHeader || size > len(udp) {
		return Datagram{}, false
	}
	udp = udp[:size:size]
	hasChecksum := binary.BigEndian.Uint16(udp[6:]) != 0
	if hasChecksum && !partialChecksum && udpChecksum(ip, udp, nil) != 0 {
		return Datagram{}, false
	}
	return Datagram{Payload: udp[udpHeader:], Source: toAddr(ip[12:16])}, true
}

// udpChecksum returns the checksum of a UDP datagram with the IP header ip. The datagram consists
// of udp and payload; the length of udp must be even unless payload is empty.
func udpChecksum(ip, udp, payload []byte) uint16 {
	size := len(udp) + len(payload)
	pseudo := [...]byte{1: protocolUDP, 2: byte(size >> 8), 3: byte(size)}
	return Checksum(ip[12:20], pseudo[:], udp, payload)
}

// Checksum returns the Internet checksum (RFC 1071) of the concatenation of parts. All parts but
// the last must have an even length. It returns 0 for data that contains its correct checksum.
func Checksum(parts ...[]byte) uint16 {
	var sum uint64
	for _, b := range parts {
		// Adding 32 bits is adding two words of 16 bits, because 1<<16 is 1 modulo 0xffff.
		for ; len(b) >= 4; b = b[4:] {
			sum += uint64(binary.BigEndian.Uint32(b))
		}
		for i, octet := range b {
			sum += uint64(octet) << (8 * (1 - i%2)) // big-endian words
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// as4 returns the bytes of a, or zeros if a is not an IPv4 address.
func as4(a netip.Addr) (b [4]byte) {
	if a.Is4() {
		b = a.As4()
	}
	return b
}
