package netif

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/pkg/inet"
)

// addr is an address from its text, none from an empty one.
func addr(s string) inet.Addr {
	if s == "" {
		return inet.Addr{}
	}
	return inet.AddrFrom(netip.MustParseAddr(s).AsSlice())
}

func prefix(s string) inet.Prefix {
	p := netip.MustParsePrefix(s)
	return inet.Prefix{Addr: addr(p.Addr().String()), Bits: p.Bits()}
}

// config is a lease's configuration from text: an address, and routes with or without a gateway.
func config(address string, routes ...string) *Config {
	c := &Config{Index: 2, Address: prefix(address), Valid: time.Hour, Preferred: time.Hour, Metric: 100}
	for _, r := range routes {
		destination, gateway, _ := strings.Cut(r, " via ")
		c.Routes = append(c.Routes, Route{Destination: prefix(destination), Gateway: addr(gateway)})
	}
	return c
}

// with is c after f.
func (c *Config) with(f func(*Config)) *Config {
	f(c)
	return c
}

func text(changes []Change) []string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, c.String())
	}
	return lines
}

func TestClampMTU(t *testing.T) {
	for _, c := range [][3]uint32{{0, 0, 0}, {0, 1500, 0}, {1, 0, 576}, {575, 1500, 576}, {576, 1500, 576}, {1400, 0, 1400},
		{1400, 1500, 1400}, {9000, 1500, 1500}, {65535, 65521, 65521}, {1400, 68, 68}} {
		if got := ClampMTU(c[0], c[1]); got != c[2] {
			t.Errorf("ClampMTU(%d, %d) = %d, want %d", c[0], c[1], got, c[2])
		}
	}
}

func TestChanges(t *testing.T) {
	slirp := config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2")
	setMTU := func(mtu, link uint32) func(*Config) {
		return func(c *Config) { c.MTU, c.LinkMTU = mtu, link }
	}
	for _, c := range []struct {
		name     string
		from, to *Config
		want     []string
	}{
		{"nothing", nil, nil, nil},
		{"first", nil, slirp, []string{"set address 10.0.2.15/24", "set route 0.0.0.0/0 via 10.0.2.2"}},
		{"renewed", slirp, slirp, []string{"set address 10.0.2.15/24", "set route 0.0.0.0/0 via 10.0.2.2"}},
		{"lost", slirp, nil, []string{"delete route 0.0.0.0/0 via 10.0.2.2", "delete address 10.0.2.15/24"}},
		{"another gateway", slirp, config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.3"),
			[]string{"set address 10.0.2.15/24", "set route 0.0.0.0/0 via 10.0.2.3"}},
		{"another metric", slirp, config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2").with(func(c *Config) { c.Metric = 5 }),
			[]string{"set address 10.0.2.15/24", "set route 0.0.0.0/0 via 10.0.2.2", "delete route 0.0.0.0/0 via 10.0.2.2"}},
		{"routes come and go", config("10.0.2.15/24", "10.1.0.0/16 via 10.0.2.2", "10.2.0.0/16 via 10.0.2.2", "10.3.0.0/16"),
			config("10.0.2.15/24", "10.2.0.0/16 via 10.0.2.2", "10.4.0.0/16 via 10.0.2.2"),
			[]string{"set address 10.0.2.15/24", "set route 10.2.0.0/16 via 10.0.2.2", "set route 10.4.0.0/16 via 10.0.2.2",
				"delete route 10.1.0.0/16 via 10.0.2.2", "delete route 10.3.0.0/16 on link"}},
		{"another address", slirp, config("10.0.2.16/24", "0.0.0.0/0 via 10.0.2.2"),
			[]string{"delete route 0.0.0.0/0 via 10.0.2.2", "delete address 10.0.2.15/24", "set address 10.0.2.16/24",
				"set route 0.0.0.0/0 via 10.0.2.2"}},
		{"another prefix length", slirp, config("10.0.2.15/16", "0.0.0.0/0 via 10.0.2.2"),
			[]string{"set address 10.0.2.15/16", "delete address 10.0.2.15/24", "set route 0.0.0.0/0 via 10.0.2.2"}},
		{"another broadcast address", slirp, config("10.0.2.15/24").with(func(c *Config) { c.Broadcast = addr("10.0.2.0") }),
			[]string{"delete route 0.0.0.0/0 via 10.0.2.2", "delete address 10.0.2.15/24", "set address 10.0.2.15/24"}},
		{"the usual broadcast address", slirp, config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2").with(func(c *Config) {
			c.Broadcast = addr("10.0.2.255")
		}),
			[]string{"set address 10.0.2.15/24", "set route 0.0.0.0/0 via 10.0.2.2"}},
		{"another interface", slirp, config("10.0.2.15/24").with(func(c *Config) { c.Index = 3 }),
			[]string{"delete route 0.0.0.0/0 via 10.0.2.2", "delete address 10.0.2.15/24", "set address 10.0.2.15/24"}},

		{"/32", nil,
			config("10.0.0.2/32", "0.0.0.0/0 via 10.0.0.1", "192.0.2.0/24 via 10.0.0.1", "198.51.100.0/24 via 10.9.9.9"),
			[]string{"set address 10.0.0.2/32", "set route 10.0.0.1/32 on link", "set route 10.9.9.9/32 on link",
				"set route 0.0.0.0/0 via 10.0.0.1", "set route 192.0.2.0/24 via 10.0.0.1", "set route 198.51.100.0/24 via 10.9.9.9"}},
		{"/32 lost", config("10.0.0.2/32", "0.0.0.0/0 via 10.0.0.1"), nil,
			[]string{"delete route 0.0.0.0/0 via 10.0.0.1", "delete route 10.0.0.1/32 on link", "delete address 10.0.0.2/32"}},
		{"the server has the route to the gateway", nil,
			config("10.0.0.2/32", "0.0.0.0/0 via 10.0.0.1", "10.0.0.1/32 via 0.0.0.0"),
			[]string{"set address 10.0.0.2/32", "set route 10.0.0.1/32 on link", "set route 0.0.0.0/0 via 10.0.0.1"}},
		{"a route on the link leads to the gateway", nil, config("10.0.0.2/32", "0.0.0.0/0 via 10.0.9.1", "10.0.9.7/24"),
			[]string{"set address 10.0.0.2/32", "set route 10.0.9.0/24 on link", "set route 0.0.0.0/0 via 10.0.9.1"}},
		{"the route to the gateway is one by a gateway", nil,
			config("10.0.2.15/24", "10.9.0.1/32 via 10.0.2.2", "10.9.1.0/24 via 10.9.0.1"),
			[]string{"set address 10.0.2.15/24", "set route 10.9.0.1/32 on link", "set route 10.9.1.0/24 via 10.9.0.1"}},
		{"duplicates, host bits", nil, config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2", "0.0.0.0/0 via 10.0.2.3",
			"10.1.2.3/16 via 10.0.2.2", "10.1.0.0/16 via 10.0.2.3", "10.0.2.99/24 via 10.0.2.2", "10.0.2.0/24"),
			[]string{"set address 10.0.2.15/24", "set route 0.0.0.0/0 via 10.0.2.2", "set route 10.1.0.0/16 via 10.0.2.2"}},
		{"no gateways", nil, config("10.0.2.15/24", "10.1.0.0/16 via 10.0.2.15", "10.1.0.0/16 via 10.0.2.255",
			"10.1.0.0/16 via 127.0.0.1", "10.1.0.0/16 via 224.0.0.1", "10.1.0.0/16 via fe80::1", "fd00::/64 via 10.0.2.2", "fd00::/64"),
			[]string{"set address 10.0.2.15/24"}},
		{"/31", nil, config("10.0.2.15/31", "0.0.0.0/0 via 10.0.2.14"),
			[]string{"set address 10.0.2.15/31", "set route 0.0.0.0/0 via 10.0.2.14"}},
		{"/0", nil, config("10.0.2.15/0", "0.0.0.0/0 via 10.0.2.14"),
			[]string{"set address 10.0.2.15/0", "set route 10.0.2.14/32 on link", "set route 0.0.0.0/0 via 10.0.2.14"}},
		{"everything on the link", nil, config("10.0.2.15/32", "0.0.0.0/0", "10.0.0.0/8 via 10.0.0.1"),
			[]string{"set address 10.0.2.15/32", "set route 0.0.0.0/0 on link", "set route 10.0.0.0/8 via 10.0.0.1"}},
		{"IPv6 is not on the link", nil, config("2001:db8::7/64", "::/0 via 2001:db8::1"),
			[]string{"set address 2001:db8::7/64", "set route 2001:db8::1/128 on link", "set route ::/0 via 2001:db8::1"}},
		{"IPv6", nil, config("2001:db8::7/128", "::/0 via fe80::1", "2001:db8:1::/48 via 2001:db8::1"),
			[]string{"set address 2001:db8::7/128", "set route 2001:db8::1/128 on link", "set route ::/0 via fe80::1",
				"set route 2001:db8:1::/48 via 2001:db8::1"}},

		{"MTU", nil, config("10.0.2.15/24").with(setMTU(1400, 1500)), []string{"set MTU 1400", "set address 10.0.2.15/24"}},
		{"the link's MTU", nil, config("10.0.2.15/24").with(setMTU(1500, 1500)), []string{"set address 10.0.2.15/24"}},
		{"MTU, unknown before", nil, config("10.0.2.15/24").with(setMTU(1400, 0)),
			[]string{"set MTU 1400", "set address 10.0.2.15/24"}},
		{"the same MTU", config("10.0.2.15/24").with(setMTU(1400, 1500)),
			config("10.0.2.15/24").with(setMTU(1400, 1500)), []string{"set address 10.0.2.15/24"}},
		{"another MTU", config("10.0.2.15/24").with(setMTU(1400, 1500)), config("10.0.2.15/24").with(setMTU(1300, 1500)),
			[]string{"set MTU 1300", "set address 10.0.2.15/24"}},
		{"MTU no longer", config("10.0.2.15/24").with(setMTU(1400, 1500)), config("10.0.2.15/24").with(setMTU(0, 1500)),
			[]string{"set MTU 1500", "set address 10.0.2.15/24"}},
		{"MTU lost", config("10.0.2.15/24").with(setMTU(1400, 1500)), nil, []string{"set MTU 1500", "delete address 10.0.2.15/24"}},
		{"MTU lost, unknown before", config("10.0.2.15/24").with(setMTU(1400, 0)), nil, []string{"delete address 10.0.2.15/24"}},
		{"lost without MTU", config("10.0.2.15/24").with(setMTU(0, 1500)), nil, []string{"delete address 10.0.2.15/24"}},
	} {
		if got := text(Changes(c.from, c.to)); !slices.Equal(got, c.want) {
			t.Errorf("%s: Changes() = %q, want %q", c.name, got, c.want)
		}
	}
}

// What the text of a change does not say.
func TestChangesComplete(t *testing.T) {
	v4 := config("10.0.0.2/30", "0.0.0.0/0 via 192.0.2.1")
	v4.MTU, v4.Preferred = 1400, time.Minute
	v6 := config("2001:db8::7/128", "2001:db8::/64")
	v6.Preferred = time.Minute
	v6expired := config("2001:db8::7/128")
	v6expired.Preferred = 2 * time.Hour
	for _, c := range []struct {
		to   *Config
		want []Change
	}{
		{v4, []Change{
			{Kind: SetMTU, Index: 2, MTU: 1400},
			{Kind: SetAddress, Index: 2, Address: IfAddr{prefix("10.0.0.2/30"), addr("10.0.0.3"), time.Hour, time.Hour, 0}},
			{Kind: SetRoute, Index: 2, Route: Route{prefix("192.0.2.1/32"), addr(""), addr("10.0.0.2"), 100, 16}},
			{Kind: SetRoute, Index: 2, Route: Route{prefix("0.0.0.0/0"), addr("192.0.2.1"), addr("10.0.0.2"), 100, 16}},
		}},
		{v6, []Change{
			{Kind: SetAddress, Index: 2, Address: IfAddr{prefix("2001:db8::7/128"), addr(""), time.Hour, time.Minute, 0}},
			{Kind: SetRoute, Index: 2, Route: Route{prefix("2001:db8::/64"), addr(""), addr(""), 100, 16}},
		}},
		{v6expired, []Change{
			{Kind: SetAddress, Index: 2, Address: IfAddr{prefix("2001:db8::7/128"), addr(""), time.Hour, time.Hour, 0}},
		}},
	} {
		if got := Changes(nil, c.to); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Changes(nil, %v) =\n%+v, want\n%+v", c.to.Address, got, c.want)
		}
	}
}
