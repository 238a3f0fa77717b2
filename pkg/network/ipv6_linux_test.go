package network

import (
	"bytes"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

// newRig6 starts a Network with IPv6 alone on eth0, and has its router ask for what flags say.
func newRig6(t *testing.T, flags byte, options ...[]byte) (*rig, *host) {
	t.Helper()
	h := newHost(t, "eth0", 2)
	h.router = func() { h.advertise(flags, options...) }
	return newRig(t, Config{Interfaces: []string{"eth0"}, IPv6: true}, h).start(), h
}

// Name servers of router advertisements come and go; addresses and routes are the kernel's.
func TestAdvertisementsInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r, h := newRig6(t, 0, rdnss(60, "fe80::1"), rdnss(60, "fd00::1"), dnssl(60, "router"))
		if !r.n.Settled() {
			t.Error("IPv4 is waited for, which was not asked for")
		}
		text := func(lines ...string) func() bool {
			return func() bool { return slices.Equal(resolvConf(t), lines) }
		}
		r.until("name servers", text("search router", "nameserver fe80::1%eth0", "nameserver fd00::1"))
		s := r.n.Interfaces()[0].Status()
		if len(s.Routers) != 1 || s.Routers[0] != addr("fe80::1") || len(s.DNS) != 2 || len(s.Search) != 1 || s.Lease6 != nil {
			t.Errorf("Status() = %+v", s)
		}
		r.until("the kernel's address can be used", func() bool {
			all, err := netlink.AddrList(link(t, "eth0"), netlink.FAMILY_V6)
			return err == nil && slices.ContainsFunc(all, func(a netlink.Addr) bool {
				return a.IP.IsGlobalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0
			})
		})
		if h.detected > 0 {
			t.Errorf("the kernel has asked %d times whether somebody else has the address, and waited for that", h.detected)
		}
		routes, err := netlink.RouteList(link(t, "eth0"), netlink.FAMILY_V6)
		if isDefault := func(r netlink.Route) bool { return bytes.Equal(r.Gw, addr("fe80::1").Bytes()) }; err != nil || !slices.ContainsFunc(routes, isDefault) {
			t.Errorf("routes %v, %v, want the default one", routes, err)
		}
		// One is taken back, one expires.
		h.advertise(0, rdnss(0, "fe80::1"))
		r.until("taken back", text("search router", "nameserver fd00::1"))
		h.advertise(0, rdnss(1, "fd00::1"), rdnss(60, "fd00::2"))
		r.until("expired", text("search router", "nameserver fd00::2"))
		h.advertise(0, rdnss(1, "fd00::2"))
		r.until("none is left", text(imageResolvConf))
		want(t, "DHCPv6 messages", h.kinds())
		r.wantWarnings()
	})
}

// The O flag: DHCPv6 for name servers alone. Then the M flag: for addresses, too, which are given back when they expire.
func TestDHCPv6InNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r, h := newRig6(t, other)
		r.until("name server", func() bool { return slices.Contains(resolvConf(t), "nameserver fd00::53") })
		want(t, "resolv.conf", resolvConf(t), "search six.example", "nameserver fd00::53")
		want(t, "DHCPv6 messages", h.kinds(), "INFORMATION-REQUEST")
		h.advertise(other)

		own := func() bool { return slices.Contains(addresses(t, "eth0", netlink.FAMILY_V6), "fd00::15/128") }
		h.seen6, h.dns6, h.valid6 = nil, "fd00::54", 3*time.Second
		h.advertise(managed | other)
		r.until("address", own)
		want(t, "resolv.conf", resolvConf(t), "search six.example", "nameserver fd00::54")
		want(t, "DHCPv6 messages", h.kinds(), "SOLICIT", "REQUEST")
		if s := r.n.Interfaces()[0].Status(); s.Lease6 == nil || len(s.Lease6.Addresses) != 1 || r.n.Interfaces()[0].v6.socket != nil {
			t.Errorf("Status() = %+v, with the socket %v", s, r.n.Interfaces()[0].v6.socket)
		}
		h.dns6 = "fd00::55"
		r.until("renewed", func() bool { return slices.Contains(resolvConf(t), "nameserver fd00::55") })
		want(t, "DHCPv6 messages", h.kinds(), "SOLICIT", "REQUEST", "RENEW")
		// A renewal with another address takes the old one away.
		h.address6 = "fd00::16"
		r.until("another address", func() bool {
			return slices.Contains(addresses(t, "eth0", netlink.FAMILY_V6), "fd00::16/128") && !own()
		})
		h.silent6 = true
		r.until("lost", func() bool { return r.n.Interfaces()[0].v6.client.Lease() == nil })
		want(t, "resolv.conf", resolvConf(t), imageResolvConf)
		if got := addresses(t, "eth0", netlink.FAMILY_V6); slices.Contains(got, "fd00::16/128") {
			t.Errorf("addresses %q, after the lease was lost", got)
		}
		r.wantWarnings()
	})
}

// The interface is set down, and loses all of IPv6 by that. When it is up again, so is IPv6.
func TestIPv6SetDownInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r, h := newRig6(t, managed)
		own := func() bool { return slices.Contains(addresses(t, "eth0", netlink.FAMILY_V6), "fd00::15/128") }
		r.until("address", own)
		if err := netlink.LinkSetDown(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		r.until("noticed", func() bool { return !r.n.Interfaces()[0].Status().Carrier && !own() })
		h.dns6 = "fd00::54"
		if err := netlink.LinkSetUp(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		r.until("address again", own)
		want(t, "resolv.conf", resolvConf(t), "search six.example", "nameserver fd00::54")
		r.wantWarnings()
	})
}

// The interface goes, and with it what is known of routers.
func TestIPv6GoesInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r, _ := newRig6(t, managed, rdnss(60, "fd00::1"))
		r.until("name servers", func() bool { return slices.Contains(resolvConf(t), "nameserver fd00::53") })
		if err := netlink.LinkDel(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		r.loop.Tasks = []loop.Task{r.n}
		r.until("none", func() bool { return slices.Equal(resolvConf(t), []string{imageResolvConf}) })
		h := newHost(t, "eth0", 2)
		h.router = func() { h.advertise(0, rdnss(60, "fd00::2")) }
		r.loop.Tasks = []loop.Task{r.n, h}
		r.until("another router's", func() bool { return slices.Equal(resolvConf(t), []string{"nameserver fd00::2"}) })
		r.wantWarnings()
	})
}

// Servers of both versions are asked, those of each in turn.
func TestBothVersionsInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		h.router = func() { h.advertise(0, rdnss(60, "fd00::1"), dnssl(60, "router")) }
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true, IPv6: true}, h).start()
		if err := r.n.WaitForAll(&r.loop, time.Minute); err != nil {
			t.Fatal(err)
		}
		want(t, "resolv.conf", resolvConf(t), "search router", "nameserver 10.0.2.3", "nameserver fd00::1")
		r.wantWarnings()
	})
}

// When one version of IP is there, the other is waited for a little, and not as long as nothing at all.
func TestWaitForAllInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true, IPv6: true}, h).start()
		began := loop.Now()
		const long = 20 * time.Second
		if err := r.n.WaitForAll(&r.loop, long); err != nil {
			t.Fatal(err)
		}
		if took := loop.Now() - began; took < patience || took >= long || !r.n.Settled() {
			t.Errorf("WaitForAll took %v, settled: %v, want a lease and %v for routers", took, r.n.Settled(), patience)
		}
		h = newHost(t, "eth1", 3)
		h.silent = true
		r = newRig(t, Config{Interfaces: []string{"eth1"}, IPv4: true, IPv6: true}, h).start()
		const limit = 100 * time.Millisecond
		began = loop.Now()
		if err := r.n.WaitForAll(&r.loop, limit); err != nil {
			t.Fatal(err)
		}
		if took := loop.Now() - began; took < limit || r.n.Settled() {
			t.Errorf("WaitForAll took %v, settled: %v, want %v and nothing", took, r.n.Settled(), limit)
		}
	})
}

// A stranger on the link says what no router may say.
func TestHostileAdvertisementsInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r, h := newRig6(t, 0, rdnss(60, "fd00::1"))
		r.until("name server", func() bool { return slices.Contains(resolvConf(t), "nameserver fd00::1") })
		for _, options := range [][]byte{{25}, {25, 0}, {25, 200, 0, 0}, {31, 2, 0, 0, 0, 0, 0, 60, 63, 'x', 0, 0, 0, 0, 0, 0}} {
			h.advertise(0, options)
		}
		b := append([]byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}, rdnss(60, "fd00::bad")...)
		b[1] = 1 // no such code
		h.write6(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, addr("ff02::1"), unix.IPPROTO_ICMPV6, b, 2)
		h.advertise(0, rdnss(60, "fd00::2"))
		r.until("the last one's", func() bool { return slices.Contains(resolvConf(t), "nameserver fd00::2") })
		want(t, "resolv.conf", resolvConf(t), "nameserver fd00::1", "nameserver fd00::2")
		r.wantWarnings()
	})
}
