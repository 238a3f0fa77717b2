package network

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/loop"
)

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
		r.until("the monitor is open", func() bool { return r.n.deferredStarted })
		if fds, wait := r.n.Poll(nil); wait != loop.Forever || len(fds) != 1 {
			t.Errorf("Poll() = %v, %v, want the monitor alone", fds, wait)
		}
		r.n.Run()
		if b, err := os.ReadFile("/etc/resolv.conf"); string(b) != imageResolvConf {
			t.Errorf("resolv.conf is %q, %v", b, err)
		}
	})
}

// TestInterfaceNames checks that names are refused that could lead out of a directory, or that the
// kernel does not accept.
func TestInterfaceNames(t *testing.T) {
	for _, name := range []string{
		"", "../all", "a/b", ".", "..", "a b", "a\xff", strings.Repeat("x", 16),
	} {
		if validName(name) {
			t.Errorf("validName(%q) = true", name)
		}
		n := New(Config{Interfaces: []string{name}, OfferOnly: true, IPv4: true})
		if err := n.Start(); err == nil || !strings.Contains(err.Error(), "not a name") {
			t.Errorf("interface %q: %v, want an error", name, err)
		}
		n.Close()
	}
	for _, name := range []string{"eth0", "enp0s3", "veth-1.2", "é", strings.Repeat("x", 15)} {
		if !validName(name) {
			t.Errorf("validName(%q) = false", name)
		}
	}
}
