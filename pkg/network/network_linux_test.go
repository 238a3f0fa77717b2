package network

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/loop"
)

// mtu1400 adds the MTU 1400 to a lease.
var mtu1400 = dhcpv4.WithOption(
	dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{1400 >> 8, 1400 & 0xff}))

// lost begins the warning about a lost lease.
const lost = "eth0: the address lease is lost"

// TestLeaseInNamespace has a lease that is acquired, renewed with changes, lost when the server
// does not answer, and acquired again.
func TestLeaseInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		h.seconds = 4
		h.more = []dhcpv4.Modifier{
			mtu1400, dhcpv4.WithOption(dhcpv4.OptHostName("leased")),
			dhcpv4.WithDomainSearchList("a.example", "b.example"),
		}
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true, Hostname: "box"}, h).start()
		if !isUp(t, "eth0") {
			t.Error("the interface is not up")
		}
		if r.n.Settled() {
			t.Error("Settled() before an answer = true, want false")
		}
		r.until("settled", r.n.Settled)
		if got := h.last(dhcpv4.MessageTypeRequest).HostName(); got != "box" {
			t.Errorf("the server was told the name %q, want box", got)
		}
		want(t, "addresses", addresses4(t, "eth0"), "10.0.2.15/24")
		want(t, "routes", routes(t, "eth0"), "0.0.0.0/0 via 10.0.2.2 src 10.0.2.15 metric 0")
		want(t, "resolv.conf", resolvConf(t), "search a.example b.example", "nameserver 10.0.2.3")
		want(t, "host name", r.hostname, "leased")
		if mtu := link(t, "eth0").Attrs().MTU; mtu != 1400 {
			t.Errorf("MTU = %d, want 1400", mtu)
		}
		i := r.n.Interfaces()[0]
		s := i.Status()
		if s.Name != "eth0" || !s.Carrier || s.MTU != 1400 || s.Refused || s.Failed ||
			s.Lease == nil || s.Lease.Address.String() != "10.0.2.15/24" {
			t.Errorf("Status() = %+v", s)
		}
		isAck := func(line string) bool {
			return strings.HasPrefix(line, "eth0 received from 10.0.2.2: ACK ")
		}
		const discover = "eth0 sent to 255.255.255.255: DISCOVER "
		if len(r.lines) < 4 || !strings.HasPrefix(r.lines[0], discover) ||
			!slices.ContainsFunc(r.lines, isAck) {
			t.Errorf("trace %q, want a line for each message", r.lines)
		}

		// At T1 the server itself is asked. The socket is closed until then.
		if _, err := r.loop.Step(-1, 0); err != nil || i.v4.socket != nil {
			t.Errorf("after a step, %v, the socket is open while the client waits for T1", err)
		}
		sent := len(h.seen)
		h.dns = "10.0.2.4"
		r.until("renewed", func() bool { return hasServer(t, "10.0.2.4") })
		m := h.last(dhcpv4.MessageTypeRequest)
		if len(h.seen) != sent+1 || m.ClientIPAddr.String() != "10.0.2.15" ||
			h.source != addr("10.0.2.15") {
			t.Errorf("the lease was renewed by %v from %v", m, h.source)
		}
		want(t, "host name after the renewal", r.hostname, "leased")

		// The server does not answer any more, and the lease expires.
		h.silent = true
		r.until("lost", func() bool { return !r.n.Settled() })
		want(t, "addresses without a lease", addresses4(t, "eth0"))
		want(t, "routes without a lease", routes(t, "eth0"))
		want(t, "resolv.conf without a lease", resolvConf(t), imageResolvConf)
		if mtu := link(t, "eth0").Attrs().MTU; mtu != 1500 {
			t.Errorf("MTU without a lease = %d, want 1500", mtu)
		}
		r.wantWarnings(lost)
		if s := i.Status(); s.Lease != nil || s.MTU != 1500 {
			t.Errorf("Status() without a lease = %+v", s)
		}

		// The server answers again, with another address.
		h.silent, h.address, h.more = false, "10.0.2.16", nil
		r.untilLeased("eth0", "10.0.2.16/24", "10.0.2.4")
		again := func(m *dhcpv4.DHCPv4) bool {
			return m.RequestedIPAddress().String() == "10.0.2.15"
		}
		if got := h.seen[sent+1:]; !slices.ContainsFunc(got, again) {
			t.Errorf("the client did not ask for the old address: %v", got)
		}
		r.wantWarnings()
	})
}

// TestResolvConfIsWrittenOnceInNamespace checks that resolv.conf is not written if it does not
// change.
func TestResolvConfIsWrittenOnceInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		h.seconds = 2
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true}, h).start()
		r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")
		i := r.n.Interfaces()[0]
		written := func() (unix.Timespec, uint64) {
			var st unix.Stat_t
			if err := unix.Stat("/etc/resolv.conf", &st); err != nil {
				t.Fatal(err)
			}
			return st.Mtim, st.Ino
		}
		before, inode := written()
		for range 2 {
			acquired := i.v4.acquired
			r.until("renewed", func() bool { return i.v4.acquired != acquired })
		}
		if after, now := written(); after != before || now != inode {
			t.Errorf("resolv.conf is inode %d, written at %v, and after renewals %d, %v",
				inode, before, now, after)
		}
	})
}

// TestRefusalInNamespace has a server that refuses what it offered. The client asks again, with
// growing pauses.
func TestRefusalInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		h.nak = true
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true}, h).start()
		i := r.n.Interfaces()[0]
		r.until("refused three times", func() bool {
			return len(h.seen) >= 6 && i.v4.client.State() == dhcp4.Init
		})
		if _, wait := r.n.Poll(nil); wait <= 0 || i.v4.socket != nil {
			t.Errorf("Poll() in the pause = %v, with the socket %v, want a wait and no socket",
				wait, i.v4.socket)
		}
		if s := i.Status(); r.n.Settled() || s.Lease != nil || !s.Refused {
			t.Errorf("after a refusal, settled: %v, %+v", r.n.Settled(), s)
		}
		h.nak = false
		r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")
		if i.Status().Refused {
			t.Error("Refused with a lease = true, want false")
		}
		r.wantWarnings()
	})
}

// TestCarrierInNamespace plugs the cable in late, out, into the same network, and into another one.
func TestCarrierInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		h.plug(false)
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true}, h).start()
		if !r.n.Settled() || r.n.Interfaces()[0].Status().Carrier {
			t.Error("Settled() without a carrier = false, want true")
		}
		if _, err := r.loop.Step(-1, 0); err != nil {
			t.Fatal(err)
		}
		h.plug(true)
		r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")

		// A short interruption keeps the address and the connections. In the same network, the
		// lease stays valid.
		r.unplug(h)
		want(t, "addresses without a carrier", addresses4(t, "eth0"), "10.0.2.15/24")
		h.dns, h.silent = "10.0.2.4", true
		sent := len(h.seen)
		h.plug(true)
		// The first messages may be lost.
		r.until("asked three times", func() bool { return len(h.seen) == sent+3 })
		h.silent = false
		r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.4")
		m := h.last(dhcpv4.MessageTypeRequest)
		if m.ClientIPAddr.String() != "10.0.2.15" || m.Options.Has(dhcpv4.OptionServerIdentifier) {
			t.Errorf("with a carrier again the client sent %v, want REQUESTs as in REBINDING",
				h.seen[sent:])
		}
		r.wantWarnings()
		// In another network, the lease is refused.
		r.unplug(h)
		h.nak = true
		h.plug(true)
		r.until("refused", func() bool { return len(addresses4(t, "eth0")) == 0 })
		want(t, "resolv.conf", resolvConf(t), imageResolvConf)
		r.wantWarnings(lost)
		h.nak, h.address = false, "10.0.2.99"
		r.untilLeased("eth0", "10.0.2.99/24", "10.0.2.4")
		// The hardware address changes, too.
		r.unplug(h)
		h.mac = net.HardwareAddr{2, 0, 0, 0, 0, 9}
		if err := netlink.LinkSetHardwareAddr(link(t, "eth0"), h.mac); err != nil {
			t.Fatal(err)
		}
		h.address = "10.0.2.100"
		h.plug(true)
		r.untilLeased("eth0", "10.0.2.100/24", "10.0.2.4")
		if m := h.last(dhcpv4.MessageTypeRequest); m.ClientHWAddr.String() != h.mac.String() {
			t.Errorf("the lease is for %v, want %v", m.ClientHWAddr, h.mac)
		}
		r.wantWarnings(lost)
	})
}

// TestInterfaceComesAndGoesInNamespace has an interface that appears late, disappears, appears
// again and is renamed.
func TestInterfaceComesAndGoesInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true}).start()
		if !r.n.Settled() || r.n.Interfaces()[0].Status().Carrier {
			t.Errorf("without the interface: settled: %v, %+v, want settled",
				r.n.Settled(), r.n.Interfaces()[0].Status())
		}
		come := func() *host {
			t.Helper()
			h := newHost(t, "eth0", 2)
			r.loop.Tasks = []loop.Task{r.n, h}
			r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")
			return h
		}
		forgotten := func() bool { return r.n.Interfaces()[0].Status().Lease == nil }
		come()
		if err := netlink.LinkDel(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		r.loop.Tasks = []loop.Task{r.n}
		r.until("forgotten", forgotten)
		want(t, "resolv.conf", resolvConf(t), imageResolvConf)
		r.wantWarnings(lost)

		h := come()
		rename := func(from, to string) {
			t.Helper()
			l := link(t, from)
			err := errors.Join(
				netlink.LinkSetDown(l), netlink.LinkSetName(l, to), netlink.LinkSetUp(l))
			if err != nil {
				t.Fatal(err)
			}
		}
		rename("eth0", "net0")
		r.until("forgotten", forgotten)
		want(t, "addresses under another name", addresses4(t, "net0"))
		want(t, "routes under another name", routes(t, "net0"))
		want(t, "resolv.conf", resolvConf(t), imageResolvConf)
		r.wantWarnings(lost)
		h.address = "10.0.2.16"
		rename("net0", "eth0")
		r.untilLeased("eth0", "10.0.2.16/24", "10.0.2.3")
		r.wantWarnings()
	})
}

// TestSetDownInNamespace sets the interface down, which the Network does not undo. When it is up
// again, the routes are restored.
func TestSetDownInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true}, h).start()
		r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")
		if err := netlink.LinkSetDown(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		r.until("noticed", func() bool { return !r.n.Interfaces()[0].Status().Carrier })
		if isUp(t, "eth0") {
			t.Error("the Network set the interface up")
		}
		if err := netlink.LinkSetUp(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		want(t, "routes after it was down", routes(t, "eth0"))
		r.until("routes", func() bool { return len(routes(t, "eth0")) == 1 })
		r.wantWarnings()
	})
}

// TestOfferOnlyInNamespace checks that OfferOnly changes nothing.
func TestOfferOnlyInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		cfg := Config{Interfaces: []string{"eth0"}, IPv4: true, IPv6: true, OfferOnly: true}
		err := newRig(t, cfg).n.Start()
		if err == nil || !strings.Contains(err.Error(), "eth0: the interface is down") {
			t.Errorf("Start() with the interface down = %v, want an error", err)
		}
		if isUp(t, "eth0") {
			t.Error("Start() set the interface up")
		}
		missing := newRig(t, Config{Interfaces: []string{"eth1"}, OfferOnly: true})
		if err := missing.n.Start(); !errors.Is(err, unix.ENODEV) {
			t.Errorf("Start() without the interface = %v, want ENODEV", err)
		}
		if err := netlink.LinkSetUp(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, cfg, h).start()
		r.until("offered", r.n.Settled)
		h.router = func() { h.advertise(managed, rdnss(60, "fd00::1")) }
		i := r.n.Interfaces()[0]
		r.until("DHCPv6 offer", func() bool { return i.Status().Lease6 != nil })
		s := i.Status()
		if s.Lease == nil || s.Lease.Address.String() != "10.0.2.15/24" || len(s.DNS) != 1 ||
			len(s.Lease6.Addresses) != 1 {
			t.Errorf("Status() = %+v, want offers", s)
		}
		if m := h.last(dhcpv4.MessageTypeDiscover); m.Options.Has(dhcpv4.OptionRapidCommit) {
			t.Error("the DISCOVER has Rapid Commit")
		}
		want(t, "DHCPv6 messages", h.kinds(), "SOLICIT")
		want(t, "addresses", addresses4(t, "eth0"))
		want(t, "resolv.conf", resolvConf(t), imageResolvConf)
		if hasIPv6(t, "fd00::15/128") {
			t.Error("the offered IPv6 address is configured")
		}
		r.wantWarnings()
	})
}

// TestTwoInterfacesInNamespace has two interfaces with a lease each. The default route of the first
// one is preferred. An interface that is named twice counts once.
func TestTwoInterfacesInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		a, b := newHost(t, "eth0", 2), newHost(t, "eth1", 3)
		b.seconds = 2
		names := []string{"eth0", "eth1", "eth0"}
		r := newRig(t, Config{Interfaces: names, IPv4: true}, a, b).start()
		r.until("settled", r.n.Settled)
		want(t, "routes", append(routes(t, "eth0"), routes(t, "eth1")...),
			"0.0.0.0/0 via 10.0.2.2 src 10.0.2.15 metric 0",
			"0.0.0.0/0 via 10.0.3.2 src 10.0.3.15 metric 100")
		want(t, "resolv.conf", resolvConf(t), "nameserver 10.0.2.3", "nameserver 10.0.3.3")
		b.silent = true
		r.until("lost", func() bool { return !r.n.Settled() })
		want(t, "addresses", addresses4(t, "eth1"))
		want(t, "routes of the other interface", routes(t, "eth0"),
			"0.0.0.0/0 via 10.0.2.2 src 10.0.2.15 metric 0")
		want(t, "resolv.conf", resolvConf(t), "nameserver 10.0.2.3")
		r.wantWarnings("eth1: the address lease is lost")
	})
}

// TestAllInterfacesInNamespace names no interfaces: all Ethernet interfaces are used, except those
// without address resolution, such as that of TSI.
func TestAllInterfacesInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		if err := netlink.LinkSetARPOff(h.peer); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, Config{IPv4: true}, h).start()
		var names []string
		for _, i := range r.n.Interfaces() {
			names = append(names, i.Name)
		}
		want(t, "interfaces", names, "eth0")
		r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")
	})
}

// TestApplyFailsInNamespace has a lease that can't be applied completely, which is a warning. The
// next answer repairs it.
func TestApplyFailsInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true}, h)
		i := func() *Interface { return r.n.Interfaces()[0] }
		first := true
		r.n.cfg.Trace = func(line string) {
			if first && strings.Contains(line, "ACK") {
				first = false
				if err := netlink.LinkSetDown(link(t, "eth0")); err != nil {
					t.Error(err)
				}
			}
		}
		r.start()
		r.until("settled", r.n.Settled)
		if s := i().Status(); !s.Failed || s.Lease == nil {
			t.Errorf("Status() = %+v, want a lease that failed", s)
		}
		r.wantWarnings("configure eth0: set route 0.0.0.0/0 via 10.0.2.2: network is ")
		want(t, "resolv.conf", resolvConf(t), "nameserver 10.0.2.3")
		r.until("noticed", func() bool { return !i().Status().Carrier })
		if err := netlink.LinkSetUp(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		r.until("repaired", func() bool { return !i().Status().Failed })
		want(t, "addresses", addresses4(t, "eth0"), "10.0.2.15/24")
		want(t, "routes", routes(t, "eth0"), "0.0.0.0/0 via 10.0.2.2 src 10.0.2.15 metric 0")
		r.wantWarnings()
	})
}

// TestHostileNamesInNamespace has names that no interface can have, which do not keep another
// interface from its lease, and an invalid host name, which is not sent.
func TestHostileNamesInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		names := []string{
			"", ".", "..", "../all", "a/b", "a:b", "a b", "a\nb", "eth0\x00",
			strings.Repeat("x", 16),
		}
		cfg := Config{Interfaces: append(names, "eth0"), IPv4: true, IPv6: true, Hostname: "a\nb"}
		r := newRig(t, cfg, h)
		err := r.n.Start()
		if err == nil || strings.Count(err.Error(), "not a name") != len(names) ||
			len(r.n.Interfaces()) != 1 {
			t.Errorf("Start() = %v with %d interfaces, want an error for each invalid name",
				err, len(r.n.Interfaces()))
		}
		r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")
		if got := h.last(dhcpv4.MessageTypeRequest); got.Options.Has(dhcpv4.OptionHostName) {
			t.Errorf("the client sent the host name %q", got.HostName())
		}
		if got, err := parseHandover(r.n.Handover()); err != nil || len(got.Interfaces) != 1 {
			t.Errorf("parseHandover(Handover()) = %+v, %v", got, err)
		}
		r.wantWarnings()
	})
}

// TestNotEthernetInNamespace has an interface without an Ethernet address, which DHCP needs.
func TestNotEthernetInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		tun := &netlink.Tuntap{Mode: netlink.TUNTAP_MODE_TUN, Queues: 1}
		tun.Name = "tun0"
		if err := netlink.LinkAdd(tun); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, Config{Interfaces: []string{"tun0"}, IPv4: true})
		if err := r.n.Start(); !errors.Is(err, unix.EAFNOSUPPORT) || !r.n.Settled() {
			t.Errorf("Start() = %v, settled: %v, want EAFNOSUPPORT and settled", err, r.n.Settled())
		}
	})
}

// TestHandoverInNamespace has another process that takes over the lease, renews it, and undoes it
// when it is lost.
func TestHandoverInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		a, b := newHost(t, "eth0", 2), newHost(t, "eth1", 3)
		a.seconds = 4
		a.more = []dhcpv4.Modifier{mtu1400}
		b.silent = true
		names := []string{"eth0", "eth1", "eth2"}
		first := newRig(t, Config{Interfaces: names, IPv4: true, Hostname: "box"}, a, b).start()
		first.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")
		handover := first.n.Handover()
		first.n.Close()

		r := newRig(t, Config{IPv4: true}, a, b)
		if err := r.n.Resume(handover); err != nil {
			t.Fatal(err)
		}
		i := r.n.Interfaces()[0]
		s := i.Status()
		if s.Lease == nil || s.Lease.Address.String() != "10.0.2.15/24" || s.MTU != 1400 {
			t.Errorf("Status() = %+v, want the lease", s)
		}
		b.silent = false
		r.untilLeased("eth1", "10.0.3.15/24", "10.0.3.3")
		want(t, "routes", routes(t, "eth1"), "0.0.0.0/0 via 10.0.3.2 src 10.0.3.15 metric 100")
		if got := b.last(dhcpv4.MessageTypeRequest).HostName(); got != "box" {
			t.Errorf("the second process sent the host name %q, want box", got)
		}
		a.dns = "10.0.2.4"
		r.until("renewed", func() bool { return hasServer(t, "10.0.2.4") })
		a.silent = true
		r.until("lost", func() bool { return i.Status().Lease == nil })
		want(t, "addresses", addresses4(t, "eth0"))
		want(t, "resolv.conf", resolvConf(t), "nameserver 10.0.3.3")
		if mtu := link(t, "eth0").Attrs().MTU; mtu != 1500 {
			t.Errorf("MTU = %d, want 1500", mtu)
		}
		r.wantWarnings(lost)
	})
}

// TestLateHandoverInNamespace takes over after the lease has expired, the cable is out, or the
// interface has disappeared.
func TestLateHandoverInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		a, b, c := newHost(t, "eth0", 2), newHost(t, "eth1", 3), newHost(t, "eth2", 4)
		a.more = []dhcpv4.Modifier{mtu1400}
		names := []string{"eth0", "eth1", "eth2"}
		first := newRig(t, Config{Interfaces: names, IPv4: true}, a, b, c).start()
		first.until("settled", first.n.Settled)
		first.n.interfaces[0].v4.acquired -= 2 * time.Hour
		handover := first.n.Handover()
		first.n.Close()
		err := errors.Join(netlink.LinkDel(link(t, "eth2")), netlink.LinkSetDown(b.peer))
		if err != nil {
			t.Fatal(err)
		}
		a.silent, b.silent = true, true

		r := newRig(t, Config{IPv4: true}, a, b)
		if err := r.n.Resume(handover); err == nil || !strings.Contains(err.Error(), lost) {
			t.Errorf("Resume() = %v, want the lost lease", err)
		}
		want(t, "addresses", addresses4(t, "eth0"))
		if mtu := link(t, "eth0").Attrs().MTU; mtu != 1500 {
			t.Errorf("MTU = %d, want 1500", mtu)
		}
		a.silent = false
		r.until("a new lease", func() bool {
			return slices.Equal(addresses4(t, "eth0"), []string{"10.0.2.15/24"})
		})
		// While the client asks whether the lease of eth1 is still valid, its configuration stays.
		asked := len(b.seen)
		b.plug(true)
		r.until("asked", func() bool { return len(b.seen) > asked })
		r.unplug(a)
		a.dns = "10.0.2.4"
		a.plug(true)
		r.until("written", func() bool { return hasServer(t, "10.0.2.4") })
		servers := []string{"nameserver 10.0.2.4", "nameserver 10.0.3.3"}
		want(t, "resolv.conf", resolvConf(t), servers...)
		want(t, "addresses", addresses4(t, "eth1"), "10.0.3.15/24")
		newHost(t, "eth2", 4)
		r.until("eth2 is up", func() bool { return isUp(t, "eth2") })
		r.wantWarnings()
	})
}

// TestReleaseInNamespace releases the lease of another process.
func TestReleaseInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		h.seconds = 4
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true}, h)
		if _, err := release(h, time.Second); !errors.Is(err, unix.EADDRNOTAVAIL) {
			t.Errorf("Release without a lease = %v, want EADDRNOTAVAIL", err)
		}
		r.start()
		r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")

		h.silent = true
		if _, err := release(h, 50*time.Millisecond); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("Release without an answer = %v, want ErrNoAnswer", err)
		}
		h.silent, h.address = false, "10.0.2.77"
		_, err := release(h, 10*time.Second)
		if err == nil || !strings.Contains(err.Error(), "it offers 10.0.2.77/24") {
			t.Errorf("Release at another server = %v, want an error with its offer", err)
		}
		want(t, "addresses", addresses4(t, "eth0"), "10.0.2.15/24")
		want(t, "resolv.conf", resolvConf(t), "nameserver 10.0.2.3")

		h.address = "10.0.2.15"
		released, err := release(h, 10*time.Second)
		if released.String() != "10.0.2.15/24" || err != nil {
			t.Errorf("Release() = %v, %v, want 10.0.2.15/24", released, err)
		}
		r.until("the server has the message", func() bool {
			return h.seen[len(h.seen)-1].MessageType() == dhcpv4.MessageTypeRelease
		})
		m := h.last(dhcpv4.MessageTypeRelease)
		if m.ClientIPAddr.String() != "10.0.2.15" || m.ServerIdentifier().String() != "10.0.2.2" ||
			h.source != addr("10.0.2.15") {
			t.Errorf("from %v: %v", h.source, m)
		}
		want(t, "addresses", addresses4(t, "eth0"))
		want(t, "routes", routes(t, "eth0"))
		want(t, "resolv.conf", resolvConf(t), imageResolvConf)

		// The process that keeps the lease renews it at T1, which restores everything.
		r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")
	})
}

// release releases the lease of eth0. Release has a loop of its own, so the host runs in a
// goroutine.
func release(h *host, limit time.Duration) (netip.Prefix, error) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		l := loop.Loop{Tasks: []loop.Task{h}}
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = l.Step(-1, 10*time.Millisecond)
			}
		}
	}()
	released, err := Release(Config{Interfaces: []string{"eth0"}, IPv4: true}, limit)
	close(stop)
	<-stopped
	return released, err
}

// TestOperationsInNamespace carries out the operations of a boot.
func TestOperationsInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		h.silent = true
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true}, h)
		if err := (Start{r.n}).Do(); err != nil {
			t.Fatal(err)
		}
		const limit = 150 * time.Millisecond
		began := loop.Now()
		if err := (Wait{Network: r.n, Limit: limit, Loop: &r.loop}).Do(); err != nil {
			t.Fatal(err)
		}
		if took := loop.Now() - began; took < limit || r.n.Settled() {
			t.Errorf("Wait took %v, settled: %v, want %v and no lease", took, r.n.Settled(), limit)
		}
		h.silent = false
		err := (Wait{Network: r.n, Limit: time.Minute, Loop: &r.loop}).Do()
		if err != nil || !r.n.Settled() {
			t.Errorf("Wait = %v, settled: %v, want a lease", err, r.n.Settled())
		}
		want(t, "addresses", addresses4(t, "eth0"), "10.0.2.15/24")

		// Nothing steps the loop between Start and Answer, and Wait handles what has arrived even
		// with a limit of 0.
		h = newHost(t, "eth1", 3)
		r = newRig(t, Config{Interfaces: []string{"eth1"}, IPv4: true})
		if err := (Start{r.n}).Do(); err != nil {
			t.Fatal(err)
		}
		socket := r.n.interfaces[0].v4.socket.FD()
		answer := func() {
			t.Helper()
			untilReadable(t, h.fd)
			h.Run()
			untilReadable(t, socket)
		}
		answer()
		if err := (Answer{r.n}).Do(); err != nil {
			t.Error(err)
		}
		answer()
		h.last(dhcpv4.MessageTypeRequest)
		if err := (Wait{Network: r.n, Limit: 0, Loop: &r.loop}).Do(); err != nil || !r.n.Settled() {
			t.Errorf("Wait after an answer = %v, settled: %v, want a lease", err, r.n.Settled())
		}
	})
}

// untilReadable waits until fd can be read.
func untilReadable(t *testing.T, fd int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if n == 1 {
			return
		}
		if err != unix.EINTR {
			t.Fatalf("poll = %d, %v", n, err)
		}
	}
}

// TestNoInterfacesInNamespace has no interfaces: there is nothing to do and to wait for.
func TestNoInterfacesInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r := newRig(t, Config{IPv4: true, IPv6: true}).start()
		err := (Wait{Network: r.n, Limit: time.Hour, Loop: &r.loop}).Do()
		if err != nil || !r.n.Settled() {
			t.Errorf("Wait = %v, settled: %v", err, r.n.Settled())
		}
		if err := r.n.WaitForAll(&r.loop, time.Hour); err != nil {
			t.Error(err)
		}
		if fds, wait := r.n.Poll(nil); wait != loop.Forever || len(fds) != 1 {
			t.Errorf("Poll() = %v, %v, want the monitor alone", fds, wait)
		}
		r.n.Run()
		if b, err := os.ReadFile("/etc/resolv.conf"); string(b) != imageResolvConf {
			t.Errorf("resolv.conf is %q, %v", b, err)
		}
	})
}
