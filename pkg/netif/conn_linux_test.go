package netif

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
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
		if link, err = c.SetUp(name); err != nil {
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

// elsewhere runs f in a new network namespace, and moves peer0 there first.
func elsewhere(t *testing.T, f func() error) {
	t.Helper()
	peer, err := netlink.LinkByName("peer0")
	if err != nil {
		t.Fatal(err)
	}
	here, err := netlink.NewHandle()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			ns, err := os.Open("/proc/thread-self/ns/net")
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := here.LinkSetNsFd(peer, int(ns.Fd())); err != nil {
				return err
			}
			return f()
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestConnectionSurvivesInNamespace renews a lease in ways that change everything but the address,
// while a TCP connection exists.
func TestConnectionSurvivesInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		c := veth(t)
		var listener net.Listener
		elsewhere(t, func() error {
			there, err := Open()
			if err != nil {
				return err
			}
			defer there.Close()
			link, err := there.SetUp("peer0")
			if err != nil {
				return err
			}
			router := config("10.0.2.2/24", "10.0.0.0/8")
			router.Index = link.Index
			if err := there.Do(Changes(nil, router)...); err != nil {
				return err
			}
			listener, err = net.Listen("tcp4", "10.0.2.2:0")
			return err
		})
		defer listener.Close()
		link, err := c.SetUp("eth0")
		if err != nil {
			t.Fatal(err)
		}
		lease := config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2", "10.9.0.0/16 via 10.0.2.3")
		lease.Index = link.Index
		apply(t, c, nil, lease)
		client, err := net.DialTimeout("tcp4", listener.Addr().String(), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		renewals := []*Config{
			config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2"),
			config("10.0.2.15/16", "0.0.0.0/0 via 10.0.2.2"),
			config("10.0.2.15/32", "0.0.0.0/0 via 10.0.2.2"),
			config("10.0.2.15/24", "10.0.2.2/32"),
			config("10.0.2.15/24").with(broadcast("10.0.2.0")),
			config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2").with(setMTU(1400, 0)).with(metric(7)),
		}
		for _, renewed := range renewals {
			renewed.Index = link.Index
			changes := Changes(lease, renewed)
			apply(t, c, lease, renewed)
			lease = renewed
			for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
				var b [1]byte
				ends[1].SetReadDeadline(time.Now().Add(5 * time.Second))
				if _, err := ends[0].Write([]byte{7}); err != nil {
					t.Errorf("after %q: write: %v", text(changes), err)
				}
				if _, err := ends[1].Read(b[:]); err != nil || b[0] != 7 {
					t.Errorf("after %q: read %v, %v", text(changes), b, err)
				}
			}
		}
	})
}

func TestDoInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		c := veth(t)
		index := setUp(t, c).Index
		address := func(kind Kind, index int, p string) Change {
			a := IfAddr{Prefix: prefix(p), Valid: Infinite, Preferred: Infinite}
			return Change{Kind: kind, Index: index, Address: a}
		}
		route := func(destination, gateway string) Change {
			r := Route{Destination: prefix(destination), Gateway: addr(gateway)}
			return Change{Kind: SetRoute, Index: index, Route: r}
		}
		if err := c.Do(); err != nil {
			t.Errorf("Do() = %v", err)
		}
		err := c.Do(
			address(SetAddress, index, "10.0.2.15/24"),
			route("0.0.0.0/0", "10.9.9.9"),
			Change{Kind: SetMTU, Index: index, MTU: 1 << 20},
			address(DeleteAddress, index, "10.0.2.99/24"),
			route("192.0.2.0/24", "10.0.2.2"),
			address(SetAddress, 9999, "10.0.3.15/24"),
			address(DeleteAddress, 9999, "10.0.3.15/24"),
		)
		const want = "set route 0.0.0.0/0 via 10.9.9.9: network is unreachable\n" +
			"set MTU 1048576: invalid argument\n" +
			"set address 10.0.3.15/24: no such device"
		if err == nil || err.Error() != want || !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("Do() = %v, want %s", err, want)
		}
		s := stateOf(t, c, "eth0")
		done := slices.ContainsFunc(s.Routes, func(r Route) bool {
			return r.String() == "192.0.2.0/24 via 10.0.2.2"
		})
		if len(s.Addresses) != 1 || !done {
			t.Errorf("state after failures in between: %+v", s)
		}

		var many []Change
		for i := range 1000 {
			many = append(many, route(fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), "10.99.9.9"))
		}
		err = c.Do(many...)
		if err == nil || strings.Count(err.Error(), ": network is unreachable") != len(many) {
			t.Errorf("Do() of %d failing changes = %.200v ...", len(many), err)
		}
		if link, err := c.Link("eth0"); err != nil || link.Index != index {
			t.Errorf("Link() after failures = %+v, %v", link, err)
		}
	})
}

// TestListsInNamespace has lists that do not fit into one message of the kernel.
func TestListsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		c := veth(t)
		index := setUp(t, c).Index
		var changes []Change
		for i := range 200 {
			for _, format := range []string{"10.0.%d.1/24", "2001:db8::%d/128"} {
				p := prefix(fmt.Sprintf(format, i))
				a := IfAddr{Prefix: p, Valid: Infinite, Preferred: Infinite}
				changes = append(changes, Change{Kind: SetAddress, Index: index, Address: a})
			}
		}
		if err := c.Do(changes...); err != nil {
			t.Fatal(err)
		}
		if s := stateOf(t, c, "eth0"); len(s.Addresses) != 400 || len(s.Routes) != 200 {
			t.Errorf("%d addresses, %d routes, want 400, 200", len(s.Addresses), len(s.Routes))
		}
		if other := stateOf(t, c, "peer0"); len(other.Addresses) != 0 {
			t.Errorf("addresses of the other link: %v", other.Addresses)
		}

		for i := range 30 {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = fmt.Sprintf("br%d", i)
			if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
				t.Fatal(err)
			}
		}
		tun := &netlink.Tuntap{Mode: netlink.TUNTAP_MODE_TUN}
		tun.Name = "tun0"
		noARP, err := netlink.LinkByName("br7")
		if err = errors.Join(err, netlink.LinkAdd(tun), netlink.LinkSetARPOff(noARP)); err != nil {
			t.Fatal(err)
		}
		links, err := c.Links()
		if err != nil {
			t.Fatal(err)
		}
		want, err := net.Interfaces()
		if err != nil || len(links) != len(want) || len(links) < 33 {
			t.Fatalf("%d links, want %d, %v", len(links), len(want), err)
		}
		notEthernet := []string{"lo", "tun0", "br7"}
		for i, w := range want {
			l := links[i]
			if l.Index != w.Index || l.Name != w.Name || l.MTU != uint32(w.MTU) ||
				!slices.Equal(l.HardwareAddr, w.HardwareAddr) ||
				l.Up != (w.Flags&net.FlagUp != 0) ||
				l.Carrier != (w.Flags&net.FlagRunning != 0) ||
				l.Ethernet == slices.Contains(notEthernet, l.Name) {
				t.Errorf("link %+v, want %+v", l, w)
			}
			if one, err := c.Link(w.Name); err != nil || !reflect.DeepEqual(one, l) {
				t.Errorf("Link(%s) = %+v, %v, want %+v", w.Name, one, err, l)
			}
		}
	})
}

func TestNoLinkInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		c := open(t)
		for _, name := range []string{"eth0", strings.Repeat("x", 15)} {
			if l, err := c.Link(name); !isNoDevice(err, "find interface "+name) || l.Index != 0 {
				t.Errorf("Link(%s) = %+v, %v, want ENODEV", name, l, err)
			}
			if l, err := c.SetUp(name); !isNoDevice(err, "set up interface "+name) || l.Index != 0 {
				t.Errorf("SetUp(%s) = %+v, %v, want ENODEV", name, l, err)
			}
		}
		for _, size := range []int{0, 16, 70000} {
			name := strings.Repeat("x", size)
			if l, err := c.Link(name); !errors.Is(err, unix.ENODEV) {
				t.Errorf("Link() of a name of %d bytes = %+v, %v, want ENODEV", size, l, err)
			}
			if l, err := c.SetUp(name); !errors.Is(err, unix.ENODEV) {
				t.Errorf("SetUp() of a name of %d bytes = %+v, %v, want ENODEV", size, l, err)
			}
		}
		if mtu := c.MaxMTU(9999); mtu != 0 {
			t.Errorf("MaxMTU() without the interface = %d, want 0", mtu)
		}
	})
}

func TestLinkInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		monitor, err := OpenMonitor()
		if err != nil {
			t.Fatal(err)
		}
		defer monitor.Close()
		if monitor.Changed() {
			t.Error("Changed() before a change = true, want false")
		}
		c := veth(t)
		awaitChange(t, monitor)
		l, err := c.Link("eth0")
		if err != nil || l.Up || l.Carrier || l.MTU != 1500 || !l.Ethernet {
			t.Errorf("Link() of an interface that is down = %+v, %v", l, err)
		}
		if mtu := c.MaxMTU(l.Index); mtu != 65535 {
			t.Errorf("MaxMTU() = %d, want 65535", mtu)
		}
		// The other end is down.
		if l, err := c.SetUp("eth0"); err != nil || !l.Up || l.Carrier {
			t.Errorf("SetUp() without carrier = %+v, %v, want up", l, err)
		}
		awaitChange(t, monitor)
		lease := config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2")
		lease.Index = l.Index
		apply(t, c, nil, lease) // works without carrier

		if l, err := c.SetUp("peer0"); err != nil || !l.Carrier {
			t.Errorf("SetUp() = %+v, %v, want carrier", l, err)
		}
		awaitChange(t, monitor)
		if l, err := c.Link("eth0"); err != nil || !l.Up || !l.Carrier {
			t.Errorf("Link() = %+v, %v, want up with carrier", l, err)
		}

		// More notifications than the socket can hold.
		err = unix.SetsockoptInt(monitor.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			mtu := uint32(1400 + i)
			if err := c.Do(Change{Kind: SetMTU, Index: l.Index, MTU: mtu}); err != nil {
				t.Fatal(err)
			}
		}
		if !monitor.Changed() || monitor.Changed() {
			t.Error("Changed() after too many changes: want true, then false")
		}
		peer, err := netlink.LinkByName("peer0")
		if err == nil {
			err = netlink.LinkDel(peer)
		}
		if err != nil {
			t.Fatal(err)
		}
		awaitChange(t, monitor)
		if _, err := c.Link("eth0"); !errors.Is(err, unix.ENODEV) {
			t.Errorf("Link() of a deleted interface = %v, want ENODEV", err)
		}
		apply(t, c, lease, nil) // deletes what disappeared with the interface
	})
}

func isNoDevice(err error, doing string) bool {
	return errors.Is(err, unix.ENODEV) && err.Error() == doing+": no such device"
}

// awaitChange waits until the Monitor is readable, and reads.
func awaitChange(t *testing.T, m *Monitor) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(m.FD()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 5000); n != 1 || err != nil || !m.Changed() {
		t.Errorf("no change was noticed: poll = %d, %v", n, err)
	}
}

// TestForeignMessagesInNamespace sends messages to the socket of a Conn that do not come from the
// kernel. They change nothing.
func TestForeignMessagesInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		c := veth(t)
		forged := nl.NewNetlinkRequest(unix.NLMSG_ERROR, 0)
		forged.AddRawData(nl.Uint32Attr(uint32(0))) // success
		messages := [][]byte{forged.Serialize(), {1, 2, 3}, make([]byte, 20000)}
		for name, request := range map[string]func() error{
			"Link":  func() error { _, err := c.Link("eth0"); return err },
			"SetUp": func() error { _, err := c.SetUp("eth0"); return err },
			"Links": func() error { _, err := c.Links(); return err },
		} {
			sendToAll(t, messages)
			if err := request(); err != nil {
				t.Errorf("%s after foreign messages: %v", name, err)
			}
		}
		if l, err := c.Link("eth0"); err != nil || !l.Up {
			t.Errorf("Link() = %+v, %v, want up", l, err)
		}
	})
}

// sendToAll sends messages to all rtnetlink sockets of the namespace.
func sendToAll(t *testing.T, messages [][]byte) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	list, err := os.ReadFile("/proc/net/netlink")
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		port, err := strconv.ParseUint(fields[2], 10, 32)
		if fields[1] != "0" || err != nil || port == 0 {
			continue // another family, the heading, or the kernel
		}
		to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: uint32(port)}
		for _, m := range messages {
			if err := unix.Sendto(socket, m, 0, to); err != nil {
				t.Fatal(err)
			}
			sent++
		}
	}
	if sent == 0 {
		t.Fatalf("no sockets in %s", list)
	}
}
