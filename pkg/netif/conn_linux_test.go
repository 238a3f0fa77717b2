package netif

import (
	"errors"
	"fmt"
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
			link, err := bringUp(there, "peer0")
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
		link, err := bringUp(c, "eth0")
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
			if err := errors.Join(transfer(client, server), transfer(server, client)); err != nil {
				t.Errorf("after %q: %v", text(changes), err)
			}
		}
	})
}

// TestRenewalAndVPNInNamespace renews a lease while another default route is in the place of the
// lease's, as with a VPN, and when that is gone.
func TestRenewalAndVPNInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		c := veth(t)
		link := setUp(t, c)
		lease := config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2")
		lease.Index, lease.Metric = link.Index, 0
		apply(t, c, nil, lease)
		vpn := Change{Kind: SetRoute, Index: link.Index, Route: Route{Destination: prefix("0.0.0.0/0"), Gateway: addr("10.0.2.99")}}
		gateway := func(want string) {
			t.Helper()
			isDefault := func(r Route) bool { return r.Destination == prefix("0.0.0.0/0") }
			routes := stateOf(t, c, "eth0").Routes
			i := slices.IndexFunc(routes, isDefault)
			if i < 0 || routes[i].Gateway != addr(want) || slices.ContainsFunc(routes[i+1:], isDefault) {
				t.Errorf("routes %v, want one default route, via %s", routes, want)
			}
		}
		for _, want := range []string{"10.0.2.99", "10.0.2.2"} {
			change := vpn
			if want == "10.0.2.2" {
				change.Kind = DeleteRoute
			}
			if err := c.Do(change); err != nil {
				t.Fatal(err)
			}
			if err := c.Do(Changes(lease, lease)...); err != nil {
				t.Errorf("renewal: %v", err)
			}
			gateway(want)
		}
	})
}

// transfer sends a byte from one end of a connection to the other.
func transfer(from, to net.Conn) error {
	if _, err := from.Write([]byte{7}); err != nil {
		return err
	}
	var b [1]byte
	to.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := to.Read(b[:]); err != nil || b[0] != 7 {
		return fmt.Errorf("read %v: %w", b, err)
	}
	return nil
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
			if err := (Up{name}).Do(); !isNoDevice(err, "set up interface "+name) {
				t.Errorf("set %s up: %v, want ENODEV", name, err)
			}
		}
		for _, size := range []int{0, 16, 70000} {
			name := strings.Repeat("x", size)
			if l, err := c.Link(name); !errors.Is(err, unix.ENODEV) {
				t.Errorf("Link() of a name of %d bytes = %+v, %v, want ENODEV", size, l, err)
			}
			if err := (Up{name}).Do(); !errors.Is(err, unix.ENODEV) {
				t.Errorf("set an interface up with a name of %d bytes: %v, want ENODEV", size, err)
			}
		}
	})
}

// bringUp sets an interface up, and returns its state.
func bringUp(c *Conn, name string) (Link, error) {
	if err := (Up{name}).Do(); err != nil {
		return Link{}, err
	}
	return c.Link(name)
}

func isNoDevice(err error, doing string) bool {
	return errors.Is(err, unix.ENODEV) && err.Error() == doing+": no such device"
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
			"Links": func() error { _, err := c.Links(); return err },
		} {
			sendToAll(t, messages)
			if err := request(); err != nil {
				t.Errorf("%s after foreign messages: %v", name, err)
			}
		}
	})
}

// TestUpKeepsFlagsInNamespace sets an interface up that has other flags.
func TestUpKeepsFlagsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		c := veth(t)
		if l, err := bringUp(c, "eth0"); err != nil || !l.Up {
			t.Errorf("Link() = %+v, %v, want up", l, err)
		}
		eth0, err := net.InterfaceByName("eth0")
		if want := net.FlagUp | net.FlagMulticast | net.FlagBroadcast; err != nil || eth0.Flags&want != want {
			t.Errorf("eth0 has flags %v, %v, want %v", eth0.Flags, err, want)
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
