package network

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
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
		wantFirstLease(r, h)

		// At T1 the server itself is asked. The socket is closed until then.
		i := r.n.Interfaces()[0]
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
		r.wantWarnings(lost)
		wantNoLease(r)

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

// wantFirstLease checks the first lease of TestLeaseInNamespace.
func wantFirstLease(r *rig, h *host) {
	t := r.t
	t.Helper()
	if got := h.last(dhcpv4.MessageTypeRequest).HostName(); got != "box" {
		t.Errorf("the client sent the host name %q, want box", got)
	}
	want(t, "addresses", addresses4(t, "eth0"), "10.0.2.15/24")
	want(t, "routes", routes(t, "eth0"), "0.0.0.0/0 via 10.0.2.2 src 10.0.2.15 metric 0")
	want(t, "resolv.conf", resolvConf(t), "search a.example b.example", "nameserver 10.0.2.3")
	want(t, "host name", r.hostname, "leased")
	if mtu := link(t, "eth0").Attrs().MTU; mtu != 1400 {
		t.Errorf("MTU = %d, want 1400", mtu)
	}
	s := r.n.Interfaces()[0].Status()
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
}

// wantNoLease checks that the lease of TestLeaseInNamespace is undone.
func wantNoLease(r *rig) {
	t := r.t
	t.Helper()
	want(t, "addresses without a lease", addresses4(t, "eth0"))
	want(t, "routes without a lease", routes(t, "eth0"))
	want(t, "resolv.conf without a lease", resolvConf(t), imageResolvConf)
	if mtu := link(t, "eth0").Attrs().MTU; mtu != 1500 {
		t.Errorf("MTU without a lease = %d, want 1500", mtu)
	}
	if s := r.n.Interfaces()[0].Status(); s.Lease != nil || s.MTU != 1500 {
		t.Errorf("Status() without a lease = %+v", s)
	}
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
