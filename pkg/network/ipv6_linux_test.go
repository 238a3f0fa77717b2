package network

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

// newRig6 starts a Network with IPv6 only on eth0. The router advertises flags and options.
func newRig6(t *testing.T, flags byte, options ...[]byte) (*rig, *host) {
	t.Helper()
	h := newHost(t, "eth0", 2)
	h.router = func() { h.advertise(flags, options...) }
	return newRig(t, Config{Interfaces: []string{"eth0"}, IPv6: true}, h).start(), h
}

// TestAdvertisementsInNamespace has name servers that are advertised, withdrawn and expire. The
// kernel configures addresses and routes.
func TestAdvertisementsInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r, h := newRig6(t, 0, rdnss(60, "fe80::1"), rdnss(60, "fd00::1"), dnssl(60, "router"))
		if !r.n.Settled() {
			t.Error("Settled() without IPv4 = false, want true")
		}
		text := func(lines ...string) func() bool {
			return func() bool { return slices.Equal(resolvConf(t), lines) }
		}
		r.until("name servers",
			text("search router", "nameserver fe80::1%eth0", "nameserver fd00::1"))
		s := r.n.Interfaces()[0].Status()
		if len(s.Routers) != 1 || s.Routers[0] != addr("fe80::1") || len(s.DNS) != 2 ||
			len(s.Search) != 1 || s.Lease6 != nil {
			t.Errorf("Status() = %+v", s)
		}
		r.until("the kernel's address can be used", func() bool {
			all, err := netlink.AddrList(link(t, "eth0"), netlink.FAMILY_V6)
			return err == nil && slices.ContainsFunc(all, func(a netlink.Addr) bool {
				return a.IP.IsGlobalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0
			})
		})
		if h.detected > 0 {
			t.Errorf("the kernel looked for duplicates of the address %d times", h.detected)
		}
		routes, err := netlink.RouteList(link(t, "eth0"), netlink.FAMILY_V6)
		isDefault := func(r netlink.Route) bool {
			return bytes.Equal(r.Gw, addr("fe80::1").AsSlice())
		}
		if err != nil || !slices.ContainsFunc(routes, isDefault) {
			t.Errorf("routes %v, %v, want the default one", routes, err)
		}
		// One server is withdrawn, one expires. An advertisement may get lost on a busy machine.
		repeatedly := func(is func() bool, options ...[]byte) func() bool {
			var sent time.Time
			return func() bool {
				if time.Since(sent) > 5*time.Second {
					sent = time.Now()
					h.advertise(0, options...)
				}
				return is()
			}
		}
		r.until("withdrawn", repeatedly(text("search router", "nameserver fd00::1"), rdnss(0, "fe80::1")))
		r.until("expired", repeatedly(text("search router", "nameserver fd00::2"), rdnss(1, "fd00::1"), rdnss(60, "fd00::2")))
		r.until("none is left", repeatedly(text(imageResolvConf), rdnss(1, "fd00::2")))
		want(t, "DHCPv6 messages", h.kinds())
		r.wantWarnings()
	})
}

// TestIPv6SwitchedOffInNamespace checks that IPv6 stays off where somebody has switched it off, and
// that router advertisements count for nothing where the kernel is told to ignore them.
func TestIPv6SwitchedOffInNamespace(t *testing.T) {
	for name, value := range map[string]string{"disable_ipv6": "1", "accept_ra": "0"} {
		t.Run(name, func(t *testing.T) {
			inNamespaces(t, func(t *testing.T) {
				h := newHost(t, "eth0", 2)
				h.router = func() { h.advertise(managed, rdnss(60, "fd00::1")) }
				r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true, IPv6: true}, h)
				file := "/proc/sys/net/ipv6/conf/eth0/" + name
				if err := os.WriteFile(file, []byte(value), 0); err != nil {
					t.Fatal(err)
				}
				r.start().untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")
				r.until("IPv6 has started", func() bool { return r.n.deferredStarted })
				h.advertise(managed, rdnss(60, "fd00::1"))
				r.unplug(h) // the advertisement has come by then
				if got, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(got)) != value {
					t.Errorf("%s = %q, %v, want %s", name, got, err, value)
				}
				if s := r.n.Interfaces()[0].Status(); len(s.Routers)+len(s.DNS) != 0 {
					t.Errorf("Status() = %+v, want nothing of IPv6", s)
				}
				r.wantWarnings()
			})
		})
	}
}

// TestTentativeAddressInNamespace checks that an address that somebody has set, and whose detection
// of duplicates goes on, stays.
func TestTentativeAddressInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		h.router = func() { h.advertise(0, rdnss(60, "fd00::1")) }
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv6: true}, h)
		if err := netlink.LinkSetUp(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		own, err := netlink.ParseAddr("fd00:1::99/64")
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(link(t, "eth0"), own); err != nil {
			t.Fatal(err)
		}
		r.start().until("name server", func() bool { return hasServer(t, "fd00::1") })
		if !hasIPv6(t, "fd00:1::99/64") {
			t.Error("the address is gone")
		}
	})
}

// TestDHCPv6InNamespace has a router that sets the O flag, for name servers by DHCPv6, and then the
// M flag, for addresses, too. The lease is renewed, changed and lost.
func TestDHCPv6InNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r, h := newRig6(t, other)
		r.until("name server", func() bool { return hasServer(t, "fd00::53") })
		want(t, "resolv.conf", resolvConf(t), "search six.example", "nameserver fd00::53")
		want(t, "DHCPv6 messages", h.kinds(), "INFORMATION-REQUEST")
		h.advertise(other)

		own := func() bool { return hasIPv6(t, "fd00::15/128") }
		h.seen6, h.dns6, h.valid6 = nil, "fd00::54", 3*time.Second
		h.advertise(managed | other)
		r.until("address", own)
		want(t, "resolv.conf", resolvConf(t), "search six.example", "nameserver fd00::54")
		want(t, "DHCPv6 messages", h.kinds(), "SOLICIT", "REQUEST")
		i := r.n.Interfaces()[0]
		if s := i.Status(); s.Lease6 == nil || len(s.Lease6.Addresses) != 1 {
			t.Errorf("Status() = %+v, want a lease", s)
		}
		if _, err := r.loop.Step(-1, 0); err != nil || i.v6.socket != nil {
			t.Errorf("after a step, %v, the socket is open while the client waits for T1", err)
		}
		h.dns6 = "fd00::55"
		r.until("renewed", func() bool { return hasServer(t, "fd00::55") })
		want(t, "DHCPv6 messages", h.kinds(), "SOLICIT", "REQUEST", "RENEW")
		// A renewal with another address removes the old one.
		h.address6 = "fd00::16"
		r.until("another address", func() bool {
			return hasIPv6(t, "fd00::16/128") && !own()
		})
		h.silent6 = true
		r.until("lost", func() bool { return i.v6.client.Lease() == nil })
		want(t, "resolv.conf", resolvConf(t), imageResolvConf)
		if hasIPv6(t, "fd00::16/128") {
			t.Error("the address is left after the lease was lost")
		}
		r.wantWarnings()
	})
}

// hasIPv6 reports whether eth0 has an address.
func hasIPv6(t *testing.T, address string) bool {
	t.Helper()
	return slices.Contains(addresses(t, "eth0", netlink.FAMILY_V6), address)
}

// TestIPv6SetDownInNamespace sets the interface down, which removes all of IPv6, and up again.
func TestIPv6SetDownInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r, h := newRig6(t, managed)
		own := func() bool { return hasIPv6(t, "fd00::15/128") }
		r.until("address", own)
		if err := netlink.LinkSetDown(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		i := r.n.Interfaces()[0]
		r.until("noticed", func() bool { return !i.Status().Carrier && !own() })
		h.dns6 = "fd00::54"
		if err := netlink.LinkSetUp(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		r.until("address again", own)
		want(t, "resolv.conf", resolvConf(t), "search six.example", "nameserver fd00::54")
		r.wantWarnings()
	})
}

// TestIPv6GoesInNamespace deletes the interface, and with it what routers said.
func TestIPv6GoesInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r, _ := newRig6(t, managed, rdnss(60, "fd00::1"))
		r.until("name servers", func() bool { return hasServer(t, "fd00::53") })
		if err := netlink.LinkDel(link(t, "eth0")); err != nil {
			t.Fatal(err)
		}
		r.loop.Tasks = []loop.Task{r.n}
		text := func(line string) func() bool {
			return func() bool { return slices.Equal(resolvConf(t), []string{line}) }
		}
		r.until("none", text(imageResolvConf))
		h := newHost(t, "eth0", 2)
		h.router = func() { h.advertise(0, rdnss(60, "fd00::2")) }
		r.loop.Tasks = []loop.Task{r.n, h}
		r.until("another router's", text("nameserver fd00::2"))
		r.wantWarnings()
	})
}

// TestBothVersionsInNamespace has name servers from DHCP and from a router.
func TestBothVersionsInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		h.router = func() { h.advertise(0, rdnss(60, "fd00::1"), dnssl(60, "router")) }
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true, IPv6: true}, h).start()
		if err := r.n.WaitForAll(&r.loop, time.Minute); err != nil {
			t.Fatal(err)
		}
		want(t, "resolv.conf", resolvConf(t),
			"search router", "nameserver 10.0.2.3", "nameserver fd00::1")
		r.wantWarnings()
	})
}

// TestWaitForAllInNamespace checks that WaitForAll waits for one version of IP only a little longer
// when there is the other.
func TestWaitForAllInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true, IPv6: true}, h).start()
		began := loop.Now()
		const long = 20 * time.Second
		if err := r.n.WaitForAll(&r.loop, long); err != nil {
			t.Fatal(err)
		}
		took := loop.Now() - began
		if took < otherVersionTimeout || took >= long || !r.n.Settled() {
			t.Errorf("WaitForAll took %v, settled: %v, want a lease and %v for routers",
				took, r.n.Settled(), otherVersionTimeout)
		}
		h = newHost(t, "eth1", 3)
		h.silent = true
		r = newRig(t, Config{Interfaces: []string{"eth1"}, IPv4: true, IPv6: true}, h).start()
		const limit = 100 * time.Millisecond
		began = loop.Now()
		if err := r.n.WaitForAll(&r.loop, limit); err != nil {
			t.Fatal(err)
		}
		if took = loop.Now() - began; took < limit || r.n.Settled() {
			t.Errorf("WaitForAll took %v, settled: %v, want %v and no lease",
				took, r.n.Settled(), limit)
		}
	})
}

// TestHostileAdvertisementsInNamespace sends malformed advertisements.
func TestHostileAdvertisementsInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		r, h := newRig6(t, 0, rdnss(60, "fd00::1"))
		r.until("name server", func() bool { return hasServer(t, "fd00::1") })
		for _, options := range [][]byte{
			{25}, {25, 0}, {25, 200, 0, 0},
			{31, 2, 0, 0, 0, 0, 0, 60, 63, 'x', 0, 0, 0, 0, 0, 0},
		} {
			h.advertise(0, options)
		}
		const code = 1 // not 0
		header := []byte{134, code, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}
		b := append(header, rdnss(60, "fd00::bad")...)
		h.write6(allNodes, addr("ff02::1"), unix.IPPROTO_ICMPV6, b, 2)
		h.advertise(0, rdnss(60, "fd00::2"))
		r.until("valid advertisement", func() bool { return hasServer(t, "fd00::2") })
		want(t, "resolv.conf", resolvConf(t), "nameserver fd00::1", "nameserver fd00::2")
		r.wantWarnings()
	})
}
