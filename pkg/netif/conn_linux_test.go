package netif

import (
	"cmp"
	"errors"
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
	"github.com/krunbox/krunbox/pkg/inet"
)

// veth makes the pair of links eth0 and peer0, both down, and a connection to the kernel.
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

// setUp sets both ends of a veth up, without IPv6 addresses that come and change by themselves, and returns eth0.
func setUp(t *testing.T, c *Conn) Link {
	t.Helper()
	var link Link
	for _, name := range []string{"peer0", "eth0"} {
		for file, value := range map[string]string{"addr_gen_mode": "1", "accept_ra": "0", "accept_dad": "0"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+file, []byte(value), 0); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if link, err = c.SetUp(name); err != nil {
			t.Fatal(err)
		}
	}
	return link
}

// state is what an interface has, as a library that nobody here wrote reads it.
type state struct {
	Addresses []IfAddr
	Routes    []Route
	MTU       uint32
}

// stateOf returns the state of a link. What Conn reads must be the same.
func stateOf(t *testing.T, c *Conn, name string) (s state) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	s.MTU = uint32(link.Attrs().MTU)
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		s.Addresses = append(s.Addresses, IfAddr{Prefix: prefix(a.IPNet.String()), Broadcast: inet.AddrFrom(a.Broadcast),
			Valid: lifetime(uint32(a.ValidLft)), Preferred: lifetime(uint32(a.PreferedLft)), Flags: uint32(a.Flags)})
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL,
		&netlink.Route{LinkIndex: link.Attrs().Index, Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		route := Route{prefix(r.Dst.String()), inet.AddrFrom(r.Gw), inet.AddrFrom(r.Src), uint32(r.Priority), uint8(r.Protocol)}
		if r.Family == unix.AF_INET && (r.Scope == netlink.SCOPE_LINK) == route.Gateway.IsValid() {
			t.Errorf("route %v has scope %v", route, r.Scope)
		}
		s.Routes = append(s.Routes, route)
	}
	s.sort()

	var own state
	own.MTU = s.MTU
	if own.Addresses, err = c.Addresses(link.Attrs().Index); err != nil {
		t.Error(err)
	}
	if own.Routes, err = c.Routes(link.Attrs().Index); err != nil {
		t.Error(err)
	}
	own.sort()
	for i := range min(len(own.Addresses), len(s.Addresses)) {
		// They have been read at different times.
		a, b := &own.Addresses[i], &s.Addresses[i]
		a.Flags &^= unix.IFA_F_TENTATIVE
		b.Flags &^= unix.IFA_F_TENTATIVE
		if (b.Valid-a.Valid).Abs() <= 2*time.Second && (b.Preferred-a.Preferred).Abs() <= 2*time.Second {
			a.Valid, a.Preferred = b.Valid, b.Preferred
		}
	}
	if !reflect.DeepEqual(own, s) {
		t.Errorf("state of %s =\n%+v, want\n%+v", name, own, s)
	}
	return s
}

func (s *state) sort() {
	slices.SortFunc(s.Addresses, func(a, b IfAddr) int { return cmp.Compare(a.Prefix.String(), b.Prefix.String()) })
	slices.SortFunc(s.Routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.String(), b.String()), cmp.Compare(a.Metric, b.Metric))
	})
}

// sameAs compares states but for lifetimes, which go by.
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

func TestLeaseInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		c := veth(t)
		index := setUp(t, c).Index
		before := stateOf(t, c, "eth0")
		for _, lease := range []struct {
			name   string
			config *Config
			want   state
		}{
			{"slirp", config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2"), state{
				[]IfAddr{{prefix("10.0.2.15/24"), addr("10.0.2.255"), time.Hour, time.Hour, 0}},
				[]Route{
					{prefix("0.0.0.0/0"), addr("10.0.2.2"), addr("10.0.2.15"), 100, ProtocolDHCP},
					{prefix("10.0.2.0/24"), addr(""), addr("10.0.2.15"), 0, unix.RTPROT_KERNEL},
				}, 1500}},
			{"for ever, an odd broadcast address, MTU", config("10.0.2.15/24").with(func(c *Config) {
				c.Broadcast, c.Valid, c.MTU, c.LinkMTU = addr("10.0.2.0"), Forever, 1400, 1500
			}), state{
				[]IfAddr{{prefix("10.0.2.15/24"), addr("10.0.2.0"), Forever, Forever, unix.IFA_F_PERMANENT}},
				[]Route{{prefix("10.0.2.0/24"), addr(""), addr("10.0.2.15"), 0, unix.RTPROT_KERNEL}}, 1400}},
			{"/32, gateway outside", config("10.0.0.2/32", "0.0.0.0/0 via 10.0.0.1", "192.0.2.77/24 via 10.0.0.1").with(func(c *Config) {
				c.Metric = 0
			}), state{
				[]IfAddr{{prefix("10.0.0.2/32"), addr(""), time.Hour, time.Hour, 0}},
				[]Route{
					{prefix("0.0.0.0/0"), addr("10.0.0.1"), addr("10.0.0.2"), 0, ProtocolDHCP},
					{prefix("10.0.0.1/32"), addr(""), addr("10.0.0.2"), 0, ProtocolDHCP},
					{prefix("192.0.2.0/24"), addr("10.0.0.1"), addr("10.0.0.2"), 0, ProtocolDHCP},
				}, 1500}},
			{"IPv6", config("2001:db8::7/128").with(func(c *Config) { c.Preferred = time.Minute }), state{
				[]IfAddr{{prefix("2001:db8::7/128"), addr(""), time.Hour, time.Minute, unix.IFA_F_NOPREFIXROUTE}},
				nil, 1500}},
			{"IPv6 routes", config("2001:db8::7/128", "::/0 via fe80::1", "2001:db8:1::/48 via 2001:db8::1"), state{
				[]IfAddr{{prefix("2001:db8::7/128"), addr(""), time.Hour, time.Hour, unix.IFA_F_NOPREFIXROUTE}},
				[]Route{
					{prefix("2001:db8:1::/48"), addr("2001:db8::1"), addr(""), 100, ProtocolDHCP},
					{prefix("2001:db8::1/128"), addr(""), addr(""), 100, ProtocolDHCP},
					{prefix("::/0"), addr("fe80::1"), addr(""), 100, ProtocolDHCP},
				}, 1500}},
		} {
			lease.config.Index = index
			want := lease.want
			if len(before.Addresses) != 0 {
				t.Fatalf("eth0 has addresses: %+v", before)
			}
			want.Routes = append(want.Routes, before.Routes...)
			want.sort()
			for _, from := range []*Config{nil, lease.config} { // twice
				apply(t, c, from, lease.config)
				got := stateOf(t, c, "eth0")
				if !got.sameAs(want) {
					t.Errorf("%s:\n%+v, want\n%+v", lease.name, got, want)
				}
				for i, a := range got.Addresses {
					b := want.Addresses[i]
					if a.Valid > b.Valid || a.Valid < b.Valid-10*time.Second ||
						a.Preferred > b.Preferred || a.Preferred < b.Preferred-10*time.Second {
						t.Errorf("%s: %v lasts %v, %v, want %v, %v", lease.name, a.Prefix, a.Valid, a.Preferred, b.Valid, b.Preferred)
					}
				}
			}
			for range 2 { // the second time there is nothing to delete
				apply(t, c, lease.config, nil)
				if got := stateOf(t, c, "eth0"); !got.sameAs(before) {
					t.Errorf("%s, lost:\n%+v, want\n%+v", lease.name, got, before)
				}
			}
		}
		// The kernel ends what nobody renews.
		short := config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2")
		short.Index, short.Valid = index, time.Second
		apply(t, c, nil, short)
		for range 100 {
			if stateOf(t, c, "eth0").sameAs(before) {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Errorf("after its time: %+v, want %+v", stateOf(t, c, "eth0"), before)
	})
}

// random returns a configuration from a small world, so that two have much in common.
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
			Destination: prefix(pick("0.0.0.0", "10.0.2.2", "10.0.2.16", "10.9.0.1", "192.0.2.0", "224.0.0.0") + "/" +
				pick("0", "4", "16", "24", "32")),
			Gateway: addr(pick("", "0.0.0.0", "10.0.2.2", "10.0.2.1", "10.0.2.3", "10.0.2.15", "10.0.2.255", "10.9.0.1",
				"192.0.2.1", "127.0.0.1")),
		})
	}
	return c
}

// TestChangesInNamespace: whatever the configuration was, Changes leads to the one that is to be, and from there to none.
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
				t.Errorf("from %+v to %+v:\n%q:\n%+v, want\n%+v", a, b, text(Changes(a, b)), got, want)
			}
			apply(t, c, b, nil)
			if t.Failed() {
				return
			}
		}
	})
}

// elsewhere runs f in another network namespace, to which it moves peer0.
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

// A connection of the workload outlives a renewal that changes all but the address.
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
			config("10.0.2.15/24").with(func(c *Config) { c.Broadcast = addr("10.0.2.0") }),
			config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2").with(func(c *Config) { c.MTU, c.Metric = 1400, 7 }),
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
	nstest.Run(t, func(t *testing.T, dir string) {
		c := veth(t)
		index := setUp(t, c).Index
		address := func(kind Kind, index int, p string) Change {
			return Change{Kind: kind, Index: index, Address: IfAddr{Prefix: prefix(p), Valid: Forever, Preferred: Forever}}
		}
		route := func(destination, gateway string) Change {
			return Change{Kind: SetRoute, Index: index, Route: Route{Destination: prefix(destination), Gateway: addr(gateway)}}
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
		done := slices.ContainsFunc(s.Routes, func(r Route) bool { return r.String() == "192.0.2.0/24 via 10.0.2.2" })
		if len(s.Addresses) != 1 || !done {
			t.Errorf("state after failures in between: %+v", s)
		}

		// All of more than go into one call fail.
		var many []Change
		for i := range 1000 {
			many = append(many, route("10."+strconv.Itoa(i/256)+"."+strconv.Itoa(i%256)+".0/24", "10.99.9.9"))
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

// Lists come in many messages and several buffers.
func TestListsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		c := veth(t)
		index := setUp(t, c).Index
		var changes []Change
		for i := range 200 {
			for _, p := range []string{"10.0." + strconv.Itoa(i) + ".1/24", "2001:db8::" + strconv.Itoa(i) + "/128"} {
				a := IfAddr{Prefix: prefix(p), Valid: Forever, Preferred: Forever}
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
			attrs.Name = "br" + strconv.Itoa(i)
			if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
				t.Fatal(err)
			}
		}
		tun := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun0"}, Mode: netlink.TUNTAP_MODE_TUN}
		if err := netlink.LinkAdd(tun); err != nil {
			t.Fatal(err)
		}
		links, err := c.Links()
		if err != nil {
			t.Fatal(err)
		}
		want, err := netlink.LinkList()
		if err != nil || len(links) != len(want) || len(links) < 33 {
			t.Fatalf("%d links, want %d, %v", len(links), len(want), err)
		}
		for i, w := range want {
			a, l := w.Attrs(), links[i]
			if l.Index != a.Index || l.Name != a.Name || l.MTU != uint32(a.MTU) || l.Flags != a.RawFlags ||
				a.HardwareAddr != nil && !slices.Equal(l.HardwareAddr, a.HardwareAddr) || // the library leaves out zeros
				l.Up != (a.Flags&net.FlagUp != 0) || l.Carrier != (a.RawFlags&unix.IFF_LOWER_UP != 0) {
				t.Errorf("link %+v, want %+v", l, a)
			}
			if one, err := c.Link(a.Name); err != nil || !reflect.DeepEqual(one, l) {
				t.Errorf("Link(%s) = %+v, %v, want %+v", a.Name, one, err, l)
			}
			wantType := map[string]uint16{"lo": unix.ARPHRD_LOOPBACK, "tun0": unix.ARPHRD_NONE}[a.Name]
			if wantType == 0 {
				wantType = unix.ARPHRD_ETHER
			}
			if l.Type != wantType {
				t.Errorf("type of %s = %d, want %d", l.Name, l.Type, wantType)
			}
		}
	})
}

func TestLinkInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		c := open(t)
		monitor, err := OpenMonitor()
		if err != nil {
			t.Fatal(err)
		}
		defer monitor.Close()
		if monitor.Changed() {
			t.Error("Changed() before anything has")
		}
		for _, name := range []string{"eth0", strings.Repeat("x", 15)} {
			if l, err := c.Link(name); !isNoDevice(err, "find interface "+name) || l.Index != 0 {
				t.Errorf("Link(%s) = %+v, %v, want ENODEV", name, l, err)
			}
			if l, err := c.SetUp(name); !isNoDevice(err, "set up interface "+name) || l.Index != 0 {
				t.Errorf("SetUp(%s) = %+v, %v, want ENODEV", name, l, err)
			}
		}
		for _, name := range []string{"", strings.Repeat("x", 16), strings.Repeat("x", 70000)} {
			if l, err := c.Link(name); !errors.Is(err, unix.ENODEV) {
				t.Errorf("Link() of a name of %d bytes = %+v, %v, want ENODEV", len(name), l, err)
			}
			if l, err := c.SetUp(name); !errors.Is(err, unix.ENODEV) {
				t.Errorf("SetUp() of a name of %d bytes = %+v, %v, want ENODEV", len(name), l, err)
			}
		}

		// It appears.
		veth(t)
		awaitChange(t, monitor)
		if l, err := c.Link("eth0"); err != nil || l.Up || l.Carrier || l.MaxMTU != 65535 || l.MTU != 1500 {
			t.Errorf("Link() of a link that is down = %+v, %v", l, err)
		}
		// It is up, but nobody is at the other end.
		if l, err := c.SetUp("eth0"); err != nil || !l.Up || l.Carrier {
			t.Errorf("SetUp() without carrier = %+v, %v, want up", l, err)
		}
		awaitChange(t, monitor)
		lease := config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2")
		l, _ := c.Link("eth0")
		lease.Index = l.Index
		apply(t, c, nil, lease) // works without carrier

		if l, err := c.SetUp("peer0"); err != nil || !l.Carrier {
			t.Errorf("SetUp() = %+v, %v, want carrier", l, err)
		}
		awaitChange(t, monitor)
		if l, err := c.Link("eth0"); err != nil || !l.Up || !l.Carrier {
			t.Errorf("Link() = %+v, %v, want up with carrier", l, err)
		}

		// More notifications than the socket holds are noticed too.
		if err := unix.SetsockoptInt(monitor.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			if err := c.Do(Change{Kind: SetMTU, Index: l.Index, MTU: 1400 + uint32(i)}); err != nil {
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
			t.Errorf("Link() of a link that went away = %v, want ENODEV", err)
		}
		apply(t, c, lease, nil) // what went with it is deleted
	})
}

func isNoDevice(err error, doing string) bool {
	return errors.Is(err, unix.ENODEV) && err.Error() == doing+": no such device"
}

func awaitChange(t *testing.T, m *Monitor) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(m.FD()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 5000); n != 1 || err != nil || !m.Changed() {
		t.Errorf("no change noticed: poll %d, %v", n, err)
	}
}

// Answers that do not come from the kernel, or to something else, are none; and one that does not come is not waited for.
func TestForeignAnswersInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		c := veth(t)
		if _, err := c.Link("eth0"); err != nil { // now c has a port
			t.Fatal(err)
		}
		self, err := unix.Getsockname(c.fd)
		if err != nil {
			t.Fatal(err)
		}
		forger, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(forger)
		for _, forged := range [][]byte{forgery(c.first + 1), {1, 2, 3}, make([]byte, 20000)} {
			if err := unix.Sendto(forger, forged, 0, self); err != nil {
				t.Fatal(err)
			}
		}
		if l, err := c.Link("eth0"); err != nil || l.Name != "eth0" {
			t.Errorf("Link() with forged answers = %+v, %v", l, err)
		}
		// An answer that nobody has read, an error.
		c.reset()
		c.getLink("nosuch0")
		if err := c.send(); err != nil {
			t.Fatal(err)
		}
		if l, err := c.Link("eth0"); err != nil || l.Name != "eth0" {
			t.Errorf("Link() after an answer that was left = %+v, %v", l, err)
		}
		c.reset()
		c.change(Change{Kind: SetMTU, Index: 1, MTU: 65536})
		if err := c.exchange(func(int, message) {}); !errors.Is(err, unix.ETIMEDOUT) {
			t.Errorf("exchange() of a request that is not answered = %v, want ETIMEDOUT", err)
		}
	})
}

func forgery(seq uint32) []byte {
	b := linkAnswer()
	nl.NativeEndian().PutUint32(b[8:], seq)
	return b
}
