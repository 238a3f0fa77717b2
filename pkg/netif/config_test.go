package netif

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// addr parses an address. It returns the zero Addr for an empty string.
func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// config returns the configuration of a lease: an address, and routes such as
// "0.0.0.0/0 via 10.0.2.2", or with a destination only.
func config(address string, routes ...string) *Config {
	c := &Config{Index: 2, Address: prefix(address), Metric: 100}
	c.Valid, c.Preferred = time.Hour, time.Hour
	for _, r := range routes {
		destination, gateway, _ := strings.Cut(r, " via ")
		c.Routes = append(c.Routes, Route{Destination: prefix(destination), Gateway: addr(gateway)})
	}
	return c
}

// with calls f for c, and returns c.
func (c *Config) with(f func(*Config)) *Config {
	f(c)
	return c
}

func metric(m uint32) func(*Config)    { return func(c *Config) { c.Metric = m } }
func index(i int) func(*Config)        { return func(c *Config) { c.Index = i } }
func broadcast(s string) func(*Config) { return func(c *Config) { c.Broadcast = addr(s) } }

func setMTU(mtu, link uint32) func(*Config) {
	return func(c *Config) { c.MTU, c.LinkMTU = mtu, link }
}

func text(changes []Change) []string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, c.String())
	}
	return lines
}

func TestClampMTU(t *testing.T) {
	for _, c := range [][3]uint32{
		{0, 0, 0}, {0, 1500, 0}, {1, 0, 576}, {575, 1500, 576}, {576, 1500, 576}, {1400, 0, 1400},
		{1400, 1500, 1400}, {9000, 1500, 1500}, {65535, 65521, 65521}, {1400, 68, 68},
	} {
		if got := ClampMTU(c[0], c[1]); got != c[2] {
			t.Errorf("ClampMTU(%d, %d) = %d, want %d", c[0], c[1], got, c[2])
		}
	}
}

type changesTest struct {
	name     string
	from, to *Config
	want     []string
}

func testChanges(t *testing.T, tests []changesTest) {
	t.Helper()
	for _, c := range tests {
		if got := text(Changes(c.from, c.to)); !slices.Equal(got, c.want) {
			t.Errorf("%s: Changes() = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestChanges(t *testing.T) {
	slirp := config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2")
	testChanges(t, []changesTest{
		{"nothing", nil, nil, nil},
		{"first", nil, slirp,
			[]string{"set address 10.0.2.15/24", "set route 0.0.0.0/0 via 10.0.2.2"}},
		{"renewed", slirp, slirp,
			[]string{"set address 10.0.2.15/24", "add route 0.0.0.0/0 via 10.0.2.2"}},
		{"lost", slirp, nil,
			[]string{"delete route 0.0.0.0/0 via 10.0.2.2", "delete address 10.0.2.15/24"}},
		{"another gateway", slirp, config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.3"),
			[]string{"set address 10.0.2.15/24", "set route 0.0.0.0/0 via 10.0.2.3"}},
		{"another metric", slirp, config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2").with(metric(5)),
			[]string{
				"set address 10.0.2.15/24", "set route 0.0.0.0/0 via 10.0.2.2",
				"delete route 0.0.0.0/0 via 10.0.2.2",
			}},
		{"routes come and go",
			config("10.0.2.15/24", "10.1.0.0/16 via 10.0.2.2", "10.2.0.0/16 via 10.0.2.2",
				"10.3.0.0/16"),
			config("10.0.2.15/24", "10.2.0.0/16 via 10.0.2.2", "10.4.0.0/16 via 10.0.2.2"),
			[]string{
				"set address 10.0.2.15/24", "add route 10.2.0.0/16 via 10.0.2.2",
				"set route 10.4.0.0/16 via 10.0.2.2", "delete route 10.1.0.0/16 via 10.0.2.2",
				"delete route 10.3.0.0/16 on link",
			}},
		{"another address", slirp, config("10.0.2.16/24", "0.0.0.0/0 via 10.0.2.2"),
			[]string{
				"delete route 0.0.0.0/0 via 10.0.2.2", "delete address 10.0.2.15/24",
				"set address 10.0.2.16/24", "set route 0.0.0.0/0 via 10.0.2.2",
			}},
		{"another prefix length", slirp, config("10.0.2.15/16", "0.0.0.0/0 via 10.0.2.2"),
			[]string{
				"set address 10.0.2.15/16", "delete address 10.0.2.15/24",
				"add route 0.0.0.0/0 via 10.0.2.2",
			}},
		{"another broadcast address", slirp, config("10.0.2.15/24").with(broadcast("10.0.2.0")),
			[]string{
				"delete route 0.0.0.0/0 via 10.0.2.2", "delete address 10.0.2.15/24",
				"set address 10.0.2.15/24",
			}},
		{"the usual broadcast address", slirp,
			config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2").with(broadcast("10.0.2.255")),
			[]string{"set address 10.0.2.15/24", "add route 0.0.0.0/0 via 10.0.2.2"}},
		{"another interface", slirp, config("10.0.2.15/24").with(index(3)),
			[]string{
				"delete route 0.0.0.0/0 via 10.0.2.2", "delete address 10.0.2.15/24",
				"set address 10.0.2.15/24",
			}},
	})
}

func TestChangesRoutes(t *testing.T) {
	testChanges(t, []changesTest{
		{"/32", nil,
			config("10.0.0.2/32", "0.0.0.0/0 via 10.0.0.1", "192.0.2.0/24 via 10.0.0.1",
				"198.51.100.0/24 via 10.9.9.9"),
			[]string{
				"set address 10.0.0.2/32", "set route 10.0.0.1/32 on link",
				"set route 10.9.9.9/32 on link", "set route 0.0.0.0/0 via 10.0.0.1",
				"set route 192.0.2.0/24 via 10.0.0.1", "set route 198.51.100.0/24 via 10.9.9.9",
			}},
		{"/32 lost", config("10.0.0.2/32", "0.0.0.0/0 via 10.0.0.1"), nil,
			[]string{
				"delete route 0.0.0.0/0 via 10.0.0.1", "delete route 10.0.0.1/32 on link",
				"delete address 10.0.0.2/32",
			}},
		{"the server sends the route to the gateway", nil,
			config("10.0.0.2/32", "0.0.0.0/0 via 10.0.0.1", "10.0.0.1/32 via 0.0.0.0"),
			[]string{
				"set address 10.0.0.2/32", "set route 10.0.0.1/32 on link",
				"set route 0.0.0.0/0 via 10.0.0.1",
			}},
		{"a route on the link leads to the gateway", nil,
			config("10.0.0.2/32", "0.0.0.0/0 via 10.0.9.1", "10.0.9.7/24"),
			[]string{
				"set address 10.0.0.2/32", "set route 10.0.9.0/24 on link",
				"set route 0.0.0.0/0 via 10.0.9.1",
			}},
		{"the gateway is behind another gateway", nil,
			config("10.0.2.15/24", "10.9.0.1/32 via 10.0.2.2", "10.9.1.0/24 via 10.9.0.1"),
			[]string{
				"set address 10.0.2.15/24", "set route 10.9.0.1/32 on link",
				"set route 10.9.1.0/24 via 10.9.0.1",
			}},
		{"duplicates, host bits", nil,
			config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2", "0.0.0.0/0 via 10.0.2.3",
				"10.1.2.3/16 via 10.0.2.2", "10.1.0.0/16 via 10.0.2.3",
				"10.0.2.99/24 via 10.0.2.2", "10.0.2.0/24"),
			[]string{
				"set address 10.0.2.15/24", "set route 0.0.0.0/0 via 10.0.2.2",
				"set route 10.1.0.0/16 via 10.0.2.2",
			}},
		{"invalid gateways", nil,
			config("10.0.2.15/24", "10.1.0.0/16 via 10.0.2.15", "10.1.0.0/16 via 10.0.2.255",
				"10.1.0.0/16 via 127.0.0.1", "10.1.0.0/16 via 224.0.0.1",
				"10.1.0.0/16 via fe80::1", "fd00::/64 via 10.0.2.2", "fd00::/64"),
			[]string{"set address 10.0.2.15/24"}},
		{"everything on the link", nil,
			config("10.0.2.15/32", "0.0.0.0/0", "10.0.0.0/8 via 10.0.0.1"),
			[]string{
				"set address 10.0.2.15/32", "set route 0.0.0.0/0 on link",
				"set route 10.0.0.0/8 via 10.0.0.1",
			}},
	})
}

func TestChangesPrefixes(t *testing.T) {
	testChanges(t, []changesTest{
		{"/31", nil, config("10.0.2.15/31", "0.0.0.0/0 via 10.0.2.14"),
			[]string{"set address 10.0.2.15/31", "set route 0.0.0.0/0 via 10.0.2.14"}},
		{"/0", nil, config("10.0.2.15/0", "0.0.0.0/0 via 10.0.2.14"),
			[]string{
				"set address 10.0.2.15/0", "set route 10.0.2.14/32 on link",
				"set route 0.0.0.0/0 via 10.0.2.14",
			}},
		{"IPv6 is not on the link", nil, config("2001:db8::7/64", "::/0 via 2001:db8::1"),
			[]string{
				"set address 2001:db8::7/64", "set route 2001:db8::1/128 on link",
				"set route ::/0 via 2001:db8::1",
			}},
		{"IPv6", nil,
			config("2001:db8::7/128", "::/0 via fe80::1", "2001:db8:1::/48 via 2001:db8::1"),
			[]string{
				"set address 2001:db8::7/128", "set route 2001:db8::1/128 on link",
				"set route ::/0 via fe80::1", "set route 2001:db8:1::/48 via 2001:db8::1",
			}},
	})
}

func TestChangesMTU(t *testing.T) {
	testChanges(t, []changesTest{
		{"MTU", nil, config("10.0.2.15/24").with(setMTU(1400, 1500)),
			[]string{"set MTU 1400", "set address 10.0.2.15/24"}},
		{"the link's MTU", nil, config("10.0.2.15/24").with(setMTU(1500, 1500)),
			[]string{"set address 10.0.2.15/24"}},
		{"MTU, unknown before", nil, config("10.0.2.15/24").with(setMTU(1400, 0)),
			[]string{"set MTU 1400", "set address 10.0.2.15/24"}},
		{"the same MTU",
			config("10.0.2.15/24").with(setMTU(1400, 1500)),
			config("10.0.2.15/24").with(setMTU(1400, 1500)),
			[]string{"set address 10.0.2.15/24"}},
		{"another MTU",
			config("10.0.2.15/24").with(setMTU(1400, 1500)),
			config("10.0.2.15/24").with(setMTU(1300, 1500)),
			[]string{"set MTU 1300", "set address 10.0.2.15/24"}},
		{"MTU no longer",
			config("10.0.2.15/24").with(setMTU(1400, 1500)),
			config("10.0.2.15/24").with(setMTU(0, 1500)),
			[]string{"set MTU 1500", "set address 10.0.2.15/24"}},
		{"MTU lost", config("10.0.2.15/24").with(setMTU(1400, 1500)), nil,
			[]string{"set MTU 1500", "delete address 10.0.2.15/24"}},
		{"MTU lost, unknown before", config("10.0.2.15/24").with(setMTU(1400, 0)), nil,
			[]string{"delete address 10.0.2.15/24"}},
		{"lost without MTU", config("10.0.2.15/24").with(setMTU(0, 1500)), nil,
			[]string{"delete address 10.0.2.15/24"}},
	})
}

// TestChangesComplete compares what Change.String leaves out.
func TestChangesComplete(t *testing.T) {
	v4 := config("10.0.0.2/30", "0.0.0.0/0 via 192.0.2.1")
	v4.MTU, v4.Preferred = 1400, time.Minute
	v6 := config("2001:db8::7/128", "2001:db8::/64")
	v6.Preferred = time.Minute
	v6expired := config("2001:db8::7/128")
	v6expired.Preferred = 2 * time.Hour
	setAddress := func(a IfAddr) Change { return Change{Kind: SetAddress, Index: 2, Address: a} }
	setRoute := func(destination, gateway, source string) Change {
		r := Route{prefix(destination), addr(gateway), addr(source), 100, ProtocolDHCP}
		return Change{Kind: SetRoute, Index: 2, Route: r}
	}
	p4, p6 := prefix("10.0.0.2/30"), prefix("2001:db8::7/128")
	for _, c := range []struct {
		to   *Config
		want []Change
	}{
		{v4, []Change{
			{Kind: SetMTU, Index: 2, MTU: 1400},
			setAddress(IfAddr{p4, addr("10.0.0.3"), time.Hour, time.Hour, 0}),
			setRoute("192.0.2.1/32", "", "10.0.0.2"),
			setRoute("0.0.0.0/0", "192.0.2.1", "10.0.0.2"),
		}},
		{v6, []Change{
			setAddress(IfAddr{p6, addr(""), time.Hour, time.Minute, 0}),
			setRoute("2001:db8::/64", "", ""),
		}},
		{v6expired, []Change{setAddress(IfAddr{p6, addr(""), time.Hour, time.Hour, 0})}},
	} {
		if got := Changes(nil, c.to); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Changes(nil, %v) =\n%+v, want\n%+v", c.to.Address, got, c.want)
		}
	}
}
