package network

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
)

const guestScript6 = `#!/bin/sh
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip link set eth0 up
until ip -6 route | grep -q ^default; do sleep 0.1; done
ip -6 address show dev eth0 | grep -v 'scope link' | grep -o 'inet6 [^ ]*'
nc $1 $2
`

var advert = Advert{
	Prefix: netip.MustParsePrefix("2001:db8::/64"),
	SLAAC:  true,
	DNS:    []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("fe80::1")},
	Search: []string{"a.example.org", "example.com"},
	MTU:    1400,
}

// checkRouter boots a guest and checks the router advertisement, the address that the guest
// configures from it, and that the guest can connect to the host.
func checkRouter(t *testing.T, n *Network, a Advert) {
	t.Helper()
	host, err := n.Greet(n.Host6, "hello\n")
	if err != nil {
		t.Fatal(err)
	}
	address := host.Addr().String()
	if host.Addr().IsLinkLocalUnicast() {
		address += "%eth0"
	}
	got := boot(t, guestScript6, []string{address, fmt.Sprint(host.Port())}, n)
	prefix := a.Prefix.Masked().Addr().As16()
	copy(prefix[8:], []byte{n.MAC[0] ^ 2, n.MAC[1], n.MAC[2], 0xff, 0xfe, n.MAC[3], n.MAC[4], n.MAC[5]})
	if want := fmt.Sprintf("inet6 %v/64\nhello\n", netip.AddrFrom16(prefix)); got != want {
		t.Errorf("output of the guest:\n%s\nwant:\n%s", got, want)
	}
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		if got := p.Advert(); got != nil {
			if !reflect.DeepEqual(*got, a) {
				t.Errorf("router advertisement = %+v with the search list %q, want %+v with %q",
					*got, got.Search, a, a.Search)
			}
			return
		}
	}
	t.Error("no router advertisement was captured")
}

func TestRadvd(t *testing.T) {
	t.Parallel()
	s := segment(t, Radvd{advert})
	checkRouter(t, s.Network, advert)
}

func TestDnsmasq6(t *testing.T) {
	t.Parallel()
	s := segment(t, Dnsmasq6{Advert: advert})
	checkRouter(t, s.Network, advert)
}

func TestPasst6(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dns6 := []netip.Addr{netip.MustParseAddr("2001:db8::53")}
	l := Lease{
		Address: lease.Address,
		Routers: lease.Routers,
		DNS:     lease.DNS,
		Search:  lease.Search,
		MTU:     lease.MTU,
	}
	address6 := netip.MustParseAddr("2001:db8::77")
	n, err := Passt(t.Context(), Options{Log: t.Output()}, l, address6, dns6...)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, n)
	checkRouter(t, n, Advert{
		Prefix: netip.MustParsePrefix("2001:db8::/64"),
		SLAAC:  true, Managed: true, DNS: dns6, Search: l.Search, MTU: l.MTU,
	})
}

func TestSlirp6(t *testing.T) {
	t.Parallel()
	n, err := Slirp(Options{}, Lease{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, n)
	checkRouter(t, n, Advert{Prefix: netip.MustParsePrefix("fec0::/64"), SLAAC: true})
}
