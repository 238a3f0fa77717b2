package dhcp4

import (
	"encoding/binary"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"github.com/krunbox/krunbox/pkg/inet"
)

// addrs parses addresses.
func addrs(list ...string) (as []inet.Addr) {
	for _, s := range list {
		as = append(as, addr(s))
	}
	return as
}

// TestLeaseOfEverything has insomniacslk/dhcp write every option that a lease takes, and two of them twice.
func TestLeaseOfEverything(t *testing.T) {
	var search []string
	for i := range 30 { // more than one option can hold
		search = append(search, fmt.Sprintf("subdomain-%d.example.com", i))
	}
	_, ten, _ := net.ParseCIDR("10.0.0.0/8")
	_, all, _ := net.ParseCIDR("0.0.0.0/0")
	ack, err := dhcpv4.New(
		dhcpv4.WithReply(&dhcpv4.DHCPv4{OpCode: dhcpv4.OpcodeBootRequest, HWType: 1, ClientHWAddr: ourMAC[:]}),
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
		Address: inet.Prefix{Addr: addr("10.0.2.15"), Bits: 23}, Server: addr("10.0.2.2"), Broadcast: addr("10.0.3.255"),
		Routers: addrs("10.0.2.2", "10.0.2.3"),
		Routes: []Route{{Destination: inet.Prefix{Addr: addr("10.0.0.0"), Bits: 8}},
			{Destination: inet.Prefix{Addr: addr("0.0.0.0")}, Gateway: addr("10.0.2.3")}},
		DNS: addrs("10.0.2.3", "10.0.2.2"), Domain: "example.com", Search: search, Hostname: "guest-1", MTU: 9000,
		Duration: time.Hour, T1: 20 * time.Minute, T2: 50 * time.Minute,
	}
	if got, err := NewLease(ack.ToBytes()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("NewLease() = %+v, %v, want %+v", got, err, want)
	}
}

// leaseOf makes the lease of an ACK with options, given as code and value.
func leaseOf(t *testing.T, yiaddr string, options ...any) *Lease {
	t.Helper()
	b := build(optMessageType, 1, dhcpAck, optServer, 4, 10, 0, 2, 2)
	b[0] = bootReply
	copy(b[offYIAddr:], addr(yiaddr).Bytes())
	for i := 0; i < len(options); i += 2 {
		b = appendOption(b, byte(options[i].(int)), []byte(options[i+1].(string))...)
	}
	l, err := NewLease(appendEnd(b))
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
		{"10.0.2.15", "absent", 8}, {"172.16.0.9", "absent", 16}, {"192.0.2.1", "absent", 24}, {"223.255.255.1", "absent", 24},
		{"10.0.2.15", "\xff\xff\xff\x00", 24}, {"10.0.2.15", "\xff\xff\xff\xff", 32}, {"10.0.2.15", "\xff\xff\xff\xfe", 31},
		{"10.0.2.15", "\xff\x00\xff\x00", 32}, {"10.0.2.15", "\x00\x00\x00\x00", 32}, {"10.0.2.15", "\xff\xff", 32},
		{"10.0.2.15", "", 32}, {"10.0.2.15", "\xff\xff\xff\x00\x00", 32}, {"10.0.2.15", "\x80\x00\x00\x00", 1},
	} {
		var options []any
		if c.mask != "absent" {
			options = []any{optMask, c.mask}
		}
		if got := leaseOf(t, c.yiaddr, options...).Address; got.Bits != c.want || got.Addr != addr(c.yiaddr) {
			t.Errorf("%s with mask %q = %v, want /%d", c.yiaddr, c.mask, got, c.want)
		}
	}
}

func TestLeaseRoutes(t *testing.T) {
	const (
		router  = "\x0a\x00\x02\x02"
		router2 = "\x0a\x00\x02\x03"
		byA     = "\x00" + router  // the default route
		byB     = "\x00" + router2 // another
	)
	for _, c := range []struct {
		name    string
		options []any
		want    string
	}{
		{"none", nil, "[]"},
		{"router", []any{optRouter, router + router2}, "[0.0.0.0/0 via 10.0.2.2]"},
		{"first router unusable", []any{optRouter, "\x00\x00\x00\x00\xff\xff\xff\xff" + router2}, "[0.0.0.0/0 via 10.0.2.3]"},
		{"router of a wrong length", []any{optRouter, router + "\x0a"}, "[]"},
		{"121 wins over the others", []any{optRouter, router, optRoutesPrivate, byA, optRoutes, byB}, "[0.0.0.0/0 via 10.0.2.3]"},
		{"249 wins over routers", []any{optRouter, router, optRoutesPrivate, byB}, "[0.0.0.0/0 via 10.0.2.3]"},
		{"121 without a default route", []any{optRouter, router, optRoutes, "\x18\xc0\x00\x02" + router}, "[192.0.2.0/24 via 10.0.2.2]"},
		{"on-link", []any{optRoutes, "\x20\x0a\x00\x02\x02\x00\x00\x00\x00" + byA}, "[10.0.2.2/32 via none 0.0.0.0/0 via 10.0.2.2]"},
		{"bits beyond the prefix", []any{optRoutes, "\x14\xc0\x00\xff" + router}, "[192.0.240.0/20 via 10.0.2.2]"},
		{"a gateway that is none", []any{optRouter, router, optRoutes, "\x08\x0a\xe0\x00\x00\x01" + byB}, "[0.0.0.0/0 via 10.0.2.3]"},
		{"121 empty", []any{optRouter, router, optRoutes, ""}, "[0.0.0.0/0 via 10.0.2.2]"},
		{"121 cut off", []any{optRouter, router, optRoutes, byB + "\x18\xc0\x00"}, "[0.0.0.0/0 via 10.0.2.2]"},
		{"121 with a prefix of 33", []any{optRoutes, "\x21\x0a\x00\x00\x00\x00" + router, optRoutesPrivate, byB}, "[0.0.0.0/0 via 10.0.2.3]"},
	} {
		var got []string
		for _, r := range leaseOf(t, "10.0.2.15", c.options...).Routes {
			got = append(got, r.Destination.String()+" via "+r.Gateway.String())
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: routes = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestLeaseNamesAndNumbers(t *testing.T) {
	for _, c := range []struct {
		code  int
		value string
		field func(*Lease) any
		want  any
	}{
		{optDomain, "example.com", func(l *Lease) any { return l.Domain }, "example.com"},
		{optDomain, "example.com.\x00\x00", func(l *Lease) any { return l.Domain }, "example.com"},
		{optDomain, "a b", func(l *Lease) any { return l.Domain }, ""},
		{optDomain, "x\nnameserver 10.6.6.6", func(l *Lease) any { return l.Domain }, ""},
		{optHostname, "guest", func(l *Lease) any { return l.Hostname }, "guest"},
		{optHostname, "$(reboot)", func(l *Lease) any { return l.Hostname }, ""},
		{optSearch, "\x01a\x00\x03b\nc\x00\x01d\xc0\x00", func(l *Lease) any { return strings.Join(l.Search, " ") }, "a d.a"},
		{optSearch, "\x01a\x00\xc0", func(l *Lease) any { return strings.Join(l.Search, " ") }, ""},
		{optMTU, "\x05\xdc", func(l *Lease) any { return l.MTU }, 1500},
		{optMTU, "\x00\x44", func(l *Lease) any { return l.MTU }, 68},
		{optMTU, "\x00\x43", func(l *Lease) any { return l.MTU }, 0},
		{optMTU, "\xff", func(l *Lease) any { return l.MTU }, 0},
		{optBroadcast, "\x0a\xff\xff\xff", func(l *Lease) any { return l.Broadcast }, addr("10.255.255.255")},
		{optBroadcast, "\x00\x00\x00\x00", func(l *Lease) any { return l.Broadcast }, inet.Addr{}},
		{optBroadcast, "\x0a", func(l *Lease) any { return l.Broadcast }, inet.Addr{}},
		{optDNS, "\x0a\x00\x02", func(l *Lease) any { return len(l.DNS) }, 0},
	} {
		if got := c.field(leaseOf(t, "10.0.2.15", c.code, c.value)); got != c.want {
			t.Errorf("option %d %q = %v, want %v", c.code, c.value, got, c.want)
		}
	}
}

func TestLeaseTimes(t *testing.T) {
	const absent = 0
	infinite := uint32(0xffffffff)
	for _, c := range []struct {
		lease, t1, t2 uint32
		want          [3]time.Duration
	}{
		{3600, absent, absent, [3]time.Duration{3600, 1800, 3150}},
		{3600, 600, 1200, [3]time.Duration{3600, 600, 1200}},
		{3600, 600, absent, [3]time.Duration{3600, 600, 3150}},
		{3600, absent, 3000, [3]time.Duration{3600, 1800, 3000}},
		{3600, absent, 1800, [3]time.Duration{3600, 1800, 3150}},
		{3600, 3200, absent, [3]time.Duration{3600, 1800, 3150}},
		{3600, 1200, 1200, [3]time.Duration{3600, 1800, 3150}},
		{3600, 1800, 3600, [3]time.Duration{3600, 1800, 3150}},
		{3600, 1800, infinite, [3]time.Duration{3600, 1800, 3150}},
		{3600, infinite, infinite, [3]time.Duration{3600, 1800, 3150}},
		{8, absent, absent, [3]time.Duration{8, 4, 7}},
		{0xfffffffe, absent, absent, [3]time.Duration{0xfffffffe, 0x7fffffff, 3758096382}},
	} {
		var options []any
		for i, seconds := range []uint32{c.lease, c.t1, c.t2} {
			if seconds != absent {
				options = append(options, []int{optLeaseTime, optT1, optT2}[i], string(binary.BigEndian.AppendUint32(nil, seconds)))
			}
		}
		l := leaseOf(t, "10.0.2.15", options...)
		got := [3]time.Duration{l.Duration.Truncate(time.Second), l.T1.Truncate(time.Second), l.T2.Truncate(time.Second)}
		for i := range got {
			got[i] /= time.Second
		}
		if got != c.want {
			t.Errorf("lease %d, T1 %d, T2 %d: %v, want %v", c.lease, c.t1, c.t2, got, c.want)
		}
	}
	for _, c := range []struct {
		seconds string
		want    time.Duration
	}{{"\xff\xff\xff\xff", Infinite}, {"\x00\x00\x00\x00", 0}, {"\x00\x00\x0e", 0}} {
		if l := leaseOf(t, "10.0.2.15", optLeaseTime, c.seconds, optT1, "\x00\x00\x00\x05"); l.Duration != c.want || l.T1 != c.want || l.T2 != c.want {
			t.Errorf("lease time %q: %v, %v, %v, want %v", c.seconds, l.Duration, l.T1, l.T2, c.want)
		}
	}
}

func TestNewLeaseErrors(t *testing.T) {
	e := reach(t, Requesting)
	for want, b := range map[string][]byte{
		"malformed DHCP message":                                    e.reply(mtAck)[:100],
		"DHCP message is neither an OFFER nor an ACK":               e.reply(mtNak),
		"DHCP message without the address of a host or of a server": e.reply(mtAck, noServer),
	} {
		if l, err := NewLease(b); l != nil || err == nil || err.Error() != want {
			t.Errorf("NewLease() = %v, %v, want %s", l, err, want)
		}
	}
	if l, err := NewLease(e.c.buf); l != nil || err == nil {
		t.Errorf("NewLease(a REQUEST) = %v, %v, want an error", l, err)
	}
}

// FuzzNewLease checks what users of a lease rely on, and compares with insomniacslk/dhcp where that is as strict.
func FuzzNewLease(f *testing.F) {
	e := reach(&testing.T{}, Requesting)
	f.Add(e.reply(mtAck, dhcpv4.WithDNS(serverA), dhcpv4.WithDomainSearchList("example.com")))
	f.Add(e.reply(mtOffer, dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, []byte("\x14\xc0\x00\xff\x0a\x00\x02\x02"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := NewLease(b)
		if err != nil {
			return
		}
		checkLease(t, l)
		m, _ := parse(b)
		want, err := dhcpv4.FromBytes(b)
		if err != nil || m.option(optOverload) != nil {
			return
		}
		if !ip(l.Address.Addr).Equal(want.YourIPAddr) || !ip(l.Server).Equal(want.ServerIdentifier()) {
			t.Errorf("address %v of %v, want %v of %v", l.Address, l.Server, want.YourIPAddr, want.ServerIdentifier())
		}
		if got, want := l.Duration, want.IPAddressLeaseTime(0); got != want && got != Infinite {
			t.Errorf("lease time %v, want %v", got, want)
		}
		for what, lists := range map[string]struct {
			got  []inet.Addr
			want []net.IP
		}{"routers": {l.Routers, want.Router()}, "name servers": {l.DNS, want.DNS()}} {
			want := slices.DeleteFunc(lists.want, func(ip net.IP) bool { return !inet.AddrFrom(ip.To4()).IsHost() })
			if !slices.EqualFunc(lists.got, want, func(a inet.Addr, b net.IP) bool { return ip(a).Equal(b) }) {
				t.Errorf("%s %v, want %v", what, lists.got, want)
			}
		}
	})
}

// checkLease fails if a lease is not as its documentation says.
func checkLease(t *testing.T, l *Lease) {
	t.Helper()
	if !l.Address.IsValid() || !l.Address.Addr.IsHost() || l.Address.Bits == 0 || !l.Server.IsHost() || l.Broadcast.IsUnspecified() {
		t.Errorf("address %v, server %v, broadcast %v", l.Address, l.Server, l.Broadcast)
	}
	for _, a := range slices.Concat(l.Routers, l.DNS) {
		if !a.IsHost() {
			t.Errorf("%v among routers and name servers", a)
		}
	}
	for _, r := range l.Routes {
		if !r.Destination.IsValid() || r.Destination != r.Destination.Masked() || r.Gateway.IsValid() && !r.Gateway.IsHost() {
			t.Errorf("route to %v by %v", r.Destination, r.Gateway)
		}
	}
	for _, name := range append(slices.Clone(l.Search), l.Domain, l.Hostname) {
		if name != "" && !inet.ValidName(name) {
			t.Errorf("name %q", name)
		}
	}
	if l.MTU != 0 && (l.MTU < minMTU || l.MTU > 0xffff) {
		t.Errorf("MTU %d", l.MTU)
	}
	ordered := 0 < l.T1 && l.T1 < l.T2 && l.T2 < l.Duration
	if same := l.T1 == l.Duration && l.T2 == l.Duration; !ordered && (!same || l.Duration != 0 && l.Duration != Infinite) {
		t.Errorf("lease %v, T1 %v, T2 %v", l.Duration, l.T1, l.T2)
	}
}
