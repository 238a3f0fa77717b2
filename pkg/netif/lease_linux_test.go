package netif

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

// veth adds the pair of interfaces eth0 and peer0, which are down, and opens a Conn.
func veth(t *testing.T) *Conn {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "eth0", 1500
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer0"}); err != nil {
		t.Fatal(err)
	}
	return open(t)
}

func open(t *testing.T) *Conn {
	t.Helper()
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// setUp sets both ends of a veth up, without IPv6 addresses of the kernel, and returns eth0.
func setUp(t *testing.T, c *Conn) Link {
	t.Helper()
	var link Link
	for _, name := range []string{"peer0", "eth0"} {
		dir := "/proc/sys/net/ipv6/conf/" + name
		if err := errors.Join(
			os.WriteFile(dir+"/addr_gen_mode", []byte("1"), 0),
			os.WriteFile(dir+"/accept_ra", []byte("0"), 0),
			os.WriteFile(dir+"/accept_dad", []byte("0"), 0),
		); err != nil {
			t.Fatal(err)
		}
		var err error
		if link, err = bringUp(c, name); err != nil {
			t.Fatal(err)
		}
	}
	return link
}

// state is the configuration of an interface.
type state struct {
	Addresses []IfAddr
	Routes    []Route
	MTU       uint32
}

// stateOf returns the state of an interface, and checks that Conn returns the same.
func stateOf(t *testing.T, c *Conn, name string) state {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	want := listedState(t, link)
	got := state{MTU: want.MTU}
	if got.Addresses, err = c.Addresses(link.Attrs().Index); err != nil {
		t.Error(err)
	}
	if got.Routes, err = c.Routes(link.Attrs().Index); err != nil {
		t.Error(err)
	}
	got.sort()
	for i := range min(len(got.Addresses), len(want.Addresses)) {
		// They were read at different times.
		a, b := &got.Addresses[i], &want.Addresses[i]
		a.Flags &^= unix.IFA_F_TENTATIVE
		b.Flags &^= unix.IFA_F_TENTATIVE
		const maxDelay = 2 * time.Second
		if (b.Valid-a.Valid).Abs() <= maxDelay && (b.Preferred-a.Preferred).Abs() <= maxDelay {
			a.Valid, a.Preferred = b.Valid, b.Preferred
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("state of %s =\n%+v, want\n%+v", name, got, want)
	}
	return want
}

// listedState returns the state of an interface as package netlink lists it.
func listedState(t *testing.T, link netlink.Link) (s state) {
	t.Helper()
	s.MTU = uint32(link.Attrs().MTU)
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		s.Addresses = append(s.Addresses, IfAddr{
			Prefix: prefix(a.IPNet.String()), Broadcast: fromIP(a.Broadcast),
			Valid: lifetime(uint32(a.ValidLft)), Preferred: lifetime(uint32(a.PreferedLft)),
			Flags: uint32(a.Flags),
		})
	}
	filter := netlink.Route{
		LinkIndex: link.Attrs().Index, Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST,
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &filter,
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		route := Route{
			prefix(r.Dst.String()), fromIP(r.Gw), fromIP(r.Src),
			uint32(r.Priority), uint8(r.Protocol),
		}
		onLink := r.Scope == netlink.SCOPE_LINK
		if r.Family == unix.AF_INET && onLink == route.Gateway.IsValid() {
			t.Errorf("route %v has scope %v", route, r.Scope)
		}
		s.Routes = append(s.Routes, route)
	}
	s.sort()
	return s
}

func (s *state) sort() {
	slices.SortFunc(s.Addresses, func(a, b IfAddr) int {
		return cmp.Compare(a.Prefix.String(), b.Prefix.String())
	})
	slices.SortFunc(s.Routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.String(), b.String()), cmp.Compare(a.Metric, b.Metric))
	})
}

// sameAs compares states without lifetimes, which change all the time.
func (s state) sameAs(o state) bool {
	for _, list := range []*[]IfAddr{&s.Addresses, &o.Addresses} {
		*list = slices.Clone(*list)
		for i := range *list {
			(*list)[i].Valid, (*list)[i].Preferred = 0, 0
		}
	}
	return reflect.DeepEqual(s, o)
}

func apply(t *testing.T, c *Conn, from, to *Config) {
	t.Helper()
	changes := Changes(from, to)
	if err := c.Do(changes...); err != nil {
		t.Errorf("Do(%q) = %v", text(changes), err)
	}
}

type leaseTest struct {
	name   string
	config *Config
	want   state
}

func leaseTests() []leaseTest {
	const kernel = unix.RTPROT_KERNEL
	unusual := config("10.0.2.15/24").with(broadcast("10.0.2.0")).with(setMTU(1400, 1500))
	unusual.Valid = Infinite
	outside := []string{"0.0.0.0/0 via 10.0.0.1", "192.0.2.77/24 via 10.0.0.1"}
	preferred := config("2001:db8::7/128")
	preferred.Preferred = time.Minute
	routes6 := []string{"::/0 via fe80::1", "2001:db8:1::/48 via 2001:db8::1"}
	const noPrefixRoute = unix.IFA_F_NOPREFIXROUTE
	return []leaseTest{
		{"slirp", config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2"), state{
			[]IfAddr{{prefix("10.0.2.15/24"), addr("10.0.2.255"), time.Hour, time.Hour, 0}},
			[]Route{
				{prefix("0.0.0.0/0"), addr("10.0.2.2"), addr("10.0.2.15"), 100, ProtocolDHCP},
				{prefix("10.0.2.0/24"), addr(""), addr("10.0.2.15"), 0, kernel},
			}, 1500}},
		{"infinite, unusual broadcast address, MTU", unusual, state{
			[]IfAddr{{
				prefix("10.0.2.15/24"), addr("10.0.2.0"), Infinite, Infinite,
				unix.IFA_F_PERMANENT,
			}},
			[]Route{{prefix("10.0.2.0/24"), addr(""), addr("10.0.2.15"), 0, kernel}}, 1400}},
		{"/32, gateway outside", config("10.0.0.2/32", outside...).with(metric(0)), state{
			[]IfAddr{{prefix("10.0.0.2/32"), addr(""), time.Hour, time.Hour, 0}},
			[]Route{
				{prefix("0.0.0.0/0"), addr("10.0.0.1"), addr("10.0.0.2"), 0, ProtocolDHCP},
				{prefix("10.0.0.1/32"), addr(""), addr("10.0.0.2"), 0, ProtocolDHCP},
				{prefix("192.0.2.0/24"), addr("10.0.0.1"), addr("10.0.0.2"), 0, ProtocolDHCP},
			}, 1500}},
		{"IPv6", preferred, state{
			[]IfAddr{{prefix("2001:db8::7/128"), addr(""), time.Hour, time.Minute, noPrefixRoute}},
			nil, 1500}},
		{"IPv6 routes", config("2001:db8::7/128", routes6...), state{
			[]IfAddr{{prefix("2001:db8::7/128"), addr(""), time.Hour, time.Hour, noPrefixRoute}},
			[]Route{
				{prefix("2001:db8:1::/48"), addr("2001:db8::1"), addr(""), 100, ProtocolDHCP},
				{prefix("2001:db8::1/128"), addr(""), addr(""), 100, ProtocolDHCP},
				{prefix("::/0"), addr("fe80::1"), addr(""), 100, ProtocolDHCP},
			}, 1500}},
	}
}

func TestLeaseInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		c := veth(t)
		index := setUp(t, c).Index
		before := stateOf(t, c, "eth0")
		if len(before.Addresses) != 0 {
			t.Fatalf("eth0 has addresses: %+v", before)
		}
		for _, lease := range leaseTests() {
			lease.config.Index = index
			want := lease.want
			want.Routes = append(want.Routes, before.Routes...)
			want.sort()
			for _, from := range []*Config{nil, lease.config} { // twice
				apply(t, c, from, lease.config)
				got := stateOf(t, c, "eth0")
				if !got.sameAs(want) {
					t.Errorf("%s:\n%+v, want\n%+v", lease.name, got, want)
				}
				wantLifetimes(t, lease.name, got, want)
			}
			for range 2 { // the second time there is nothing to delete
				apply(t, c, lease.config, nil)
				if got := stateOf(t, c, "eth0"); !got.sameAs(before) {
					t.Errorf("%s, lost:\n%+v, want\n%+v", lease.name, got, before)
				}
			}
		}
		// The kernel removes an address that is not renewed.
		short := config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2")
		short.Index, short.Valid = index, time.Second
		apply(t, c, nil, short)
		for range 100 {
			if stateOf(t, c, "eth0").sameAs(before) {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Errorf("after the lifetime: %+v, want %+v", stateOf(t, c, "eth0"), before)
	})
}

// wantLifetimes checks that lifetimes are the wanted ones, or up to 10 seconds less.
func wantLifetimes(t *testing.T, name string, got, want state) {
	t.Helper()
	within := func(got, want time.Duration) bool {
		return got <= want && got >= want-10*time.Second
	}
	for i, a := range got.Addresses {
		b := want.Addresses[i]
		if !within(a.Valid, b.Valid) || !within(a.Preferred, b.Preferred) {
			t.Errorf("%s: lifetimes of %v = %v, %v, want %v, %v",
				name, a.Prefix, a.Valid, a.Preferred, b.Valid, b.Preferred)
		}
	}
}

// random returns a random configuration. Two of them often have much in common.
func random(index int) *Config {
	pick := func(list ...string) string { return list[rand.IntN(len(list))] }
	c := config(pick("10.0.2.15", "10.0.2.15", "10.0.2.16", "10.1.2.15") + "/" +
		pick("0", "3", "8", "16", "24", "24", "24", "30", "31", "32"))
	c.Index, c.LinkMTU = index, 1500
	c.Broadcast = addr(pick("", "", "", "10.0.2.255", "10.0.2.0", "255.255.255.255"))
	c.MTU = []uint32{0, 1500, 1400, 1280}[rand.IntN(4)]
	c.Metric = uint32(rand.IntN(2)) * 100
	for range rand.IntN(6) {
		c.Routes = append(c.Routes, Route{
			Destination: prefix(pick("0.0.0.0", "10.0.2.2", "10.0.2.16", "10.9.0.1", "192.0.2.0",
				"224.0.0.0") + "/" + pick("0", "4", "16", "24", "32")),
			Gateway: addr(pick("", "0.0.0.0", "10.0.2.2", "10.0.2.1", "10.0.2.3", "10.0.2.15",
				"10.0.2.255", "10.9.0.1", "192.0.2.1", "127.0.0.1")),
		})
	}
	return c
}

// TestChangesInNamespace checks that Changes leads from any configuration to any other, and from
// there to none.
func TestChangesInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		c := veth(t)
		index := setUp(t, c).Index
		before := stateOf(t, c, "eth0")
		for range 300 {
			a, b := random(index), random(index)
			apply(t, c, nil, b)
			want := stateOf(t, c, "eth0")
			apply(t, c, b, nil)
			if got := stateOf(t, c, "eth0"); !got.sameAs(before) {
				t.Errorf("removal of %+v leaves\n%+v, want\n%+v", b, got, before)
			}
			apply(t, c, nil, a)
			apply(t, c, a, b)
			if got := stateOf(t, c, "eth0"); !got.sameAs(want) {
				t.Errorf("from %+v to %+v:\n%q:\n%+v, want\n%+v",
					a, b, text(Changes(a, b)), got, want)
			}
			apply(t, c, b, nil)
			if t.Failed() {
				return
			}
		}
	})
}
