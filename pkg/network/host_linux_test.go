package network

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/loop"
)

// addr parses an address.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// addrFrom returns the address in 4 or 16 bytes.
func addrFrom(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// host is the other end of an interface: a DHCP server, a DHCPv6 server, and a router. It is a
// loop.Task.
type host struct {
	t      *testing.T
	mac    net.HardwareAddr // of the interface
	peer   netlink.Link
	fd     int // packet socket of this end
	server netip.Addr

	// DHCP: the lease; silent suppresses answers, nak refuses every REQUEST.
	address, dns string
	seconds      uint32
	more         []dhcpv4.Modifier
	silent, nak  bool
	seen         []*dhcpv4.DHCPv4
	source       netip.Addr // of the last message

	// DHCPv6: the lease.
	address6, dns6 string
	valid6         time.Duration
	silent6        bool
	seen6          []*dhcpv6.Message

	router   func() // answers solicitations, unless nil
	detected int    // neighbor solicitations of duplicate address detection
}

var hostMAC = net.HardwareAddr{0x52, 0x55, 10, 0, 2, 2}

// newHost adds an interface, which is down, and connects it to a host with the IPv4 network
// 10.0.n.0/24.
func newHost(t *testing.T, name string, n byte) *host {
	t.Helper()
	h := &host{
		t: t, mac: net.HardwareAddr{0x5a, 0x94, 0xef, 0xe4, 0x0c, n},
		server:  netip.AddrFrom4([4]byte{10, 0, n, 2}),
		address: net.IP{10, 0, n, 15}.String(), dns: net.IP{10, 0, n, 3}.String(), seconds: 3600,
		address6: "fd00::15", dns6: "fd00::53", valid6: time.Hour,
	}
	peer := "peer-" + name
	if err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: h.mac},
		PeerName:  peer, PeerHardwareAddr: hostMAC,
	}); err != nil {
		t.Fatal(err)
	}
	file := "/proc/sys/net/ipv6/conf/" + peer + "/disable_ipv6"
	if err := os.WriteFile(file, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	h.peer = link(t, peer)
	h.plug(true)
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network byte order
	const kind = unix.SOCK_RAW | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	fd, err := unix.Socket(unix.AF_PACKET, kind, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: h.peer.Attrs().Index})
	}
	if err == nil {
		// Otherwise the kernel drops packets until it has noticed that there is a carrier again.
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	h.fd = fd
	return h
}

// plug plugs the cable in or out: an interface that is up has a carrier, or has none.
func (h *host) plug(in bool) {
	h.t.Helper()
	set := netlink.LinkSetDown
	if in {
		set = netlink.LinkSetUp
	}
	if err := set(h.peer); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) Poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) {
	return append(fds, unix.PollFd{Fd: int32(h.fd), Events: unix.POLLIN}), loop.Forever
}

// Run answers the messages that have arrived.
func (h *host) Run() {
	for b := make([]byte, 2000); ; {
		n, from, err := unix.Recvfrom(h.fd, b, 0)
		if err == unix.EAGAIN {
			return
		}
		sender, ok := from.(*unix.SockaddrLinklayer)
		if err == nil && ok && sender.Pkttype != unix.PACKET_OUTGOING && n > 14 {
			h.frame(binary.BigEndian.Uint16(b[12:]), b[14:n])
		}
	}
}

func (h *host) frame(ether uint16, b []byte) {
	if ether == unix.ETH_P_ARP && bytes.Equal(b[24:28], h.server.AsSlice()) {
		reply := []byte{0, 1, 8, 0, 6, 4, 0, 2}
		h.write(h.mac, unix.ETH_P_ARP, reply, hostMAC, h.server.AsSlice(), b[8:18])
	}
	isUDP := func(header, port int) bool {
		return len(b) >= header+8 && int(binary.BigEndian.Uint16(b[header+2:])) == port
	}
	if ether == unix.ETH_P_IP && b[9] == unix.IPPROTO_UDP && isUDP(20, 67) {
		m, err := dhcpv4.FromBytes(b[28:])
		if err != nil {
			h.t.Errorf("the client sent %x: %v", b[28:], err)
			return
		}
		h.seen, h.source = append(h.seen, m), addrFrom(b[12:16])
		h.answer(m)
	}
	if ether != unix.ETH_P_IPV6 {
		return
	}
	const routerSolicitation, neighborSolicitation = 133, 135
	source := addrFrom(b[8:24])
	isICMP := b[6] == unix.IPPROTO_ICMPV6
	switch {
	case isICMP && b[40] == routerSolicitation:
		if h.router != nil {
			h.router()
		}
	case isICMP && b[40] == neighborSolicitation && source.IsUnspecified():
		if netip.MustParsePrefix("2001:db8::/64").Contains(addrFrom(b[48:64])) {
			h.detected++
		}
	case b[6] == unix.IPPROTO_UDP && isUDP(40, 547):
		m, err := dhcpv6.MessageFromBytes(b[48:])
		if err != nil {
			h.t.Errorf("the client sent %x: %v", b[48:], err)
			return
		}
		h.seen6 = append(h.seen6, m)
		h.answer6(m, source)
	}
}

func (h *host) write(to net.HardwareAddr, ether uint16, parts ...[]byte) {
	h.t.Helper()
	b := append(slices.Concat(to, hostMAC), byte(ether>>8), byte(ether))
	_, err := unix.Write(h.fd, append(b, slices.Concat(parts...)...))
	// It fails while the cable is out.
	if err != nil && err != unix.ENETDOWN && err != unix.ENETUNREACH {
		h.t.Error(err)
	}
}

// answer is the DHCP server.
func (h *host) answer(m *dhcpv4.DHCPv4) {
	var kind dhcpv4.MessageType
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest:
		kind = dhcpv4.MessageTypeAck
	}
	if h.silent || kind == 0 {
		return
	}
	server := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(h.server.AsSlice()))
	modifiers := append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), server, dhcpv4.WithYourIP(net.ParseIP(h.address)),
		dhcpv4.WithLeaseTime(h.seconds), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithRouter(h.server.AsSlice()), dhcpv4.WithDNS(net.ParseIP(h.dns)),
	}, h.more...)
	if h.nak && kind == dhcpv4.MessageTypeAck {
		modifiers = []dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeNak), server}
	}
	reply, err := dhcpv4.NewReplyFromRequest(m, modifiers...)
	if err != nil {
		h.t.Error(err)
		return
	}
	packet := dhcp4.AppendFrame(nil, h.server, addr("255.255.255.255"), reply.ToBytes())
	// Swap the ports, which does not change the checksum.
	packet[21], packet[23] = packet[23], packet[21]
	h.write(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, unix.ETH_P_IP, packet)
}

// answer6 is the DHCPv6 server.
func (h *host) answer6(m *dhcpv6.Message, client netip.Addr) {
	if h.silent6 {
		return
	}
	modifiers := []dhcpv6.Modifier{
		dhcpv6.WithServerID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: hostMAC}),
		dhcpv6.WithDNS(net.ParseIP(h.dns6)), dhcpv6.WithDomainSearchList("six.example"),
	}
	if identity := m.Options.OneIANA(); identity != nil {
		address := dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(h.address6)}
		address.PreferredLifetime, address.ValidLifetime = h.valid6, h.valid6
		modifiers = append(modifiers, dhcpv6.WithIAID(identity.IaId), dhcpv6.WithIANA(address))
	}
	reply := dhcpv6.NewReplyFromMessage
	if m.MessageType == dhcpv6.MessageTypeSolicit {
		reply = dhcpv6.NewAdvertiseFromSolicit
	}
	answer, err := reply(m, modifiers...)
	if err != nil {
		h.t.Error(err)
		return
	}
	payload := answer.ToBytes()
	udp := binary.BigEndian.AppendUint16(nil, 547)
	udp = binary.BigEndian.AppendUint16(udp, 546)
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(payload)))
	udp = append(append(udp, 0, 0), payload...)
	h.write6(h.mac, client, unix.IPPROTO_UDP, udp, 6)
}

// write6 writes a packet from fe80::1 with the checksum of its payload.
func (h *host) write6(
	mac net.HardwareAddr, to netip.Addr, protocol byte, payload []byte, checksumAt int,
) {
	h.t.Helper()
	length := []byte{byte(len(payload) >> 8), byte(len(payload))}
	addresses := slices.Concat(addr("fe80::1").AsSlice(), to.AsSlice())
	pseudo := slices.Concat(addresses, []byte{0, 0}, length, []byte{0, 0, 0, protocol})
	binary.BigEndian.PutUint16(payload[checksumAt:], dhcp4.Checksum(pseudo, payload))
	header := slices.Concat([]byte{0x60, 0, 0, 0}, length, []byte{protocol, 255})
	h.write(mac, unix.ETH_P_IPV6, header, addresses, payload)
}

// Flags of a router advertisement, RFC 4861 section 4.2.
const (
	managed = 0x80
	other   = 0x40
)

// allNodes is the hardware address of the multicast address ff02::1.
var allNodes = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}

// advertise sends an advertisement of a default router, valid for half an hour, with the prefix
// 2001:db8::/64 on the link.
func (h *host) advertise(flags byte, options ...[]byte) {
	h.t.Helper()
	prefix := append([]byte{3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0},
		addr("2001:db8::").AsSlice()...)
	header := []byte{134, 0, 0, 0, 64, flags, 1800 >> 8, 1800 & 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	b := slices.Concat(header, prefix, slices.Concat(options...))
	h.write6(allNodes, addr("ff02::1"), unix.IPPROTO_ICMPV6, b, 2)
}

// rdnss returns a Recursive DNS Server option, RFC 8106 section 5.1.
func rdnss(seconds byte, server string) []byte {
	return append([]byte{25, 3, 0, 0, 0, 0, 0, seconds}, addr(server).AsSlice()...)
}

// dnssl returns a DNS Search List option for one label of six letters, RFC 8106 section 5.2.
func dnssl(seconds byte, label string) []byte {
	return append(append([]byte{31, 2, 0, 0, 0, 0, 0, seconds, 6}, label...), 0)
}

// last returns the last DHCP message of the client, which must be of the given type.
func (h *host) last(kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	h.t.Helper()
	if len(h.seen) == 0 || h.seen[len(h.seen)-1].MessageType() != kind {
		h.t.Fatalf("the client sent %v, want a %v at the end", h.seen, kind)
	}
	return h.seen[len(h.seen)-1]
}

// kinds returns the types of the client's DHCPv6 messages, without repetitions.
func (h *host) kinds() (kinds []string) {
	for _, m := range h.seen6 {
		kinds = append(kinds, m.MessageType.String())
	}
	return slices.Compact(kinds)
}
