package network

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"

	"github.com/krunbox/krunbox/pkg/netif"
)

const handed = `{"hostname": "box", "interfaces": [` +
	`{"name": "eth0", "mtu": 1500, "acquiredNs": 1, "ack": "610a62"}]}`

func TestHandover(t *testing.T) {
	n := New(Config{Hostname: "box"})
	n.add("eth0").link = netif.Link{Index: 2, MTU: 1500, Carrier: true}
	n.add("eth1").link = netif.Link{Index: 3, MTU: 9000, Carrier: true}
	n.Interfaces()[0].v4.acquired = 12345
	got, err := parseHandover(n.Handover())
	none := []byte{}
	want := handover{"box", []inherited{{"eth0", 1500, 12345, none}, {"eth1", 9000, 0, none}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseHandover(Handover()) = %+v, %v, want %+v", got, err, want)
	}
	got, err = parseHandover([]byte(handed))
	want = handover{"box", []inherited{{"eth0", 1500, 1, []byte("a\nb")}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseHandover(%s) = %+v, %v, want %+v", handed, got, err, want)
	}
	for _, bad := range []string{
		"", "box", handed[:40], handed + "x", `{"hostname": "box", "interfaces": [{"mtu": 1500}]}`,
		strings.Replace(handed, "eth0", "../x", 1), strings.Replace(handed, "1500", "-1", 1),
		strings.Replace(handed, "1500", "4294967296", 1), strings.Replace(handed, "610a62", "?", 1),
	} {
		if _, err := parseHandover([]byte(bad)); err == nil {
			t.Errorf("parseHandover(%q) = nil, want an error", bad)
		}
	}
	if err := New(Config{}).Resume([]byte("bad")); err == nil {
		t.Error("Resume of a malformed handover = nil, want an error")
	}
}

func FuzzParseHandover(f *testing.F) {
	f.Add([]byte(handed))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHandover(b)
		size := 0
		for _, i := range h.Interfaces {
			size += len(i.Name) + len(i.Ack)
			if !validName(i.Name) {
				t.Errorf("parseHandover(%q): interface %q", b, i.Name)
			}
		}
		if size > len(b) || err != nil && size > 0 {
			t.Errorf("parseHandover(%q) = %+v, %v", b, h, err)
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
