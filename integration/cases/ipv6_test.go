package cases

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
)

// ipv6Guest executes its arguments in order, and then prints ipv6State:
//
//	to=ADDRESS:PORT  connects to the host, without retries
//	look-up=NAME     resolves a name, without retries
//	read=FILE        prints a file
//	until=TEXT       waits until ipv6State contains the text
//	until=!TEXT      waits until ipv6State does not contain the text
//	show             prints ipv6State
//	mark             sends a frame that appears in the capture, like networkGuest
var ipv6Guest = inGuest("ipv6", func(t *testing.T) {
	if os.Getpid() == 1 {
		defer reportExitCode(t)
	}
	fmt.Println()
	for _, arg := range os.Args[1:] {
		switch what, value, _ := strings.Cut(arg, "="); what {
		case "to":
			fmt.Printf("greeting %s\n", greeting(value))
		case "look-up":
			addrs, err := net.LookupHost(value)
			fmt.Printf("look-up %v %v\n", addrs, err)
		case "until":
			word, not := strings.CutPrefix(value, "!")
			for deadline := time.Now().Add(40 * time.Second); strings.Contains(ipv6State(), word) == not; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("waited for %q; last seen:\n%s", value, ipv6State())
				}
			}
		case "read":
			b, err := os.ReadFile(value)
			fmt.Printf("read %s %v\n", bytes.TrimSpace(b), err)
		case "mark":
			sendMark(t)
		case "clock-forward":
			later := unix.NsecToTimespec(time.Now().Add(time.Hour).UnixNano())
			if err := unix.ClockSettime(unix.CLOCK_REALTIME, &later); err != nil {
				t.Fatal(err)
			}
		case "show":
			fmt.Print(ipv6State())
		}
	}
	fmt.Print(ipv6State())
})

// ipv6State returns the IPv6 configuration, in lines: "lifetimes PREFERRED VALID" of each address
// from a server, in minutes rounded up, because they count down; default routers; lines of
// /etc/resolv.conf; and all addresses that are not link-local.
func ipv6State() string {
	var addresses, lines []string
	if link, err := netlink.LinkByName("eth0"); err == nil {
		addrs, _ := netlink.AddrList(link, netlink.FAMILY_V6)
		for _, a := range addrs {
			if a.IP.IsLinkLocalUnicast() {
				continue
			}
			addresses = append(addresses, a.IPNet.String())
			if ones, _ := a.Mask.Size(); ones == 128 {
				minutes := func(seconds int) int { return (seconds + 59) / 60 }
				lines = append(lines, fmt.Sprintf("lifetimes %d %d", minutes(a.PreferedLft), minutes(a.ValidLft)))
			}
		}
		routes, _ := netlink.RouteList(link, netlink.FAMILY_V6)
		for _, r := range routes {
			if ones, _ := r.Dst.Mask.Size(); ones == 0 {
				lines = append(lines, fmt.Sprintf("router %v", r.Gw))
			}
		}
	}
	slices.Sort(addresses)
	b, _ := os.ReadFile("/etc/resolv.conf")
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, "resolv.conf "+line)
		}
	}
	return strings.Join(append(lines, "addresses "+cmp.Or(strings.Join(addresses, " "), "none"), ""), "\n")
}

// onIPv6 returns withBusybox with ipv6Guest as its workload and an interface in the network.
func onIPv6(t *testing.T, n *network.Network, args ...string) vm.Config {
	t.Helper()
	cfg := withBusybox(t, "amd64")
	ipv6Guest.addTo(t, &cfg, args...)
	cfg.Env = []string{"KRUN_DHCP=1"}
	n.AddTo(&cfg)
	return cfg
}

// values returns the rest of each line that starts with word and a blank.
func values(text, word string) (all []string) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), word+" "); ok {
			all = append(all, value)
		}
	}
	return all
}

func wantValues(t *testing.T, text, word string, want ...string) {
	t.Helper()
	if got := values(text, word); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", word, got, want)
	}
}

var (
	dns6    = []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("2001:db8::54")}
	search6 = []string{"a.example.org", "example.com"}
	slaac   = network.Advert{Prefix: netip.MustParsePrefix("2001:db8::/64"), SLAAC: true, DNS: dns6, Search: search6}
)

// slaacAddress is the address that the guest forms from the prefix and its hardware address, RFC
// 4291 appendix A.
const slaacAddress = "2001:db8::5054:ff:fe12:3456/64"

// TestIPv6Only boots guests on networks without IPv4. The workload starts after the timeout for an
// IPv4 lease, and must then have an IPv6 address, a route and name servers.
func TestIPv6Only(t *testing.T) {
	t.Parallel()
	managed := network.Advert{Prefix: slaac.Prefix, Managed: true, DNS: dns6, Search: search6}
	stateless := network.Advert{Prefix: slaac.Prefix, SLAAC: true, Other: true}
	leased := network.Lease6{Address: netip.MustParseAddr("2001:db8::77"), DNS: dns6, Search: search6, Time: 2 * time.Hour}
	information := network.Lease6{DNS: dns6, Search: search6}
	solicited := []dhcpv6.MessageType{dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeAdvertise, dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeReply}
	informed := []dhcpv6.MessageType{dhcpv6.MessageTypeInformationRequest, dhcpv6.MessageTypeReply}
	for _, c := range []struct {
		name     string
		servers  []network.Server
		address  string
		exchange []dhcpv6.MessageType
		rapid    bool // the server may use Rapid Commit
	}{
		{name: "radvd", servers: []network.Server{network.Radvd{Advert: slaac}}, address: slaacAddress},
		{name: "dnsmasq", servers: []network.Server{network.Dnsmasq6{Advert: slaac}}, address: slaacAddress},
		{name: "dnsmasq, stateful", servers: []network.Server{network.Dnsmasq6{Advert: managed, Address: leased.Address, Time: leased.Time}},
			address: "2001:db8::77/128", exchange: solicited, rapid: true},
		{name: "radvd and kea, stateful", servers: []network.Server{network.Kea6{Lease6: leased},
			network.Radvd{Advert: network.Advert{Prefix: slaac.Prefix, Managed: true}}}, address: "2001:db8::77/128", exchange: solicited, rapid: true},
		{name: "radvd and dhcpd, stateful", servers: []network.Server{network.Dhcpd6{Lease6: leased},
			network.Radvd{Advert: network.Advert{Prefix: slaac.Prefix, Managed: true}}}, address: "2001:db8::77/128", exchange: solicited, rapid: true},
		{name: "dnsmasq, stateless", servers: []network.Server{network.Dnsmasq6{Advert: network.Advert{Prefix: slaac.Prefix, SLAAC: true, Other: true,
			DNS: dns6, Search: search6}}}, address: slaacAddress, exchange: informed},
		{name: "radvd and kea, stateless", servers: []network.Server{network.Kea6{Lease6: information}, network.Radvd{Advert: stateless}},
			address: slaacAddress, exchange: informed},
		{name: "radvd and dhcpd, stateless", servers: []network.Server{network.Dhcpd6{Lease6: information}, network.Radvd{Advert: stateless}},
			address: slaacAddress, exchange: informed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := segment(t, network.SegmentOptions{}, c.servers...)
			to, err := s.Greet(s.Host6, "hello\n")
			if err != nil {
				t.Fatal(err)
			}
			cfg := onIPv6(t, s.Network, "to="+to.String())
			cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=1500") // this machine may be busy
			text := console(run(t, cfg, 0))
			wantValues(t, text, "greeting", "hello")
			wantValues(t, text, "addresses", c.address)
			if c.rapid {
				wantValues(t, text, "lifetimes", "120 120")
			}
			wantValues(t, text, "resolv.conf", "search a.example.org example.com", "nameserver 2001:db8::53", "nameserver 2001:db8::54")
			if strings.Contains(text, "krunbox: ") {
				t.Errorf("console: %s\nwant no messages of init", text)
			}
			checkMessages6(t, s.Network, c.exchange, c.rapid)
		})
	}
}

// checkMessages6 checks the types of the DHCPv6 messages, without retransmissions, and the fields
// of those from the guest, RFC 8415 sections 16 and 18.2.
func checkMessages6(t *testing.T, n *network.Network, want []dhcpv6.MessageType, rapid bool) {
	t.Helper()
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	var types []dhcpv6.MessageType
	var last *dhcpv6.Message // from the guest
	for _, p := range packets {
		m := p.DHCPv6()
		if m == nil {
			continue
		}
		again := len(types) > 0 && types[len(types)-1] == m.MessageType
		if !again {
			types = append(types, m.MessageType)
		}
		if !p.FromGuest {
			continue
		}
		check := func(what string, ok bool) {
			t.Helper()
			if !ok {
				t.Errorf("wrong %s in %v", what, m)
			}
		}
		ip, udp := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6), p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		check("source", ip.SrcIP.IsLinkLocalUnicast() && udp.SrcPort == dhcpv6.DefaultClientPort)
		check("destination", ip.DstIP.String() == "ff02::1:2" && udp.DstPort == dhcpv6.DefaultServerPort)
		check("transaction ID", last == nil || again == (m.TransactionID == last.TransactionID))
		elapsed := m.GetOneOption(dhcpv6.OptionElapsedTime)
		check("elapsed time", elapsed != nil && again == (m.Options.ElapsedTime() > 0))
		duid, ok := m.Options.ClientID().(*dhcpv6.DUIDLL)
		check("client identifier", ok && duid.LinkLayerAddr.String() == n.MAC.String())
		forOne := m.MessageType == dhcpv6.MessageTypeRequest || m.MessageType == dhcpv6.MessageTypeRenew
		check("server identifier", forOne == (m.Options.ServerID() != nil))
		check("Rapid Commit", (m.MessageType == dhcpv6.MessageTypeSolicit) == (m.GetOneOption(dhcpv6.OptionRapidCommit) != nil))
		for _, code := range []dhcpv6.OptionCode{dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList} {
			check(fmt.Sprintf("option request, want %v,", code),
				slices.Contains(m.Options.RequestedOptions(), code))
		}
		ia := m.Options.OneIANA()
		check("identity association", (m.MessageType == dhcpv6.MessageTypeInformationRequest) == (ia == nil))
		if ia != nil {
			check("address", (m.MessageType == dhcpv6.MessageTypeSolicit) == (ia.Options.OneAddress() == nil))
		}
		last = m
	}
	short := []dhcpv6.MessageType{dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeReply}
	if !slices.Equal(types, want) && (!rapid || !slices.Equal(types, short)) {
		t.Errorf("messages = %v, want %v", types, want)
	}
}

// answerNames answers DNS queries: AAAA queries for all names with one address, others with none.
func answerNames(p network.Packet) []network.Reply {
	query, ok := p.Layer(layers.LayerTypeDNS).(*layers.DNS)
	if !ok || query.QR || len(query.Questions) != 1 {
		return nil
	}
	udp, ip, ethernet := p.Layer(layers.LayerTypeUDP).(*layers.UDP), p.Layer(layers.LayerTypeIPv6).(*layers.IPv6), p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	answer := layers.DNS{ID: query.ID, QR: true, RD: true, RA: true, Questions: query.Questions}
	if q := query.Questions[0]; q.Type == layers.DNSTypeAAAA {
		answer.Answers = []layers.DNSResourceRecord{{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60, IP: net.ParseIP("2001:db8::99")}}
	}
	b := gopacket.NewSerializeBuffer()
	if err := answer.SerializeTo(b, gopacket.SerializeOptions{FixLengths: true}); err != nil {
		return nil
	}
	from, _ := netip.AddrFromSlice(ip.DstIP)
	to, _ := netip.AddrFromSlice(ip.SrcIP)
	return []network.Reply{{Frame: network.UDP{
		From: netip.AddrPortFrom(from, uint16(udp.DstPort)), FromMAC: ethernet.DstMAC,
		To: netip.AddrPortFrom(to, uint16(udp.SrcPort)), ToMAC: ethernet.SrcMAC, Payload: b.Bytes(),
	}.Frame()}}
}

// TestDualStack has an IPv4 server that answers at once, and a router. The workload starts without
// waiting for IPv6, and has name servers of both in the end.
func TestDualStack(t *testing.T) {
	t.Parallel()
	l := fullLease
	l.DNS = append(slices.Clone(l.DNS), netip.MustParseAddr("192.0.2.54"))
	s := segment(t, network.SegmentOptions{}, network.Dnsmasq{Lease: l}, network.Radvd{Advert: slaac})
	text := console(run(t, onIPv6(t, s.Network, "until=nameserver 2001"), 0))
	wantValues(t, text, "addresses", slaacAddress)
	wantValues(t, text, "resolv.conf", "search a.example.org example.com",
		"nameserver 192.0.2.53", "nameserver 2001:db8::53", "nameserver 198.51.100.53")
}

// TestIPv6Passt connects a guest to the network of the host through passt, which assigns an address
// by DHCPv6.
func TestIPv6Passt(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	n, err := network.Passt(t.Context(), network.Options{Log: t.Output()},
		network.Lease{Address: fullLease.Address, Routers: fullLease.Routers, DNS: fullLease.DNS}, netip.MustParseAddr("2001:db8::77"), dns6...)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, n)
	to, err := n.Greet(n.Host6, "hello\n")
	if err != nil {
		t.Fatal(err)
	}
	address := netip.AddrPortFrom(to.Addr().WithZone(""), to.Port()).String()
	if to.Addr().IsLinkLocalUnicast() {
		address = netip.AddrPortFrom(to.Addr().WithZone("eth0"), to.Port()).String()
	}
	text := console(run(t, onIPv6(t, n, "until=nameserver 2001", "until=2001:db8::77/128", "to="+address), 0))
	wantValues(t, text, "greeting", "hello")
	wantValues(t, text, "resolv.conf", "nameserver 192.0.2.53", "nameserver 2001:db8::53", "nameserver 198.51.100.53")
}

// TestIPv6Slirp connects a guest to QEMU's user network, which supports both versions of IP.
func TestIPv6Slirp(t *testing.T) {
	t.Parallel()
	n, err := network.Slirp(network.Options{}, network.Lease{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, n)
	to, err := n.Greet(n.Host6, "hello\n")
	if err != nil {
		t.Fatal(err)
	}
	text := console(run(t, onIPv6(t, n, "until=addresses fec0:", "to="+to.String()), 0))
	wantValues(t, text, "greeting", "hello")
	wantValues(t, text, "addresses", "fec0::5054:ff:fe12:3456/64")
}

// TestIPv6Sidecar boots a guest whose workload is PID 1. It checks that the separate dhcpclient
// process listens to routers and enables IPv6 on the interface, although the configuration makes
// /proc/sys read-only.
func TestIPv6Sidecar(t *testing.T) {
	t.Parallel()
	s := segment(t, network.SegmentOptions{}, network.Dnsmasq{Lease: network.Lease{Address: fullLease.Address}}, network.Radvd{Advert: slaac})
	cfg := onIPv6(t, s.Network, "until=nameserver 2001", "read=/proc/sys/net/ipv6/conf/eth0/accept_dad")
	cfg.Env = append(cfg.Env, "KRUN_INIT_PID1=1")
	cfg.GuestConfig = []byte(`{"linux": {"readonlyPaths": ["/proc/sys"]}}`)
	text := console(run(t, cfg, 0))
	wantValues(t, text, "read", "0 <nil>")
	wantValues(t, text, "resolv.conf", "search a.example.org example.com", "nameserver 2001:db8::53", "nameserver 2001:db8::54")
}

// TestNoIPv6 disables IPv6 in the kernel, and checks that init prints no warning and that IPv4
// works.
func TestNoIPv6(t *testing.T) {
	t.Parallel()
	s := segment(t, network.SegmentOptions{}, network.Dnsmasq{Lease: fullLease})
	cfg := onNetwork(t, "amd64", []string{"until=nameserver"}, s.Network)
	cfg.KernelArgs = "ipv6.disable=1"
	got := seen(t, cfg)
	got.wantLease(t, fullLease)
}
