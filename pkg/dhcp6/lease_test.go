package dhcp6

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/krunbox/krunbox/pkg/dnsname"
)

func TestDUIDLinkLayer(t *testing.T) {
	want := []byte{0, 3, 0, 1, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}
	if got := DUIDLinkLayer(ourMAC); !bytes.Equal(got, want) {
		t.Errorf("DUIDLinkLayer(%v) = %x, want %x", ourMAC, got, want)
	}
}

// A lease has the values of all options that the client asks for.
func TestLeaseOfAllOptions(t *testing.T) {
	var search []string
	for i := range 30 {
		search = append(search, fmt.Sprintf("subdomain-%d.example.com", i))
	}
	e := reach(t, Requesting)
	e.receive(e.reply(mtReply,
		withIA(20*time.Minute, 50*time.Minute, iaAddress("fd00::15", time.Hour, 2*time.Hour),
			iaAddress("2001:db8::15", 0, 3*time.Hour)),
		dhcpv6.WithDNS(net.ParseIP("fd00::53"), net.IPv6loopback, net.IPv6unspecified,
			net.ParseIP("fe80::53")),
		dhcpv6.WithDomainSearchList(search...)))
	want := &Lease{
		Addresses: []Address{
			{netip.MustParseAddr("fd00::15"), time.Hour, 2 * time.Hour},
			{netip.MustParseAddr("2001:db8::15"), 0, 3 * time.Hour},
		},
		DNS: addrs("fd00::53", "fe80::53"), Search: search, Server: serverA.ToBytes(),
		ServerAddr: netip.MustParseAddr("fe80::1"), T1: 20 * time.Minute, T2: 50 * time.Minute,
	}
	if got := e.c.Lease(); !reflect.DeepEqual(got, want) {
		t.Errorf("Lease() = %+v, want %+v", got, want)
	}
}

func TestLeaseTimes(t *testing.T) {
	const infinite = 0xffffffff
	type pair [2]uint32 // preferred and valid lifetime
	hour := []pair{{3000, 3600}}
	for _, c := range []struct {
		t1, t2    uint32
		addresses []pair
		want      [2]time.Duration // seconds, or Infinite
	}{
		{1000, 2000, hour, [2]time.Duration{1000, 2000}},
		{0, 0, hour, [2]time.Duration{1500, 2400}},
		{1000, 0, hour, [2]time.Duration{1000, 2400}},
		{2500, 0, hour, [2]time.Duration{2500, 2500}},
		{0, 2000, hour, [2]time.Duration{1500, 2000}},
		{0, 1000, hour, [2]time.Duration{1000, 1000}},
		{2000, 2000, hour, [2]time.Duration{2000, 2000}},
		{1000, 3600, hour, [2]time.Duration{1500, 2400}},
		{4000, 0, hour, [2]time.Duration{1500, 2400}},
		{infinite, 0, hour, [2]time.Duration{1500, 2400}},
		{infinite, infinite, hour, [2]time.Duration{1500, 2400}},
		{0, infinite, hour, [2]time.Duration{1500, 2400}},
		{0, 0, []pair{{3000, 3600}, {100, 4000}}, [2]time.Duration{50, 80}},
		{0, 0, []pair{{0, 100}, {3000, 3600}}, [2]time.Duration{50, 80}},
		{3700, 3800, []pair{{3000, 3600}, {100, 4000}}, [2]time.Duration{3700, 3800}},
		{0, 0, []pair{{0, 200}}, [2]time.Duration{100, 160}},
		{0, 0, []pair{{0, infinite}}, [2]time.Duration{Infinite, Infinite}},
		{0, 0, []pair{{100, infinite}}, [2]time.Duration{50, 80}},
		{0, 0, []pair{{infinite, infinite}}, [2]time.Duration{Infinite, Infinite}},
		{infinite, infinite, []pair{{infinite, infinite}}, [2]time.Duration{Infinite, Infinite}},
		{10, infinite, []pair{{infinite, infinite}}, [2]time.Duration{10, Infinite}},
		{10, 0, []pair{{infinite, infinite}}, [2]time.Duration{10, Infinite}},
		{0, 20, []pair{{infinite, infinite}}, [2]time.Duration{20, 20}},
		{0, 0, []pair{{0xfffffffe, 0xfffffffe}}, [2]time.Duration{0x7fffffff, 3435973835}},
	} {
		var options []dhcpv6.Option
		for i, a := range c.addresses {
			options = append(options, iaAddress(fmt.Sprintf("fd00::%d", i+1),
				time.Duration(a[0])*time.Second, time.Duration(a[1])*time.Second))
		}
		e := reach(t, Requesting)
		e.receive(e.reply(mtReply,
			withIA(time.Duration(c.t1)*time.Second, time.Duration(c.t2)*time.Second, options...)))
		l := e.c.Lease()
		if l == nil {
			t.Errorf("T1 %d, T2 %d, %v: no lease", c.t1, c.t2, c.addresses)
			continue
		}
		checkLease(t, l, true)
		got := [2]time.Duration{l.T1, l.T2}
		for i := range got {
			if got[i] != Infinite {
				got[i] /= time.Second
			}
		}
		if got != c.want {
			t.Errorf("T1 %d, T2 %d, %v: lease has %v, want %v",
				c.t1, c.t2, c.addresses, got, c.want)
		}
	}
}

// An unusable or malformed address does not affect the other ones.
func TestLeaseAddresses(t *testing.T) {
	failed := iaAddress("fd00::6", preferred, valid)
	granted := iaAddress("fd00::7", preferred, valid)
	failed.Options.Add(&dhcpv6.OptStatusCode{StatusCode: 4})
	granted.Options.Add(&dhcpv6.OptStatusCode{StatusCode: 0})
	short := make([]byte, addressSize-1)
	overrun := append(iaAddress("fd00::8", preferred, valid).ToBytes(), 0, 13, 0, 9)
	e := reach(t, Requesting)
	e.receive(e.reply(mtReply, withIA(0, 0,
		iaAddress("fd00::1", preferred, valid), iaAddress("::1", preferred, valid),
		iaAddress("fd00::2", valid, preferred), iaAddress("fd00::1", valid, valid),
		iaAddress("fd00::3", 0, 0), failed, granted,
		&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionIAAddr, OptionData: short},
		&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionIAAddr, OptionData: overrun},
		&dhcpv6.OptionGeneric{OptionCode: 4711}, iaAddress("fd00::5", preferred, valid))))
	var got []netip.Addr
	if l := e.c.Lease(); l != nil {
		for _, a := range l.Addresses {
			got = append(got, a.Addr)
		}
	}
	if want := addrs("fd00::1", "fd00::7", "fd00::5"); !slices.Equal(got, want) {
		t.Errorf("addresses = %v, want %v", got, want)
	}
}

func TestLeaseParameters(t *testing.T) {
	dns := func(l *Lease) string { return fmt.Sprint(l.DNS) }
	search := func(l *Lease) string { return strings.Join(l.Search, " ") }
	server, group := string(net.ParseIP("fd00::53")), string(net.ParseIP("ff02::1"))
	for _, c := range []struct {
		code  dhcpv6.OptionCode
		value string
		field func(*Lease) string
		want  string
	}{
		{dhcpv6.OptionDNSRecursiveNameServer, "", dns, "[]"},
		{dhcpv6.OptionDNSRecursiveNameServer, server, dns, "[fd00::53]"},
		{dhcpv6.OptionDNSRecursiveNameServer, server + "\x00", dns, "[]"},
		{dhcpv6.OptionDNSRecursiveNameServer, group, dns, "[]"},
		{dhcpv6.OptionDomainSearchList, "\x01a\x00\x03b\nc\x00\x01d\x01e\x00", search, "a d.e"},
		// Section 10 forbids compression.
		{dhcpv6.OptionDomainSearchList, "\x01a\x00\x01d\xc0\x00", search, ""},
		{dhcpv6.OptionDomainSearchList, "\x01a\x00\x05b", search, ""},
	} {
		e := reach(t, Informing)
		e.receive(e.reply(mtReply, withData(c.code, []byte(c.value)...)))
		if l := e.c.Lease(); l == nil || c.field(l) != c.want {
			t.Errorf("option %d %q: lease = %+v, want %s", c.code, c.value, l, c.want)
		}
	}
}

// The lease of a random message has what package dhcpv6, which is stricter, reads from it.
func TestLeaseOfRandomMessages(t *testing.T) {
	random := rand.New(rand.NewPCG(8415, 0))
	some := func() time.Duration { return time.Duration(random.IntN(8)) * time.Second }
	for range 2000 {
		var options []dhcpv6.Option
		for range random.IntN(4) {
			ip := fmt.Sprintf("fd00::%d", 1+random.IntN(9))
			options = append(options, iaAddress(ip, some(), some()))
		}
		var servers []net.IP
		for range random.IntN(4) {
			servers = append(servers, net.ParseIP(fmt.Sprintf("fd00::53:%d", random.IntN(9))))
		}
		var search []string
		for range random.IntN(3) {
			search = append(search, fmt.Sprintf("n%d.example", random.IntN(9)))
		}
		e := reach(t, Requesting)
		b := e.reply(mtReply, withIA(some(), some(), options...), dhcpv6.WithDNS(servers...),
			dhcpv6.WithDomainSearchList(search...))
		want, err := dhcpv6.MessageFromBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		e.receive(b)
		granted := grantedBy(want)
		l := e.c.Lease()
		if (l != nil) != (len(granted) > 0) {
			t.Fatalf("lease of %v = %+v, want addresses %v", want, l, granted)
		}
		if l == nil {
			continue
		}
		checkLease(t, l, true)
		equal := func(a netip.Addr, ip net.IP) bool { return bytes.Equal(a.AsSlice(), ip) }
		if !slices.Equal(l.Addresses, granted) ||
			!slices.EqualFunc(l.DNS, want.Options.DNS(), equal) ||
			!slices.Equal(l.Search, want.Options.DomainSearchList().Labels) {
			t.Errorf("lease = %+v, want that of %v", l, want)
		}
	}
}

// grantedBy returns the addresses that a message grants, as package dhcpv6 reads them.
func grantedBy(m *dhcpv6.Message) (granted []Address) {
	identity := m.Options.OneIANA()
	if identity.T2 > 0 && identity.T1 > identity.T2 {
		return nil
	}
	for _, a := range identity.Options.Addresses() {
		addr, _ := netip.AddrFromSlice(a.IPv6Addr)
		known := slices.ContainsFunc(granted, func(a Address) bool { return a.Addr == addr })
		if a.ValidLifetime > 0 && a.PreferredLifetime <= a.ValidLifetime && !known {
			granted = append(granted, Address{addr, a.PreferredLifetime, a.ValidLifetime})
		}
	}
	return granted
}

// checkLease checks what the documentation of Lease promises.
func checkLease(t *testing.T, l *Lease, stateful bool) {
	t.Helper()
	seen := map[netip.Addr]bool{}
	for _, a := range l.Addresses {
		if !a.Addr.Is6() || !a.Addr.IsGlobalUnicast() || a.Preferred < 0 || a.Preferred > a.Valid ||
			a.Valid <= 0 || seen[a.Addr] {
			t.Errorf("unusable address %+v of %+v", a, l.Addresses)
		}
		seen[a.Addr] = true
	}
	for _, a := range l.DNS {
		if !a.Is6() || !a.IsGlobalUnicast() && !a.IsLinkLocalUnicast() {
			t.Errorf("unusable name server %v", a)
		}
	}
	for _, name := range l.Search {
		if !dnsname.Valid(name) {
			t.Errorf("unusable name %q", name)
		}
	}
	if len(l.Server) == 0 || len(l.Server) > maxDUID || len(l.Addresses) > maxAddresses {
		t.Errorf("server %x, %d addresses", l.Server, len(l.Addresses))
	}
	if stateful {
		ordered := 0 < l.T1 && l.T1 <= l.T2 && (l.T2 < l.valid() || l.valid() == Infinite)
		if !ordered || len(l.Addresses) == 0 || l.Refresh != 0 {
			t.Errorf("T1 %v, T2 %v, refresh %v of %+v", l.T1, l.T2, l.Refresh, l.Addresses)
		}
	} else if l.T1 != 0 || l.T2 != 0 || len(l.Addresses) != 0 || l.Refresh < minRefresh {
		t.Errorf("stateless lease = %+v", l)
	}
}
