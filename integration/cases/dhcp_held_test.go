package cases

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/krunbox/krunbox/integration/network"
)

// TestRenewalByServers checks that the guest renews a lease of a few seconds with real DHCP
// servers.
func TestRenewalByServers(t *testing.T) {
	t.Parallel()
	lease := fullLease
	lease.Time = 3 * time.Second
	for name, server := range map[string]network.Server{
		"kea": network.Kea{Lease: lease}, "dhcpd": network.Dhcpd{Lease: lease}, "udhcpd": network.Udhcpd{Lease: lease},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := segment(t, network.SegmentOptions{}, server)
			got := seen(t, onNetwork(t, "amd64", []string{"run=sleep 4"}, s.Network))
			got.wantLease(t, lease)
			acquired, extended := 0, 0
			for _, r := range requests(t, s.Network) {
				switch {
				case r.ClientIPAddr.IsUnspecified():
					acquired++
				case r.from != "192.0.2.77" || r.to != "192.0.2.1" || r.Options.Has(dhcpv4.OptionServerIdentifier) ||
					r.Options.Has(dhcpv4.OptionRequestedIPAddress):
					t.Errorf("malformed renewal from %s to %s: %v", r.from, r.to, r.Summary())
				default:
					extended++
				}
			}
			if acquired < 1 || extended < 2 {
				t.Errorf("%d requests for a lease, %d renewals, want at least 1 and 2",
					acquired, extended)
			}
		})
	}
}

// A sentRequest is a DHCPREQUEST of the guest, with its source and destination addresses.
type sentRequest struct {
	*dhcpv4.DHCPv4
	from, to string
}

func requests(t *testing.T, n *network.Network) (all []sentRequest) {
	t.Helper()
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		if m := p.DHCPv4(); m != nil && p.FromGuest && m.MessageType() == request {
			flow := p.NetworkLayer().NetworkFlow()
			all = append(all, sentRequest{m, flow.Src().String(), flow.Dst().String()})
		}
	}
	return all
}

// TestRefusedExtensions has a server that refuses to renew the first lease. For the second lease it
// ignores the unicast renewal, and refuses the broadcast rebinding. Each time the guest must drop
// its lease and acquire another one.
func TestRefusedExtensions(t *testing.T) {
	t.Parallel()
	first, second, last := net.IPv4(192, 0, 2, 77), net.IPv4(192, 0, 2, 78), net.IPv4(192, 0, 2, 79)
	free := first
	s := segment(t, network.SegmentOptions{})
	if _, err := s.Serve(t.Context(), network.Script(func(p network.Packet) []network.Reply {
		m := message{DHCPv4: p.DHCPv4()}
		if m.DHCPv4 == nil {
			return nil
		}
		toAll := p.NetworkLayer().NetworkFlow().Dst().String() == "255.255.255.255"
		switch held := m.ClientIPAddr; {
		case m.MessageType() == discover:
			return replies(s, grant(m, dhcpv4.WithYourIP(free)))
		case held.IsUnspecified() && m.RequestedIPAddress().Equal(last):
			return replies(s, grant(m, dhcpv4.WithYourIP(last)))
		case held.IsUnspecified():
			return replies(s, grant(m, dhcpv4.WithYourIP(m.RequestedIPAddress()), dhcpv4.WithLeaseTime(4)))
		case held.Equal(first):
			free = second
			return replies(s, nak(m))
		case held.Equal(second) && toAll:
			free = last
			return replies(s, nak(m))
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	to, err := s.Greet(s.Host, "hello\n")
	if err != nil {
		t.Fatal(err)
	}
	cfg := onNetwork(t, "amd64", []string{"until=inet 192.0.2.79/24", "to=" + to.String()}, s.Network)
	text := console(run(t, cfg, 0))
	const lost = "krunbox: warning: network: eth0: the address lease is lost"
	if n := strings.Count(text, lost); n < 2 || n != strings.Count(text, "krunbox: ") {
		t.Errorf("console: %s\nwant two warnings of a lost lease and no others", text)
	}
	extensions := map[string]bool{} // "ADDRESS to SERVER"
	for _, r := range requests(t, s.Network) {
		extensions[r.ClientIPAddr.String()+" to "+r.to] = true
	}
	for _, want := range []string{"192.0.2.77 to 192.0.2.1", "192.0.2.78 to 192.0.2.1", "192.0.2.78 to 255.255.255.255"} {
		if !extensions[want] {
			t.Errorf("REQUESTs: %v, want %s", extensions, want)
		}
	}
	got := stateOn(t, text)
	want := scriptedLease
	want.Address = netip.MustParsePrefix("192.0.2.79/24")
	got.wantLease(t, want)
	if got.Greeting != "hello\n" {
		t.Errorf("the connection returned %q, want a greeting", got.Greeting)
	}
}

// TestCableMoved unplugs the network cable twice. It plugs the cable in again in the same network,
// where the lease is still valid, and then in another network, where the guest must acquire a new
// lease.
func TestCableMoved(t *testing.T) {
	t.Parallel()
	const old, moved = "192.0.2.1/24", "198.51.100.1/24"
	opt := network.SegmentOptions{Hosts: []netip.Prefix{netip.MustParsePrefix(old), netip.MustParsePrefix(moved)}}
	asked := 0
	s := scripted(t, opt, func(s *network.Segment, m message) []network.Reply {
		if m.MessageType() == request && !m.ClientIPAddr.IsUnspecified() {
			if asked++; asked == 1 {
				return replies(s, grant(m, dhcpv4.WithDNS(net.IPv4(192, 0, 2, 54))))
			}
			return replies(s, nak(m))
		}
		if asked == 0 {
			return replies(s, grant(m))
		}
		router := net.IPv4(198, 51, 100, 1)
		return replies(s, grant(m, dhcpv4.WithYourIP(net.IPv4(198, 51, 100, 7)), dhcpv4.WithRouter(router),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(router))))
	})
	to, err := s.Greet(netip.MustParsePrefix(moved).Addr(), "hello\n")
	if err != nil {
		t.Fatal(err)
	}
	cfg := onNetwork(t, "amd64", []string{"run=echo pull it", "until=NO-CARRIER", "run=echo plug it in", "until=nameserver 192.0.2.54",
		"run=echo pull it again", "until=NO-CARRIER", "run=echo plug it in elsewhere", "until=inet 198.51.100.7/24", "until=!192.0.2.77",
		"to=" + to.String()}, s.Network)
	link := func(up bool) func() {
		return func() {
			if err := s.SetLink(up); err != nil {
				t.Error(err)
			}
		}
	}
	cfg.Console = io.MultiWriter(
		when{"pull it", link(false), new(strings.Builder)}, when{"plug it in", link(true), new(strings.Builder)},
		when{"pull it again", link(false), new(strings.Builder)}, when{"plug it in elsewhere", link(true), new(strings.Builder)})
	text := console(run(t, cfg, 0))
	if strings.Count(text, "krunbox: ") != 1 || !strings.Contains(text, "krunbox: warning: network: eth0: the address lease is lost") {
		t.Errorf("console: %s\nwant one warning of the lost lease and no others", text)
	}
	got := stateOn(t, text)
	want := scriptedLease
	want.Address, want.Routers = netip.MustParsePrefix("198.51.100.7/24"), []netip.Addr{to.Addr()}
	got.wantLease(t, want)
	if got.Greeting != "hello\n" {
		t.Errorf("the connection returned %q, want a greeting", got.Greeting)
	}
	questions := 0
	for _, r := range requests(t, s.Network) {
		if !r.ClientIPAddr.IsUnspecified() {
			questions++
			if r.to != "255.255.255.255" {
				t.Errorf("the guest sent the request to verify its lease to %s, want broadcast: %v",
					r.to, r.Summary())
			}
		}
	}
	if questions < 2 {
		t.Errorf("%d requests to verify the lease, want at least 2", questions)
	}
}
