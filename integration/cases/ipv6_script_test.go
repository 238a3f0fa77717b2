package cases

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/krunbox/krunbox/integration/network"
)

// Addresses of scripted routers and servers. They differ from those of the host's kernel, whose
// neighbor advertisements say that it is not a router.
var (
	routerAddr     = netip.MustParseAddr("fe80::2")
	nameServerAddr = netip.MustParseAddr("fe80::53")
	routerMAC      = net.HardwareAddr{2, 0, 0, 0, 0, 1}
)

// The all-nodes multicast addresses.
var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
)

// Flags of router advertisements, RFC 4861 section 4.2.
const (
	managedFlag = 0x80
	otherFlag   = 0x40
)

// forever is an infinite lifetime, RFC 8106 section 5.1.
const forever = 0xffffffff

// neighborMessage returns the frame of a Neighbor Discovery message, RFC 4861. body follows the
// checksum of the ICMPv6 header.
func neighborMessage(kind uint8, from, to netip.Addr, fromMAC, toMAC net.HardwareAddr, body []byte) []byte {
	ethernet := &layers.Ethernet{SrcMAC: fromMAC, DstMAC: toMAC, EthernetType: layers.EthernetTypeIPv6}
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	icmp.SetNetworkLayerForChecksum(ip)
	b := gopacket.NewSerializeBuffer()
	opt := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, opt, ethernet, ip, icmp, gopacket.Payload(body)); err != nil {
		panic(err) // an address has the wrong length
	}
	return b.Bytes()
}

// advertisement returns the frame of a router advertisement to all nodes, with a router lifetime of
// half an hour.
func advertisement(from netip.Addr, mac net.HardwareAddr, flags byte, options ...[]byte) []byte {
	body := []byte{64, flags, 1800 >> 8, 1800 & 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	body = append(append(body, 1, 1), mac...) // source link-layer address
	body = append(body, slices.Concat(options...)...)
	return neighborMessage(layers.ICMPv6TypeRouterAdvertisement, from, allNodes, mac, allNodesMAC, body)
}

// prefixOption returns a Prefix Information option for SLAAC, valid for an hour.
func prefixOption(prefix string) []byte {
	const onLink, autonomous, hour = 0x80, 0x40, 3600
	p := netip.MustParsePrefix(prefix)
	b := []byte{3, 4, byte(p.Bits()), onLink | autonomous}
	b = binary.BigEndian.AppendUint32(b, hour)
	b = binary.BigEndian.AppendUint32(b, hour)
	return append(append(b, 0, 0, 0, 0), p.Addr().AsSlice()...)
}

// serversOption returns an RDNSS option, RFC 8106 section 5.1. The lifetime is in seconds.
func serversOption(lifetime uint32, servers ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{25, byte(1 + 2*len(servers)), 0, 0}, lifetime)
	for _, s := range servers {
		b = append(b, netip.MustParseAddr(s).AsSlice()...)
	}
	return b
}

// searchOption returns a DNSSL option, RFC 8106 section 5.2. It splits the names at dots and does
// not check the labels.
func searchOption(lifetime uint32, names ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{31, 0, 0, 0}, lifetime)
	for _, name := range names {
		for label := range strings.SplitSeq(name, ".") {
			b = append(append(b, byte(len(label))), label...)
		}
		b = append(b, 0)
	}
	b = append(b, make([]byte, -len(b)&7)...)
	b[1] = byte(len(b) / 8)
	return b
}

// scriptedRouter returns a segment on which answer replies to packets. It also answers neighbor
// solicitations for the addresses of the script. marks is the number of marks that the guest has
// sent, including the packet itself.
func scriptedRouter(t *testing.T, answer func(s *network.Segment, p network.Packet, marks int) []network.Reply) *network.Segment {
	t.Helper()
	s := segment(t, network.SegmentOptions{})
	marks := 0
	if _, err := s.Serve(t.Context(), network.Script(func(p network.Packet) []network.Reply {
		if isMark(p) {
			marks++
		}
		if query, ok := p.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation); ok {
			return neighbor(s, p, query)
		}
		return answer(s, p, marks)
	})); err != nil {
		t.Fatal(err)
	}
	return s
}

// neighbor answers a neighbor solicitation for an address of the script.
func neighbor(s *network.Segment, p network.Packet, query *layers.ICMPv6NeighborSolicitation) []network.Reply {
	target, _ := netip.AddrFromSlice(query.TargetAddress)
	if target != routerAddr && target != nameServerAddr {
		return nil
	}
	const isRouter, solicited = 0x80, 0x40
	// The option is the target link-layer address.
	body := slices.Concat([]byte{isRouter | solicited, 0, 0, 0}, target.AsSlice(), []byte{2, 1},
		routerMAC)
	asking, _ := netip.AddrFromSlice(p.Layer(layers.LayerTypeIPv6).(*layers.IPv6).SrcIP)
	return frames(neighborMessage(layers.ICMPv6TypeNeighborAdvertisement, target, asking, routerMAC, s.MAC, body))
}

func isMark(p network.Packet) bool {
	ethernet, ok := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	return ok && ethernet.EthernetType == markType
}

func isSolicitation(p network.Packet) bool {
	return p.Layer(layers.LayerTypeICMPv6RouterSolicitation) != nil
}

func frames(all ...[]byte) (replies []network.Reply) {
	for _, frame := range all {
		replies = append(replies, network.Reply{Frame: frame})
	}
	return replies
}

// TestIPv6InTime boots a guest without IPv4, whose workload connects to the host and looks up a
// name at once. It checks that the address, the route and the name servers are available within the
// default timeout if a router answers at once, and within 3 s if the first messages are lost. The
// kernel alone would retransmit its solicitation after 4 s only.
func TestIPv6InTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		lost  int // number of solicitations without an answer
		limit string
	}{
		{name: "router that answers at once"},
		{name: "lost messages", lost: 3, limit: "3000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			solicitations := 0
			s := scriptedRouter(t, func(s *network.Segment, p network.Packet, _ int) []network.Reply {
				if isSolicitation(p) {
					if solicitations++; solicitations <= c.lost {
						return nil
					}
					return frames(advertisement(routerAddr, routerMAC, otherFlag, prefixOption("2001:db8::/64")))
				}
				if m := p.DHCPv6(); m != nil {
					// The guest reaches this name server through the router.
					return answer6(s, p, m, 0, 0, 0, dhcpv6.WithDNS(net.ParseIP("2001:db8:53::53")))
				}
				return answerNames(p)
			})
			to, err := s.Greet(s.Host6, "hello\n")
			if err != nil {
				t.Fatal(err)
			}
			cfg := onIPv6(t, s.Network, "to="+to.String(), "look-up=name.example.net")
			if c.limit != "" {
				cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS="+c.limit)
			}
			text := console(run(t, cfg, 0))
			wantValues(t, text, "greeting", "hello")
			wantValues(t, text, "look-up", "[2001:db8::99] <nil>")
			wantValues(t, text, "router", routerAddr.String())
			checkSolicitations(t, s.Network)
			checkMessages6(t, s.Network, []dhcpv6.MessageType{dhcpv6.MessageTypeInformationRequest, dhcpv6.MessageTypeReply}, false)
		})
	}
}

// TestRouterThatChanges has a router that announces name servers and search domains, some of them
// invalid, and withdraws them. One name server expires because the router does not announce it
// again. The guest must query a server with a link-local address through its interface.
func TestRouterThatChanges(t *testing.T) {
	t.Parallel()
	hostile := searchOption(forever, "evil\nnameserver 10.6.6.6", "a b", "-x", "x#y", "good.example")
	long := searchOption(forever, strings.Repeat("y.", 125)+"example")
	endless := []byte{31, 2, 0, 0, 255, 255, 255, 255, 9, 'e', 'n', 'd', 'l', 'e', 's', 's'}
	said := [][][]byte{
		{prefixOption("2001:db8::/64"), serversOption(3600, nameServerAddr.String()), serversOption(4, "2001:db8::53", "::1", "ff02::53", "::"),
			hostile, long, endless},
		{serversOption(0, nameServerAddr.String()), serversOption(forever, "2001:db8::54", "2001:db8::55", "2001:db8::54", "2001:db8::56", "2001:db8::57"),
			searchOption(0, "good.example")},
		{serversOption(0, "2001:db8::54", "2001:db8::55", "2001:db8::56", "2001:db8::57")},
	}
	s := scriptedRouter(t, func(s *network.Segment, p network.Packet, marks int) []network.Reply {
		if isMark(p) || isSolicitation(p) && marks == 0 {
			return frames(advertisement(routerAddr, routerMAC, 0, said[marks]...))
		}
		return answerNames(p)
	})
	cfg := onIPv6(t, s.Network, "until=nameserver 2001:db8::53", "look-up=name.example.net", "show",
		"until=!nameserver 2001:db8::53", "show", "mark", "until=nameserver 2001:db8::54", "show", "mark", "until=nameserver 10.9.9.9")
	if err := os.WriteFile(filepath.Join(cfg.Root, "etc/resolv.conf"), []byte("nameserver 10.9.9.9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	text := console(run(t, cfg, 0))
	wantValues(t, text, "look-up", "[2001:db8::99] <nil>")
	wantValues(t, text, "resolv.conf",
		"search good.example", "nameserver fe80::53%eth0", "nameserver 2001:db8::53", // first show
		"search good.example", "nameserver fe80::53%eth0", // second show
		// Third show: three of four servers.
		"nameserver 2001:db8::54", "nameserver 2001:db8::55", "nameserver 2001:db8::56",
		"nameserver 10.9.9.9", // at the end: that of the image
	)
	if strings.Contains(text, "krunbox: ") {
		t.Errorf("console: %s\nwant no messages of init", text)
	}
	checkSolicitations(t, s.Network)
}

// checkSolicitations checks that the guest has sent router solicitations, and their fields, RFC
// 4861 sections 4.1 and 6.1.1.
func checkSolicitations(t *testing.T, n *network.Network) {
	t.Helper()
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, p := range packets {
		if !p.FromGuest || !isSolicitation(p) {
			continue
		}
		count++
		ip, icmp := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6), p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
		if ip.HopLimit != 255 || ip.DstIP.String() != "ff02::2" || !ip.SrcIP.IsLinkLocalUnicast() || icmp.TypeCode.Code() != 0 {
			t.Errorf("malformed router solicitation from %v to %v, hop limit %d, %v",
				ip.SrcIP, ip.DstIP, ip.HopLimit, icmp.TypeCode)
		}
	}
	if count == 0 {
		t.Error("the guest sent no router solicitation")
	}
}

// TestRouterFlood has 256 hostile routers that send 20,000 advertisements. It checks that the
// memory of PID 1 does not grow, and that the guest still accepts the advertisements of the first
// router.
func TestRouterFlood(t *testing.T) {
	t.Parallel()
	const all, each = 20_000, 256
	var many, names []string
	for k := range 70 {
		many, names = append(many, fmt.Sprintf("2001:db8:bad::%x", k+1)), append(names, fmt.Sprintf("domain%d.example", k))
	}
	var hostile [][]byte
	for k := range each {
		mac := net.HardwareAddr{2, 0, 0, 0, 6, byte(k)}
		from := netip.MustParseAddr(fmt.Sprintf("fe80::bad:%x", k))
		var frame []byte
		switch k % 8 {
		case 0:
			frame = advertisement(from, mac, 0, serversOption(forever, many...))
		case 1:
			frame = advertisement(from, mac, 0, searchOption(forever, names...))
		case 2:
			frame = advertisement(from, mac, 0, serversOption(1, many[k%70]), prefixOption(fmt.Sprintf("2001:db8:%x::/64", k)))
		case 3:
			// An option with length 0.
			frame = advertisement(from, mac, 0, []byte{25, 0, 0, 0, 0, 0, 0, 0})
		case 4:
			// A truncated option.
			frame = advertisement(from, mac, 0, serversOption(forever, many...)[:24])
		case 5:
			frame = advertisement(from, mac, 0, serversOption(forever, "2001:db8:bad::ff"))
			frame[14+7] = 64 // hop limit of a forwarded packet
		case 6:
			frame = advertisement(netip.MustParseAddr("2001:db8::bad"), mac, 0, serversOption(forever, "2001:db8:bad::ff"))
		case 7:
			frame = advertisement(from, mac, managedFlag|otherFlag)
		}
		hostile = append(hostile, frame)
	}
	s := scriptedRouter(t, func(s *network.Segment, p network.Packet, marks int) (replies []network.Reply) {
		switch {
		case isSolicitation(p) && marks == 0:
			return frames(advertisement(routerAddr, routerMAC, 0, serversOption(forever, "2001:db8::53"), searchOption(forever, "good.example")))
		case isMark(p) && marks == 1:
			for k := range all {
				replies = append(replies, network.Reply{Frame: hostile[k%each], After: time.Duration(k) * 100 * time.Microsecond})
			}
		case isMark(p): // repeat, because the tap may drop some
			for k := range 100 {
				replies = append(replies, network.Reply{After: 2*time.Second + time.Duration(k)*100*time.Millisecond,
					Frame: advertisement(routerAddr, routerMAC, 0, serversOption(forever, "2001:db8::54"))})
			}
		}
		return replies
	})
	const look = "run=echo; echo memory $(grep RssAnon /proc/1/status); echo received: $(cat /sys/class/net/eth0/statistics/rx_packets)"
	cfg := onNetwork(t, "amd64", []string{"until=nameserver 2001:db8::53", look, "mark", "mark", "until=nameserver 2001:db8::54", look}, s.Network)
	cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=0")
	text := console(run(t, cfg, 0))
	resolv := stateOn(t, text).Resolv
	if len(resolv) == 0 || !strings.HasPrefix(resolv[0], "search good.example") || len(resolv[0]) > 255 || strings.Count(resolv[0], " ") > 6 {
		t.Errorf("resolv.conf = %q, want at most six domains, the first router's first",
			resolv)
	} else if len(resolv) > 4 || !slices.Equal(resolv[1:3], []string{"nameserver 2001:db8::53", "nameserver 2001:db8::54"}) {
		t.Errorf("resolv.conf = %q, want at most three servers, the first router's two first",
			resolv)
	}
	var before, after, none, received int
	fmt.Sscanf(strings.Join(values(text, "memory"), " "), "RssAnon: %d kB RssAnon: %d kB", &before, &after)
	fmt.Sscan(strings.Join(values(text, "received:"), " "), &none, &received)
	if received < all/20 { // the tap drops packets that the guest reads too slowly
		t.Errorf("received %d of %d packets, want at least a twentieth", received-none, all)
	}
	if before == 0 || after == 0 || after > before+2<<10 {
		t.Errorf("memory of PID 1 before and after the flood = %d, %d kB, want at most 2 MiB more",
			before, after)
	}
}

// answer6 returns the answer of a DHCPv6 server at routerAddr to a message of the guest. It grants
// scripted6 with the times T1 and T2 and the valid lifetime.
func answer6(s *network.Segment, p network.Packet, m *dhcpv6.Message, t1, t2, valid time.Duration, more ...dhcpv6.Modifier) []network.Reply {
	modifiers := append([]dhcpv6.Modifier{dhcpv6.WithServerID(&dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: routerMAC})}, more...)
	if ia := m.Options.OneIANA(); ia != nil {
		address := &dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(scripted6), PreferredLifetime: valid, ValidLifetime: valid}
		modifiers = append(modifiers, dhcpv6.WithOption(&dhcpv6.OptIANA{IaId: ia.IaId, T1: t1, T2: t2,
			Options: dhcpv6.IdentityOptions{Options: dhcpv6.Options{address}}}))
	}
	answer := dhcpv6.NewReplyFromMessage
	if m.MessageType == dhcpv6.MessageTypeSolicit {
		answer = dhcpv6.NewAdvertiseFromSolicit
	}
	reply, err := answer(m, modifiers...)
	if err != nil {
		return nil
	}
	guest, _ := netip.AddrFromSlice(p.Layer(layers.LayerTypeIPv6).(*layers.IPv6).SrcIP)
	return frames(network.UDP{
		From: netip.AddrPortFrom(routerAddr, dhcpv6.DefaultServerPort), FromMAC: routerMAC,
		To: netip.AddrPortFrom(guest, dhcpv6.DefaultClientPort), ToMAC: s.MAC, Payload: reply.ToBytes(),
	}.Frame())
}

// scripted6 is the address that answer6 grants.
const scripted6 = "2001:db8::77"

// TestRenewal6 checks that the guest renews a DHCPv6 lease of a few seconds. The server sends
// another name server with each renewal.
func TestRenewal6(t *testing.T) {
	t.Parallel()
	// lease returns a segment with such a server. If silent is set, the server stops answering
	// after two renewals, until the guest sends a mark.
	lease := func(t *testing.T, silent bool) *network.Segment {
		replies := 0
		return scriptedRouter(t, func(s *network.Segment, p network.Packet, marks int) []network.Reply {
			if isSolicitation(p) {
				return frames(advertisement(routerAddr, routerMAC, managedFlag))
			}
			m := p.DHCPv6()
			if m == nil || silent && replies > 2 && marks == 0 {
				return nil
			}
			server := net.ParseIP(fmt.Sprintf("2001:db8::%d", 100+min(replies, 2)))
			if m.MessageType != dhcpv6.MessageTypeSolicit {
				replies++
			}
			if marks > 0 {
				return answer6(s, p, m, 0, 0, time.Hour, dhcpv6.WithDNS(net.ParseIP("2001:db8::53")))
			}
			return answer6(s, p, m, time.Second, 3*time.Second, 4*time.Second, dhcpv6.WithDNS(server))
		})
	}
	t.Run("server gone and back", func(t *testing.T) {
		t.Parallel()
		s := lease(t, true)
		cfg := onIPv6(t, s.Network, "until=nameserver 2001:db8::101", "until=nameserver 2001:db8::102", "show",
			"until=!"+scripted6, "until=nameserver 10.9.9.9", "show", "mark", "until=nameserver 2001:db8::53")
		if err := os.WriteFile(filepath.Join(cfg.Root, "etc/resolv.conf"), []byte("nameserver 10.9.9.9\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		text := console(run(t, cfg, 0))
		wantValues(t, text, "addresses", scripted6+"/128", "none", scripted6+"/128")
		wantValues(t, text, "resolv.conf", "nameserver 2001:db8::102", "nameserver 10.9.9.9", "nameserver 2001:db8::53")
		const solicit, advertise, request, reply = dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeAdvertise, dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeReply
		const renew, rebind = dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind
		checkMessages6(t, s.Network, []dhcpv6.MessageType{solicit, advertise, request, reply, renew, reply, renew, reply, renew, rebind,
			solicit, advertise, request, reply}, false)
	})
	t.Run("workload as PID 1", func(t *testing.T) {
		t.Parallel()
		cfg := onIPv6(t, lease(t, false).Network, "until=nameserver 2001:db8::101", "until=nameserver 2001:db8::102")
		cfg.Env = append(cfg.Env, "KRUN_INIT_PID1=1")
		text := console(run(t, cfg, 0))
		wantValues(t, text, "addresses", scripted6+"/128")
		wantValues(t, text, "resolv.conf", "nameserver 2001:db8::102")
	})
}

// TestSleepWithIPv6 sets the clock forward by an hour, as after the host has slept. The guest must ask
// the router and the DHCPv6 server again. They have another name server now, and the guest keeps its
// address; or it is in another network, without DHCPv6, and loses the address.
func TestSleepWithIPv6(t *testing.T) {
	t.Parallel()
	for _, moved := range []bool{false, true} {
		t.Run(fmt.Sprintf("moved %v", moved), func(t *testing.T) {
			t.Parallel()
			s := scriptedRouter(t, func(s *network.Segment, p network.Packet, marks int) []network.Reply {
				m := p.DHCPv6()
				switch {
				case isSolicitation(p) && moved && marks > 0:
					return frames(advertisement(routerAddr, routerMAC, 0, serversOption(forever, "2001:db8::101")))
				case isSolicitation(p):
					return frames(advertisement(routerAddr, routerMAC, managedFlag))
				case m != nil:
					server := net.ParseIP(fmt.Sprintf("2001:db8::%d", 100+min(marks, 1)))
					return answer6(s, p, m, 0, 0, 10*time.Hour, dhcpv6.WithDNS(server))
				}
				return nil
			})
			args, addresses := []string{"until=nameserver 2001:db8::100", "mark", "clock-forward", "until=nameserver 2001:db8::101"}, []string{scripted6 + "/128"}
			if moved {
				args, addresses = append(args, "until=!"+scripted6), []string{"none"}
			}
			cfg := onIPv6(t, s.Network, args...)
			text := console(run(t, cfg, 0))
			wantValues(t, text, "addresses", addresses...)
			wantValues(t, text, "resolv.conf", "nameserver 2001:db8::101")
		})
	}
}

// TestDualStackStart has a router that sends no advertisement until the workload runs, and checks
// that the workload starts without waiting for it.
func TestDualStackStart(t *testing.T) {
	t.Parallel()
	s := scriptedRouter(t, func(s *network.Segment, p network.Packet, marks int) []network.Reply {
		if m := p.DHCPv4(); m != nil {
			return replies(s, grant(message{DHCPv4: m}))
		}
		if isMark(p) {
			return frames(advertisement(routerAddr, routerMAC, 0, prefixOption("2001:db8::/64"), serversOption(forever, "2001:db8::53")))
		}
		return nil
	})
	cfg := onIPv6(t, s.Network, "mark", "until=nameserver 2001:db8::53")
	cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=20000")
	text := console(run(t, cfg, 0))
	if at := markedAt(t, s.Network); at > 10*time.Second {
		t.Errorf("the workload started %v after the first DISCOVER, want at most 10s", at)
	}
	wantValues(t, text, "resolv.conf", "nameserver 192.0.2.53", "nameserver 2001:db8::53")
	wantValues(t, text, "addresses", slaacAddress)
}

// TestDhcpclientByHand6 runs dhcpclient in a guest with the options that help to diagnose IPv6.
func TestDhcpclientByHand6(t *testing.T) {
	t.Parallel()
	s := scriptedRouter(t, func(s *network.Segment, p network.Packet, marks int) []network.Reply {
		if isSolicitation(p) {
			return frames(advertisement(routerAddr, routerMAC, managedFlag, serversOption(forever, "2001:db8::53"), searchOption(forever, "a.example")))
		}
		if m := p.DHCPv6(); m != nil {
			return answer6(s, p, m, 0, 0, time.Hour, dhcpv6.WithDNS(net.ParseIP("2001:db8::53"), net.ParseIP("2001:db8::54")),
				dhcpv6.WithDomainSearchList("b.example"))
		}
		return nil
	})
	got := byHand(t, s.Network, `
ip link set eth0 up
until ip -6 addr show dev eth0 | grep fe80 | grep -vq tentative; do sleep 0.1; done
step -n -6
echo "state: $(ip -6 addr show eth0 | grep -c 2001) $(ls /etc/resolv.conf 2>&1 | grep -c 'No such')"
step -6 -once -json
echo "state: $(ip -6 addr show eth0 | grep -o 'inet6 2001[^ ]*') $(cat /etc/resolv.conf | grep -v '^#' | tr '\n' ' ')"
step -4 -n -timeout 200ms
`)
	const json = `[{"interface": "eth0", "mtu": 1500, "ipv6Routers": ["fe80::2"], "ipv6Addresses": ["2001:db8::77"], "ipv6Dns": ["2001:db8::53", "2001:db8::54"], "ipv6Search": ["a.example", "b.example"]}]
`
	for args, want := range map[string]string{
		"-n -6": `interface       eth0
mtu             1500
IPv6 routers    fe80::2
IPv6 addresses  2001:db8::77
IPv6 dns        2001:db8::53, 2001:db8::54
IPv6 search     a.example, b.example
exit 0
state: 0 1
`,
		"-6 -once -json":       json + "exit 0\nstate: inet6 2001:db8::77/128 search a.example b.example nameserver 2001:db8::53 nameserver 2001:db8::54 \n",
		"-4 -n -timeout 200ms": "dhcpclient: eth0: no answer within 200ms\nexit 1\n",
	} {
		if got[args] != want {
			t.Errorf("dhcpclient %s: %q, want %q", args, got[args], want)
		}
	}
}
