package cases

import (
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

	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
)

// ipv6Guest connects to the host and looks up a name, both at the first attempt, then waits for what its arguments say as
// networkGuest does, and prints what it has of IPv6.
var ipv6Guest = inGuest("ipv6", func(t *testing.T) {
	fmt.Printf("\nstarted %v\n", uptime(t))
	for _, arg := range os.Args[1:] {
		switch what, value, _ := strings.Cut(arg, "="); what {
		case "to":
			fmt.Printf("greeting %s\n", greeting(value))
		case "look-up":
			addrs, err := net.LookupHost(value)
			fmt.Printf("look-up %v %v\n", addrs, err)
		case "until":
			waitUntil(t, value)
		}
	}
	var addresses []string
	if i, err := net.InterfaceByName("eth0"); err == nil {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && !p.Addr().IsLinkLocalUnicast() {
				addresses = append(addresses, p.String())
			}
		}
	}
	slices.Sort(addresses)
	fmt.Printf("addresses %s\n", strings.Join(addresses, " "))
	b, _ := os.ReadFile("/etc/resolv.conf")
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			fmt.Printf("resolv.conf %s\n", line)
		}
	}
})

// onIPv6 is withBusybox with ipv6Guest as its workload and an interface in the network.
func onIPv6(t *testing.T, n *network.Network, args ...string) vm.Config {
	t.Helper()
	cfg := withBusybox(t, "amd64")
	ipv6Guest.addTo(t, &cfg, args...)
	cfg.Env = []string{"KRUN_DHCP=1"}
	n.AddTo(&cfg)
	return cfg
}

// values returns what a guest printed behind a word, a line each.
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

// slaacAddress is what the guest makes of the prefix and its hardware address, RFC 4291 appendix A.
const slaacAddress = "2001:db8::5054:ff:fe12:3456/64"

// TestIPv6Only has networks without IPv4. The workload waits for a lease in vain, and then has IPv6: an address, a route and
// name servers.
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
		rapid    bool // a server may take the short way
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
			wantValues(t, text, "resolv.conf", "search a.example.org example.com", "nameserver 2001:db8::53", "nameserver 2001:db8::54")
			if strings.Contains(text, "krunbox: ") {
				t.Errorf("init says: %s", text)
			}
			checkMessages6(t, s.Network, c.exchange, c.rapid)
		})
	}
}

// checkMessages6 checks which DHCPv6 messages there were, and the fields of what the guest has sent (RFC 8415).
func checkMessages6(t *testing.T, n *network.Network, want []dhcpv6.MessageType, rapid bool) {
	t.Helper()
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	var types []dhcpv6.MessageType
	for _, p := range packets {
		d := p.DHCPv6()
		if d == nil {
			continue
		}
		m, err := d.GetInnerMessage()
		if err != nil {
			t.Error(err)
			continue
		}
		if len(types) > 0 && types[len(types)-1] == m.MessageType {
			continue // sent again
		}
		types = append(types, m.MessageType)
		if !p.FromGuest {
			continue
		}
		duid, ok := m.Options.ClientID().(*dhcpv6.DUIDLL)
		if !ok || duid.LinkLayerAddr.String() != n.MAC.String() {
			t.Errorf("client identifier of %v", m)
		}
		if to := p.NetworkLayer().NetworkFlow().Dst().String(); to != "ff02::1:2" {
			t.Errorf("%v went to %s", m, to)
		}
		for _, code := range []dhcpv6.OptionCode{dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList} {
			if !slices.Contains(m.Options.RequestedOptions(), code) {
				t.Errorf("%v does not ask for %v", m, code)
			}
		}
		if m.GetOneOption(dhcpv6.OptionElapsedTime) == nil {
			t.Errorf("%v has no elapsed time", m)
		}
		if m.MessageType != dhcpv6.MessageTypeInformationRequest && m.Options.OneIANA() == nil {
			t.Errorf("%v has no identity association", m)
		}
	}
	short := []dhcpv6.MessageType{dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeReply}
	if !slices.Equal(types, want) && (!rapid || !slices.Equal(types, short)) {
		t.Errorf("messages = %v, want %v", types, want)
	}
}

// TestIPv6LookUp has a workload that looks up a name at once, at a name server that only IPv6 tells of, within the time that
// the workload waits by default.
func TestIPv6LookUp(t *testing.T) {
	t.Parallel()
	advert := slaac
	advert.DNS = []netip.Addr{netip.MustParseAddr("2001:db8:53::53")} // by way of the router
	s := segment(t, network.SegmentOptions{}, network.Radvd{Advert: advert}, network.Script(answerNames))
	text := console(run(t, onIPv6(t, s.Network, "look-up=name.example.net"), 0))
	wantValues(t, text, "look-up", "[2001:db8::99] <nil>")
	// When the kernel asks for advertisements is up to krunbox: it must not wait for duplicates of its address.
	packets, err := s.Packets()
	if err != nil {
		t.Fatal(err)
	}
	var begin, solicited time.Time
	for _, p := range packets {
		if m := p.DHCPv4(); m != nil && begin.IsZero() {
			begin = p.Metadata().Timestamp
		}
		if layer := p.Layer(layers.LayerTypeICMPv6RouterSolicitation); layer != nil && p.FromGuest && solicited.IsZero() {
			solicited = p.Metadata().Timestamp
		}
	}
	if wait := solicited.Sub(begin); begin.IsZero() || solicited.IsZero() || wait > 400*time.Millisecond {
		t.Errorf("routers were asked %v after the first DISCOVER, want it at once", wait)
	}
}

// answerNames is a name server that knows one address for all names.
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

// TestDualStack has a server for IPv4 that answers at once. The workload does not wait for IPv6, and has name servers of both
// in the end.
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

// TestIPv6Passt has a host's network by way of passt, which gives an address by DHCPv6.
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

// TestIPv6Sidecar has a workload that is PID 1: the process beside it listens to routers.
func TestIPv6Sidecar(t *testing.T) {
	t.Parallel()
	s := segment(t, network.SegmentOptions{}, network.Dnsmasq{Lease: network.Lease{Address: fullLease.Address}}, network.Radvd{Advert: slaac})
	cfg := withBusybox(t, "amd64")
	s.AddTo(&cfg)
	cfg.Env = []string{"KRUN_DHCP=1", "KRUN_INIT_PID1=1"}
	sidecar6Guest.addTo(t, &cfg)
	text := console(run(t, cfg, 0))
	wantValues(t, text, "resolv.conf", "search a.example.org example.com", "nameserver 2001:db8::53", "nameserver 2001:db8::54")
}

var sidecar6Guest = inGuest("sidecar6", func(t *testing.T) {
	defer reportExitCode(t)
	waitUntil(t, "nameserver 2001")
	b, _ := os.ReadFile("/etc/resolv.conf")
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			fmt.Printf("resolv.conf %s\n", line)
		}
	}
})

// TestNoIPv6 has a kernel without IPv6: nothing is said of that, and IPv4 works.
func TestNoIPv6(t *testing.T) {
	t.Parallel()
	s := segment(t, network.SegmentOptions{}, network.Dnsmasq{Lease: fullLease})
	cfg := onNetwork(t, "amd64", []string{"until=nameserver"}, s.Network)
	cfg.KernelArgs = "ipv6.disable=1"
	got := seen(t, cfg)
	got.wantLease(t, fullLease)
}
