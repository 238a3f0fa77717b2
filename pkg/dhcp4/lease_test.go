package dhcp4

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"github.com/krunbox/krunbox/pkg/dnsname"
)

// prefix parses a prefix.
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// TestNewLease decodes a message with every option that a lease has, one of them in two parts.
func TestNewLease(t *testing.T) {
	var search []string
	for i := range 30 { // more than one option can hold
		search = append(search, fmt.Sprintf("subdomain-%d.example.com", i))
	}
	_, ten, _ := net.ParseCIDR("10.0.0.0/8")
	_, all, _ := net.ParseCIDR("0.0.0.0/0")
	request := &dhcpv4.DHCPv4{OpCode: dhcpv4.OpcodeBootRequest, HWType: 1, ClientHWAddr: ourMAC[:]}
	ack, err := dhcpv4.New(
		dhcpv4.WithReply(request),
		dhcpv4.WithMessageType(mtAck), dhcpv4.WithYourIP(ourIP), from(serverA), oneHour,
		dhcpv4.WithNetmask(net.CIDRMask(23, 32)),
		dhcpv4.WithRouter(serverA, serverB),
		dhcpv4.WithDNS(serverB, net.IPv4(127, 0, 0, 53), net.IPv4zero, serverA),
		dhcpv4.WithOption(dhcpv4.OptBroadcastAddress(net.IPv4(10, 0, 3, 255))),
		dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
			&dhcpv4.Route{Dest: ten, Router: net.IPv4zero}, &dhcpv4.Route{Dest: all, Router: serverB})),
		dhcpv4.WithOption(dhcpv4.OptDomainName("example.com")),
		dhcpv4.WithOption(dhcpv4.OptHostName("guest-1")),
		dhcpv4.WithOption(dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: search})),
		dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x23, 0x28}),
		dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(20*time.Minute)),
		dhcpv4.WithOption(dhcpv4.OptRebindingTimeValue(50*time.Minute)),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := &Lease{
		Address:   prefix("10.0.2.15/23"),
		Server:    addr("10.0.2.2"),
		Broadcast: addr("10.0.3.255"),
		Routers:   []netip.Addr{addr("10.0.2.2"), addr("10.0.2.3")},
		Routes: []Route{
			{Destination: prefix("10.0.0.0/8")},
			{Destination: prefix("0.0.0.0/0"), Gateway: addr("10.0.2.3")},
		},
		DNS:    []netip.Addr{addr("10.0.2.3"), addr("10.0.2.2")},
		Domain: "example.com", Search: search, Hostname: "guest-1", MTU: 9000,
		Duration: time.Hour, T1: 20 * time.Minute, T2: 50 * time.Minute,
	}
	if got, err := NewLease(ack.ToBytes()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("NewLease() = %+v, %v, want %+v", got, err, want)
	}
}

// option is an option with any value, which may be malformed.
type option struct {
	code  dhcpv4.OptionCode
	value string
}

// leaseOf returns the lease of an ACK for the address yiaddr with options.
func leaseOf(t *testing.T, yiaddr string, options ...option) *Lease {
	t.Helper()
	ack := &dhcpv4.DHCPv4{OpCode: dhcpv4.OpcodeBootReply, YourIPAddr: ip(addr(yiaddr))}
	ack.UpdateOption(dhcpv4.OptMessageType(mtAck))
	ack.UpdateOption(dhcpv4.OptServerIdentifier(serverA))
	for _, o := range options {
		ack.UpdateOption(dhcpv4.OptGeneric(o.code, []byte(o.value)))
	}
	l, err := NewLease(ack.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLeaseAddress(t *testing.T) {
	for _, c := range []struct {
		yiaddr string
		mask   string // "absent", or bytes
		want   int
	}{
		{"10.0.2.15", "absent", 8},
		{"172.16.0.9", "absent", 16},
		{"192.0.2.1", "absent", 24},
		{"223.255.255.1", "absent", 24},
		{"10.0.2.15", "\xff\xff\xff\x00", 24},
		{"10.0.2.15", "\xff\xff\xff\xff", 32},
		{"10.0.2.15", "\xff\xff\xff\xfe", 31},
		{"10.0.2.15", "\xff\x00\xff\x00", 32},
		{"10.0.2.15", "\x00\x00\x00\x00", 32},
		{"10.0.2.15", "\xff\xff", 32},
		{"10.0.2.15", "", 32},
		{"10.0.2.15", "\xff\xff\xff\x00\x00", 32},
		{"10.0.2.15", "\x80\x00\x00\x00", 1},
	} {
		var options []option
		if c.mask != "absent" {
			options = []option{{dhcpv4.OptionSubnetMask, c.mask}}
		}
		got := leaseOf(t, c.yiaddr, options...).Address
		if want := netip.PrefixFrom(addr(c.yiaddr), c.want); got != want {
			t.Errorf("address of %s with mask %q = %v, want %v", c.yiaddr, c.mask, got, want)
		}
	}
}

func TestLeaseRoutes(t *testing.T) {
	const (
		router   = "\x0a\x00\x02\x02"
		router2  = "\x0a\x00\x02\x03"
		defaultA = "\x00" + router
		defaultB = "\x00" + router2
		group    = "\x08\x0a\xe0\x00\x00\x01" // 10.0.0.0/8 via 224.0.0.1
		viaA     = "0.0.0.0/0 via 10.0.2.2"
		viaB     = "0.0.0.0/0 via 10.0.2.3"
	)
	routers := func(value string) option { return option{dhcpv4.OptionRouter, value} }
	classless := func(value string) option { return option{dhcpv4.OptionClasslessStaticRoute, value} }
	private := func(value string) option { return option{optionPrivateRoutes, value} }
	for _, c := range []struct {
		name    string
		options []option
		want    string
	}{
		{"none", nil, ""},
		{"router", []option{routers(router + router2)}, viaA},
		{"first router unusable", []option{routers("\x00\x00\x00\x00\xff\xff\xff\xff" + router2)}, viaB},
		{"router of a wrong length", []option{routers(router + "\x0a")}, ""},
		{"121 before all others",
			[]option{routers(router), private(defaultA), classless(defaultB)}, viaB},
		{"249 before routers", []option{routers(router), private(defaultB)}, viaB},
		{"121 without a default route", []option{routers(router), classless("\x18\xc0\x00\x02" + router)},
			"192.0.2.0/24 via 10.0.2.2"},
		{"on-link", []option{classless("\x20\x0a\x00\x02\x02\x00\x00\x00\x00" + defaultA)},
			"10.0.2.2/32 on link, " + viaA},
		{"bits beyond the prefix", []option{classless("\x14\xc0\x00\xff" + router)},
			"192.0.240.0/20 via 10.0.2.2"},
		{"an unusable gateway", []option{routers(router), classless(group + defaultB)}, viaB},
		{"only an unusable gateway", []option{routers(router), classless(group)}, ""},
		{"121 empty", []option{routers(router), classless("")}, viaA},
		{"121 cut off", []option{routers(router), classless(defaultB + "\x18\xc0\x00")}, viaA},
		{"121 with a prefix of 33",
			[]option{classless("\x21\x0a\x00\x00\x00\x00" + router), private(defaultB)}, viaB},
	} {
		var got []string
		for _, r := range leaseOf(t, "10.0.2.15", c.options...).Routes {
			by := " on link"
			if r.Gateway != (netip.Addr{}) {
				by = " via " + r.Gateway.String()
			}
			got = append(got, r.Destination.String()+by)
		}
		if got := strings.Join(got, ", "); got != c.want {
			t.Errorf("%s: routes = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLeaseNamesAndNumbers(t *testing.T) {
	domain := func(l *Lease) any { return l.Domain }
	hostname := func(l *Lease) any { return l.Hostname }
	long := "guest." + strings.Repeat("x", 29) + "." + strings.Repeat("x", 29)
	search := func(l *Lease) any { return strings.Join(l.Search, " ") }
	mtu := func(l *Lease) any { return l.MTU }
	broadcast := func(l *Lease) any { return l.Broadcast }
	for _, c := range []struct {
		code  dhcpv4.OptionCode
		value string
		field func(*Lease) any
		want  any
	}{
		{dhcpv4.OptionDomainName, "example.com", domain, "example.com"},
		{dhcpv4.OptionDomainName, "example.com.\x00\x00", domain, "example.com"},
		{dhcpv4.OptionDomainName, "a b", domain, ""},
		{dhcpv4.OptionDomainName, "x\nnameserver 10.6.6.6", domain, ""},
		{dhcpv4.OptionHostName, "guest", hostname, "guest"},
		{dhcpv4.OptionHostName, "$(reboot)", hostname, ""},
		{dhcpv4.OptionHostName, long[:64], hostname, long[:64]},
		{dhcpv4.OptionHostName, long, hostname, "guest"},
		{dhcpv4.OptionDNSDomainSearchList, "\x01a\x00\x03b\nc\x00\x01d\xc0\x00", search, "a d.a"},
		{dhcpv4.OptionDNSDomainSearchList, "\x01a\x00\xc0", search, ""},
		{dhcpv4.OptionInterfaceMTU, "\x05\xdc", mtu, 1500},
		{dhcpv4.OptionInterfaceMTU, "\x00\x44", mtu, 68},
		{dhcpv4.OptionInterfaceMTU, "\x00\x43", mtu, 0},
		{dhcpv4.OptionInterfaceMTU, "\xff", mtu, 0},
		{dhcpv4.OptionBroadcastAddress, "\x0a\xff\xff\xff", broadcast, addr("10.255.255.255")},
		{dhcpv4.OptionBroadcastAddress, "\x00\x00\x00\x00", broadcast, netip.Addr{}},
		{dhcpv4.OptionBroadcastAddress, "\x0a", broadcast, netip.Addr{}},
		{dhcpv4.OptionDomainNameServer, "\x0a\x00\x02", func(l *Lease) any { return len(l.DNS) }, 0},
	} {
		if got := c.field(leaseOf(t, "10.0.2.15", option{c.code, c.value})); got != c.want {
			t.Errorf("%v %q = %v, want %v", c.code, c.value, got, c.want)
		}
	}
}

func TestLeaseTimes(t *testing.T) {
	const absent, infinite = 0, 0xffffffff
	codes := [...]dhcpv4.OptionCode{
		dhcpv4.OptionIPAddressLeaseTime, dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue,
	}
	for _, c := range []struct {
		times [3]uint32 // of the lease, T1, T2
		want  [3]time.Duration
	}{
		{[...]uint32{3600, absent, absent}, [...]time.Duration{3600, 1800, 3150}},
		{[...]uint32{3600, 600, 1200}, [...]time.Duration{3600, 600, 1200}},
		{[...]uint32{3600, 600, absent}, [...]time.Duration{3600, 600, 3150}},
		{[...]uint32{3600, absent, 3000}, [...]time.Duration{3600, 1800, 3000}},
		{[...]uint32{3600, absent, 1800}, [...]time.Duration{3600, 1800, 3150}},
		{[...]uint32{3600, 3200, absent}, [...]time.Duration{3600, 1800, 3150}},
		{[...]uint32{3600, 1200, 1200}, [...]time.Duration{3600, 1800, 3150}},
		{[...]uint32{3600, 1800, 3600}, [...]time.Duration{3600, 1800, 3150}},
		{[...]uint32{3600, 1800, infinite}, [...]time.Duration{3600, 1800, 3150}},
		{[...]uint32{3600, infinite, infinite}, [...]time.Duration{3600, 1800, 3150}},
		{[...]uint32{3600, infinite, 1800}, [...]time.Duration{3600, 1800, 3150}},
		{[...]uint32{8, absent, absent}, [...]time.Duration{8, 4, 7}},
		{[...]uint32{0xfffffffe, absent, absent}, [...]time.Duration{0xfffffffe, 0x7fffffff, 3758096382}},
	} {
		var options []option
		for i, seconds := range c.times {
			if seconds != absent {
				value := binary.BigEndian.AppendUint32(nil, seconds)
				options = append(options, option{codes[i], string(value)})
			}
		}
		l := leaseOf(t, "10.0.2.15", options...)
		got := [...]time.Duration{l.Duration / time.Second, l.T1 / time.Second, l.T2 / time.Second}
		if got != c.want {
			t.Errorf("lease time, T1, T2 of %v = %v, want %v", c.times, got, c.want)
		}
	}
	for value, want := range map[string]time.Duration{
		"\xff\xff\xff\xff": Infinite, "\x00\x00\x00\x00": 0, "\x00\x00\x0e": 0,
	} {
		l := leaseOf(t, "10.0.2.15", option{codes[0], value}, option{codes[1], "\x00\x00\x00\x05"})
		if l.Duration != want || l.T1 != want || l.T2 != want {
			t.Errorf("lease time %q = %v, T1 %v, T2 %v, want %v", value, l.Duration, l.T1, l.T2, want)
		}
	}
}

func TestNewLeaseErrors(t *testing.T) {
	e := reach(t, Requesting)
	for want, b := range map[string][]byte{
		"malformed DHCP message":                                 e.reply(mtAck)[:100],
		"DHCP message is neither an OFFER nor an ACK":            e.reply(mtNak),
		"DHCP message without a usable client or server address": e.reply(mtAck, noServer),
	} {
		if l, err := NewLease(b); l != nil || err == nil || err.Error() != want {
			t.Errorf("NewLease() = %v, %v, want %s", l, err, want)
		}
	}
	if l, err := NewLease(e.c.buf); l != nil || err == nil {
		t.Errorf("NewLease(a REQUEST) = %v, %v, want an error", l, err)
	}
}

func TestIsHost(t *testing.T) {
	for s, want := range map[string]bool{
		"10.0.2.15": true, "169.254.1.1": true, "1.0.0.0": true, "239.255.255.255": false,
		"0.0.0.0": false, "0.1.2.3": false, "127.0.0.1": false, "224.0.0.1": false,
		"240.1.1.1": false, "255.255.255.255": false, "2001:db8::1": false, "::ffff:10.0.2.15": false,
	} {
		if got := isHost(addr(s)); got != want {
			t.Errorf("isHost(%s) = %v, want %v", s, got, want)
		}
	}
	if isHost(netip.Addr{}) {
		t.Error("isHost of the zero Addr = true, want false")
	}
}

// FuzzNewLease checks what users of a lease rely on.
func FuzzNewLease(f *testing.F) {
	e := reach(&testing.T{}, Requesting)
	f.Add(e.reply(mtAck, dhcpv4.WithDNS(serverA), dhcpv4.WithDomainSearchList("example.com")))
	routes := []byte("\x14\xc0\x00\xff\x0a\x00\x02\x02")
	f.Add(e.reply(mtOffer, dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, routes)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := NewLease(b); err == nil {
			checkLease(t, l)
		}
	})
}

// checkLease fails if a lease contradicts its documentation.
func checkLease(t *testing.T, l *Lease) {
	t.Helper()
	if !l.Address.IsValid() || !isHost(l.Address.Addr()) || l.Address.Bits() == 0 ||
		!isHost(l.Server) || l.Broadcast.IsUnspecified() {
		t.Errorf("address %v, server %v, broadcast %v", l.Address, l.Server, l.Broadcast)
	}
	for _, a := range slices.Concat(l.Routers, l.DNS) {
		if !isHost(a) {
			t.Errorf("unusable address %v among routers and name servers", a)
		}
	}
	for _, r := range l.Routes {
		if !r.Destination.IsValid() || r.Destination != r.Destination.Masked() ||
			r.Gateway.IsValid() && !isHost(r.Gateway) {
			t.Errorf("route to %v by %v", r.Destination, r.Gateway)
		}
	}
	for _, name := range append(slices.Clone(l.Search), l.Domain, l.Hostname) {
		if name != "" && !dnsname.Valid(name) {
			t.Errorf("invalid name %q", name)
		}
	}
	if l.MTU != 0 && (l.MTU < minMTU || l.MTU > 0xffff) {
		t.Errorf("MTU %d", l.MTU)
	}
	ordered := 0 < l.T1 && l.T1 < l.T2 && l.T2 < l.Duration
	equal := l.T1 == l.Duration && l.T2 == l.Duration
	if !ordered && (!equal || l.Duration != 0 && l.Duration != Infinite) {
		t.Errorf("lease time %v, T1 %v, T2 %v", l.Duration, l.T1, l.T2)
	}
}
