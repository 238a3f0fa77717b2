package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// peer returns a namespace that takes the place of a guest: its interface eth0 is connected to the
// segment as QEMU would be.
func peer(t *testing.T, s *Segment) *namespace {
	t.Helper()
	ns, err := newNamespace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.close() })
	var ours *os.File
	err = ns.do(func() (err error) {
		if ours, err = newTap("eth0", unix.IFF_TAP|unix.IFF_NO_PI); err != nil {
			return err
		}
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetHardwareAddr(link, s.MAC); err != nil {
			return err
		}
		_, err = configure("eth0", []netip.Prefix{netip.MustParsePrefix("fe80::77/64")})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	theirs := s.Device.Files[1]
	var copying sync.WaitGroup
	t.Cleanup(func() {
		ours.Close()
		theirs.SetDeadline(time.Unix(1, 0)) // in the past, which ends Read
		copying.Wait()
	})
	copyFrames := func(from, to *os.File) {
		buf := make([]byte, 1<<16)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	copying.Go(func() { copyFrames(ours, theirs) })
	copying.Go(func() { copyFrames(theirs, ours) })
	return ns
}

var lease6 = Lease6{
	Address: netip.MustParseAddr("2001:db8::77"),
	DNS:     []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("2001:db8::54")},
	Search:  []string{"a.example.org", "example.com"},
	Time:    2 * time.Hour,
}

var requested = dhcpv6.WithRequestedOptions(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList)

// TestDHCPv6 checks, for each server, that a client gets a lease, and that another client gets the
// configuration by an Information-request.
func TestDHCPv6(t *testing.T) {
	t.Parallel()
	stateful := Advert{Prefix: advert.Prefix, Managed: true, DNS: lease6.DNS, Search: lease6.Search}
	stateless := Advert{Prefix: advert.Prefix, SLAAC: true, Other: true, DNS: lease6.DNS, Search: lease6.Search}
	lease6Stateless := lease6
	lease6Stateless.Address = netip.Addr{}
	for name, server := range map[string]struct{ stateful, stateless Server }{
		"dnsmasq": {Dnsmasq6{stateful, lease6.Address, lease6.Time}, Dnsmasq6{Advert: stateless}},
		"kea":     {Kea6{lease6}, Kea6{lease6Stateless}},
		"dhcpd":   {Dhcpd6{lease6}, Dhcpd6{lease6Stateless}},
	} {
		t.Run(name+" stateful", func(t *testing.T) {
			t.Parallel()
			client := client6(t, segment(t, server.stateful))
			advertised, err := client.Solicit(t.Context(), requested)
			if err != nil {
				t.Fatal(err)
			}
			reply, err := client.Request(t.Context(), advertised, requested)
			if err != nil {
				t.Fatal(err)
			}
			checkConfiguration6(t, reply)
			na := reply.Options.OneIANA()
			if na == nil || na.Options.OneAddress() == nil {
				t.Fatalf("reply = %v, want an address", reply)
			}
			a := na.Options.OneAddress()
			if a.IPv6Addr.String() != lease6.Address.String() || a.ValidLifetime != lease6.Time {
				t.Errorf("lease = %v for %v, want %v for %v",
					a.IPv6Addr, a.ValidLifetime, lease6.Address, lease6.Time)
			}
		})
		t.Run(name+" stateless", func(t *testing.T) {
			t.Parallel()
			s := segment(t, server.stateless)
			id := dhcpv6.WithClientID(&dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: s.MAC})
			request, err := dhcpv6.NewMessage(id, requested)
			if err != nil {
				t.Fatal(err)
			}
			request.MessageType = dhcpv6.MessageTypeInformationRequest
			reply, err := client6(t, s).SendAndRead(
				t.Context(), nclient6.AllDHCPRelayAgentsAndServers, request, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkConfiguration6(t, reply)
		})
	}
}

func checkConfiguration6(t *testing.T, reply *dhcpv6.Message) {
	t.Helper()
	if got := reply.Options.DNS(); join(got, " ") != join(lease6.DNS, " ") {
		t.Errorf("DNS servers = %v, want %v", got, lease6.DNS)
	}
	got := reply.Options.DomainSearchList()
	if got == nil || fmt.Sprintf("%q", got.Labels) != fmt.Sprintf("%q", lease6.Search) {
		t.Errorf("search list = %q, want %q", got, lease6.Search)
	}
}

// client6 returns a DHCPv6 client that takes the place of the guest on the segment.
func client6(t *testing.T, s *Segment) *nclient6.Client {
	t.Helper()
	var client *nclient6.Client
	err := peer(t, s).do(func() (err error) {
		client, err = nclient6.New("eth0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// TestScript has a Script that sends an offer for another client at once, the client's offer after
// a delay, and a NAK to the request.
func TestScript(t *testing.T) {
	t.Parallel()
	const delay = 100 * time.Millisecond
	s := segment(t)
	_, err := s.Serve(t.Context(), Script(func(p Packet) []Reply {
		request := p.DHCPv4()
		if request == nil {
			return nil
		}
		answer := func(kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) []byte {
			modifiers = append(modifiers,
				dhcpv4.WithMessageType(kind),
				dhcpv4.WithServerIP(s.Host.AsSlice()),
				dhcpv4.WithOption(dhcpv4.OptServerIdentifier(s.Host.AsSlice())))
			m, err := dhcpv4.NewReplyFromRequest(request, modifiers...)
			if err != nil {
				t.Error(err)
				return nil
			}
			return s.Reply(m)
		}
		if request.MessageType() == dhcpv4.MessageTypeRequest {
			return []Reply{{Frame: answer(dhcpv4.MessageTypeNak)}}
		}
		ours := dhcpv4.WithYourIP(lease.Address.Addr().AsSlice())
		theirs := dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4})
		return []Reply{
			{Frame: answer(dhcpv4.MessageTypeOffer, theirs)},
			{Frame: answer(dhcpv4.MessageTypeOffer, ours), After: delay},
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	var client *nclient4.Client
	err = peer(t, s).do(func() (err error) {
		client, err = nclient4.New("eth0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	start := time.Now()
	offer, err := client.DiscoverOffer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < delay {
		t.Errorf("the offer arrived after %v, want at least %v", took, delay)
	}
	if got, want := offer.YourIPAddr.String(), lease.Address.Addr().String(); got != want {
		t.Errorf("offered address = %s, want %s", got, want)
	}
	var nak *nclient4.ErrNak
	if _, err := client.RequestFromOffer(t.Context(), offer); !errors.As(err, &nak) {
		t.Errorf("RequestFromOffer() = %v, want a NAK", err)
	}
}
