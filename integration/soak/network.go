package soak

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/krunbox/krunbox/integration/network"
)

// mutations are the variants of a bad network. In each, one of three messages is as it should be.
var mutations = []string{"bytes changed", "frames changed", "truncated", "lengthened", "repeated", "late", "from others", "lost", "many routers"}

// applyNetwork adds a network whose DHCP server and router send mutated answers.
func applyNetwork(f Fault, r *rig) error {
	s, err := network.NewSegment(network.SegmentOptions{})
	if err != nil {
		return err
	}
	r.onClose(s.Close)
	s.AddTo(&r.cfg)
	r.cfg.Env = append(r.cfg.Env, "KRUN_DHCP=1")
	m := &mutator{what: f.What, random: f.random(), segment: s}
	_, err = s.Serve(context.Background(), network.Script(m.answer))
	return err
}

// A mutator answers packets of the guest.
type mutator struct {
	what    string
	random  *safeRand
	segment *network.Segment
}

// A message is an answer before it becomes a frame.
type message struct {
	udp  *network.UDP // nil: a router advertisement
	body []byte       // the payload of udp, or of ICMPv6 without the type
}

func (m *mutator) answer(p network.Packet) (replies []network.Reply) {
	for _, msg := range m.valid(p) {
		replies = append(replies, m.mutate(msg)...)
	}
	return replies
}

// valid returns what a server and a router answer to a packet.
func (m *mutator) valid(p network.Packet) []message {
	if request := p.DHCPv4(); request != nil {
		return m.dhcp4(request)
	}
	if request := p.DHCPv6(); request != nil {
		return m.dhcp6(p, request)
	}
	if p.Layer(layers.LayerTypeICMPv6RouterSolicitation) != nil {
		return []message{{body: advertisement(m.segment.HostMAC)}}
	}
	return nil
}

// Addresses of the network.
var (
	server4   = netip.MustParseAddr("192.0.2.1")
	lease4    = net.IPv4(192, 0, 2, 77)
	router6   = netip.MustParseAddr("fe80::1")
	allNodes  = netip.MustParseAddr("ff02::1")
	broadcast = net.HardwareAddr{255, 255, 255, 255, 255, 255}
)

func (m *mutator) dhcp4(request *dhcpv4.DHCPv4) []message {
	kind := dhcpv4.MessageTypeOffer
	switch request.MessageType() {
	case dhcpv4.MessageTypeDiscover:
	case dhcpv4.MessageTypeRequest:
		kind = dhcpv4.MessageTypeAck
	default:
		return nil
	}
	reply, err := dhcpv4.NewReplyFromRequest(request,
		dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(lease4), dhcpv4.WithServerIP(server4.AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server4.AsSlice())),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(server4.AsSlice()), dhcpv4.WithDNS(server4.AsSlice()),
		dhcpv4.WithDomainSearchList("example.com", "example.org"), dhcpv4.WithOption(dhcpv4.OptHostName("soak")),
		dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{16, 10, 1, 192, 0, 2, 9, 0, 192, 0, 2, 1}),
		dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{5, 0xdc}),
		dhcpv4.WithLeaseTime(uint32(1+m.random.IntN(20)))) // short, so that it is renewed
	if err != nil {
		return nil
	}
	return []message{{udp: &network.UDP{
		From: netip.AddrPortFrom(server4, dhcpv4.ServerPort), FromMAC: m.segment.HostMAC,
		To: netip.MustParseAddrPort("255.255.255.255:68"), ToMAC: broadcast,
	}, body: reply.ToBytes()}}
}

func (m *mutator) dhcp6(p network.Packet, request *dhcpv6.Message) []message {
	ip, ok := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	ethernet, isEthernet := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	if !ok || !isEthernet {
		return nil
	}
	duid := dhcpv6.WithServerID(&dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: m.segment.HostMAC})
	servers := dhcpv6.WithDNS(net.ParseIP("2001:db8::1"), net.ParseIP("2001:db8::2"))
	var reply *dhcpv6.Message
	var err error
	if request.MessageType == dhcpv6.MessageTypeSolicit {
		reply, err = dhcpv6.NewAdvertiseFromSolicit(request, duid, servers)
	} else {
		reply, err = dhcpv6.NewReplyFromMessage(request, duid, servers)
	}
	to, valid := netip.AddrFromSlice(ip.SrcIP)
	if err != nil || !valid {
		return nil
	}
	return []message{{udp: &network.UDP{
		From: netip.AddrPortFrom(router6, dhcpv6.DefaultServerPort), FromMAC: m.segment.HostMAC,
		To: netip.AddrPortFrom(to, dhcpv6.DefaultClientPort), ToMAC: ethernet.SrcMAC,
	}, body: reply.ToBytes()}}
}

// advertisement returns a router advertisement without the ICMPv6 type: with a prefix, name servers,
// search domains, and both flags for DHCPv6.
func advertisement(mac net.HardwareAddr) []byte {
	body := []byte{64, 0xc0, 1800 >> 8, 1800 & 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	body = append(append(body, 1, 1), mac...)
	body = append(body, 5, 1, 0, 0, 0, 0, 5, 0xdc) // MTU
	prefix := []byte{3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0}
	body = append(append(body, prefix...), netip.MustParseAddr("2001:db8::").AsSlice()...)
	servers := binary.BigEndian.AppendUint32([]byte{25, 3, 0, 0}, 600)
	body = append(append(body, servers...), netip.MustParseAddr("2001:db8::53").AsSlice()...)
	search := binary.BigEndian.AppendUint32([]byte{31, 3, 0, 0}, 600)
	return append(append(body, search...), "\x07example\x03com\x00\x00\x00\x00"...)
}

// frame returns the frame of a message.
func (m *mutator) frame(msg message, from netip.Addr, mac net.HardwareAddr) []byte {
	if msg.udp != nil {
		d := *msg.udp
		d.Payload = msg.body
		if mac != nil {
			d.FromMAC = mac
		}
		if from.IsValid() && from.Is4() == d.From.Addr().Is4() {
			d.From = netip.AddrPortFrom(from, d.From.Port())
		}
		return d.Frame()
	}
	ethernet := &layers.Ethernet{SrcMAC: m.segment.HostMAC, DstMAC: net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, EthernetType: layers.EthernetTypeIPv6}
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: router6.AsSlice(), DstIP: allNodes.AsSlice()}
	if mac != nil {
		ethernet.SrcMAC = mac
	}
	if from.Is6() {
		ip.SrcIP = from.AsSlice()
	}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeRouterAdvertisement, 0)}
	icmp.SetNetworkLayerForChecksum(ip)
	b := gopacket.NewSerializeBuffer()
	opt := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, opt, ethernet, ip, icmp, gopacket.Payload(msg.body)); err != nil {
		panic(err) // an address has the wrong length
	}
	return b.Bytes()
}

// mutate returns the frames for a message.
func (m *mutator) mutate(msg message) []network.Reply {
	what := m.what
	if what == "all" {
		what = mutations[m.random.IntN(len(mutations))]
	}
	whole := network.Reply{Frame: m.frame(msg, netip.Addr{}, nil)}
	if m.random.IntN(3) == 0 {
		return []network.Reply{whole}
	}
	body := slices.Clone(msg.body)
	switch what {
	case "bytes changed": // with a correct checksum
		m.change(body)
		return []network.Reply{{Frame: m.frame(message{msg.udp, body}, netip.Addr{}, nil)}, whole}
	case "frames changed":
		frame := slices.Clone(whole.Frame)
		m.change(frame)
		return []network.Reply{{Frame: frame}, whole}
	case "truncated":
		body = body[:m.random.IntN(len(body))]
		return []network.Reply{{Frame: m.frame(message{msg.udp, body}, netip.Addr{}, nil)}}
	case "lengthened":
		for range 1 + m.random.IntN(800) {
			body = append(body, byte(m.random.IntN(256)))
		}
		return []network.Reply{{Frame: m.frame(message{msg.udp, body}, netip.Addr{}, nil)}}
	case "repeated":
		return slices.Repeat([]network.Reply{whole}, 2+m.random.IntN(100))
	case "late":
		return []network.Reply{{Frame: whole.Frame, After: time.Duration(m.random.IntN(4000)) * time.Millisecond}}
	case "lost":
		return nil
	}
	count := 1
	if what == "many routers" {
		count = 40
	}
	list := []network.Reply{whole}
	for range count {
		mac := net.HardwareAddr{2, 0, 0, 0, byte(m.random.IntN(256)), byte(m.random.IntN(256))}
		from := netip.AddrFrom4([4]byte{192, 0, 2, byte(m.random.IntN(256))})
		if msg.udp == nil || msg.udp.From.Addr().Is6() {
			from = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(m.random.IntN(256)), 15: byte(2 + m.random.IntN(250))})
		}
		list = append(list, network.Reply{Frame: m.frame(msg, from, mac)})
	}
	return list
}

// change changes up to eight bytes.
func (m *mutator) change(b []byte) {
	for range 1 + m.random.IntN(8) {
		b[m.random.IntN(len(b))] = byte(m.random.IntN(256))
	}
}
