package cases

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/network"
)

// Unless a case overrides them, a scripted server grants scriptedAddress and scriptedLease.
var (
	scriptedAddress = net.IPv4(192, 0, 2, 77)
	scriptedLease   = network.Lease{
		Address: netip.MustParsePrefix("192.0.2.77/24"),
		Routers: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		DNS:     []netip.Addr{netip.MustParseAddr("192.0.2.53")},
	}
)

// A message is a DHCP message of the guest.
type message struct {
	*dhcpv4.DHCPv4
	n      int  // how many messages of its type came before
	marked bool // the guest has sent a mark before
}

func (m message) is(kind dhcpv4.MessageType, n int) bool { return m.MessageType() == kind && m.n == n }

// scripted returns a segment whose DHCP server sends the replies that answer returns for each
// message.
func scripted(t *testing.T, opt network.SegmentOptions, answer func(s *network.Segment, m message) []network.Reply) *network.Segment {
	t.Helper()
	s := segment(t, opt)
	counts, marked := map[dhcpv4.MessageType]int{}, false
	if _, err := s.Serve(t.Context(), network.Script(func(p network.Packet) []network.Reply {
		marked = marked || isMark(p)
		m := p.DHCPv4()
		if m == nil {
			return nil
		}
		kind := m.MessageType()
		counts[kind]++
		return answer(s, message{m, counts[kind] - 1, marked})
	})); err != nil {
		t.Fatal(err)
	}
	return s
}

// grant returns a DHCPOFFER for a DHCPDISCOVER, and a DHCPACK for a DHCPREQUEST. The options in
// more override the defaults.
func grant(m message, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	kind := dhcpv4.MessageTypeOffer
	if m.MessageType() == dhcpv4.MessageTypeRequest {
		kind = dhcpv4.MessageTypeAck
	}
	reply, err := dhcpv4.NewReplyFromRequest(m.DHCPv4, append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithYourIP(scriptedAddress),
		dhcpv4.WithServerIP(net.IPv4(192, 0, 2, 1)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1))),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)),
		dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53)),
		dhcpv4.WithLeaseTime(3600),
	}, more...)...)
	if err != nil {
		panic(err) // m is not a DHCP message
	}
	return reply
}

// nak returns a broadcast DHCPNAK. It cannot be unicast, because the address that the guest uses
// may be wrong.
func nak(m message) *dhcpv4.DHCPv4 {
	return grant(m, dhcpv4.WithMessageType(dhcpv4.MessageTypeNak), dhcpv4.WithYourIP(net.IPv4zero), dhcpv4.WithBroadcast(true))
}

func replies(s *network.Segment, messages ...*dhcpv4.DHCPv4) (all []network.Reply) {
	for _, m := range messages {
		all = append(all, network.Reply{Frame: s.Reply(m)})
	}
	return all
}

const (
	discover = dhcpv4.MessageTypeDiscover
	request  = dhcpv4.MessageTypeRequest
)

// worthless returns replies to m that the guest must ignore.
func worthless(s *network.Segment, m message) (all []network.Reply) {
	other := dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 66))
	otherServer := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 2)))
	all = replies(s,
		grant(m, other, dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4})),
		grant(m, other, func(r *dhcpv4.DHCPv4) { r.ClientHWAddr = net.HardwareAddr{2, 0, 0, 0, 0, 9} }),
		grant(m, other, func(r *dhcpv4.DHCPv4) { r.OpCode = dhcpv4.OpcodeBootRequest }),
		grant(m, other, func(r *dhcpv4.DHCPv4) { delete(r.Options, uint8(dhcpv4.OptionServerIdentifier)) }),
		grant(m, other, dhcpv4.WithMessageType(99)),
		grant(m, dhcpv4.WithYourIP(net.IPv4zero)),
		grant(m, dhcpv4.WithYourIP(net.IPv4(224, 0, 0, 1))),
		grant(m, dhcpv4.WithYourIP(net.IPv4(127, 0, 0, 1))),
	)
	if m.MessageType() == discover {
		all = append(all, replies(s, nak(m))...)
	} else {
		all = append(all, replies(s, grant(m, other, otherServer), grant(m, other, dhcpv4.WithLeaseTime(0)),
			grant(m, otherServer, dhcpv4.WithMessageType(dhcpv4.MessageTypeNak)))...)
	}
	// Truncated messages, an option longer than the message, and a wrong magic cookie.
	whole := grant(m, other).ToBytes()
	for _, payload := range [][]byte{whole[:100], whole[:240], append(whole[:240:240], 53, 200, 2), append(whole[:236:236], 1, 2, 3, 4)} {
		all = append(all, network.Reply{Frame: network.UDP{
			From: netip.AddrPortFrom(s.Host, 67), FromMAC: s.HostMAC, To: netip.MustParseAddrPort("255.255.255.255:68"),
			ToMAC: net.HardwareAddr{255, 255, 255, 255, 255, 255}, Payload: payload,
		}.Frame()})
	}
	return all
}

// TestServersThatMisbehave checks that the network works when the workload starts, although
// messages get lost or servers send wrong ones.
func TestServersThatMisbehave(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(s *network.Segment, m message) []network.Reply{
		"first DISCOVER lost": func(s *network.Segment, m message) []network.Reply {
			if m.is(discover, 0) {
				return nil
			}
			return replies(s, grant(m))
		},
		"first REQUEST lost": func(s *network.Segment, m message) []network.Reply {
			if m.is(request, 0) {
				return nil
			}
			return replies(s, grant(m))
		},
		"slow": func(s *network.Segment, m message) []network.Reply {
			r := replies(s, grant(m))
			if m.MessageType() == discover {
				r[0].After = 250 * time.Millisecond
			}
			return r
		},
		"both answers slow": func(s *network.Segment, m message) []network.Reply {
			r := replies(s, grant(m))
			r[0].After = 400 * time.Millisecond
			return r
		},
		"everything three times": func(s *network.Segment, m message) []network.Reply {
			return replies(s, grant(m), grant(m), grant(m))
		},
		"NAK": func(s *network.Segment, m message) []network.Reply {
			if m.is(request, 0) {
				return replies(s, nak(m))
			}
			return replies(s, grant(m))
		},
		"worthless ones before": func(s *network.Segment, m message) []network.Reply {
			return append(worthless(s, m), replies(s, grant(m))...)
		},
		"two servers": func(s *network.Segment, m message) []network.Reply {
			other := grant(m, dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 66)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 2))))
			if m.MessageType() == discover {
				return replies(s, grant(m), other)
			}
			return replies(s, other, grant(m))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scripted(t, network.SegmentOptions{}, answer)
			to, err := s.Greet(s.Host, "hello\n")
			if err != nil {
				t.Fatal(err)
			}
			cfg := onNetwork(t, "amd64", []string{"to=" + to.String()}, s.Network)
			limit := "20000"
			if name == "both answers slow" {
				limit = "600" // less than both take
			}
			cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS="+limit)
			got := seen(t, cfg)
			if got.Uptime > 15 {
				t.Errorf("the workload started after %v s, want at most 15 s", got.Uptime)
			}
			if got.Greeting != "hello\n" {
				t.Errorf("the first connection returned %q, want a greeting", got.Greeting)
			}
			got.wantLease(t, scriptedLease)
			// These two cases have two exchanges, or offers that the guest ignores.
			if name != "NAK" && name != "worthless ones before" {
				checkMessages(t, s.Network)
			}
		})
	}
}

// TestLeaseInTheBackground has a server that does not answer until after the timeout. It checks
// that the workload starts after the timeout, that the guest still acquires a lease, and that the hosts
// file has the new address then.
func TestLeaseInTheBackground(t *testing.T) {
	t.Parallel()
	const limit = 700 * time.Millisecond
	s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
		if !m.marked {
			return nil
		}
		return replies(s, grant(m))
	})
	to, err := s.Greet(s.Host, "hello\n")
	if err != nil {
		t.Fatal(err)
	}
	inHosts := func(address string) string { return "run=grep -q '^" + address + "\tbox$' /etc/hosts" }
	cfg := onNetwork(t, "amd64", []string{
		inHosts("127.0.1.1"), "mark", "mark", "until=nameserver 192.0.2.53", inHosts(scriptedLease.Address.Addr().String()), "to=" + to.String(),
	}, s.Network)
	cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=700", "HOSTNAME=box")
	got, want := seen(t, cfg, "warning: lease: eth0: no DHCP server answered within 700ms; the workload starts without a lease"), scriptedLease
	want.Hostname = "box"
	got.wantLease(t, want)
	if got.Greeting != "hello\n" {
		t.Errorf("the connection returned %q, want a greeting", got.Greeting)
	}
	checkMessages(t, s.Network)
	// The timeout starts when init has nothing else left to do.
	if at := markedAt(t, s.Network); at < limit {
		t.Errorf("the workload started %v after the first DISCOVER, want %v or more", at, limit)
	}
}

// TestServerThatPings has a server that tries for three seconds whether the address is free.
func TestServerThatPings(t *testing.T) {
	t.Parallel()
	s := segment(t, network.SegmentOptions{}, network.Dnsmasq{Lease: scriptedLease, Ping: true})
	cfg := onNetwork(t, "amd64", []string{"until=nameserver 192.0.2.53"}, s.Network)
	cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=500") // the default
	got := seen(t, cfg, "warning: lease: eth0: no DHCP server answered within 500ms; the workload starts without a lease")
	got.wantLease(t, scriptedLease)
}

// TestOfferWithoutAck has a server that offers an address, but confirms it only after the guest has
// asked five times and has started over.
func TestOfferWithoutAck(t *testing.T) {
	t.Parallel()
	s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
		if m.MessageType() == request && (m.n < 5 || !m.marked) {
			return nil
		}
		return replies(s, grant(m))
	})
	cfg := onNetwork(t, "amd64", []string{"mark", "mark", "until=nameserver 192.0.2.53"}, s.Network)
	cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=700")
	got := seen(t, cfg, "warning: lease: eth0: a DHCP server offered an address, but did not confirm it within 700ms; "+
		"the workload starts without a lease")
	got.wantLease(t, scriptedLease)
}

// TestHostnameAndSleep has a configuration with a host name, which the server must get with the
// REQUEST, and a host whose time sets the clock forward by an hour, as after the host has slept. The
// guest must ask at once whether its lease is still valid.
func TestHostnameAndSleep(t *testing.T) {
	t.Parallel()
	s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
		return replies(s, grant(m, dhcpv4.WithDNS(net.IPv4(192, 0, 2, byte(100+m.n)))))
	})
	// A datagram may set the clock forward before init notices that it was set back.
	cfg := onNetwork(t, "amd64", []string{"until=nameserver 192.0.2.100",
		"run=while grep -q 192.0.2.100 /etc/resolv.conf; do date -s @$(($(date +%s) - 3600)) >/dev/null; sleep 1; done"}, s.Network)
	hostThatSends(t, &cfg)
	cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=20000", "HOSTNAME=host")
	cfg.GuestConfig = []byte(`{"hostname": "configured"}`)
	if got := seen(t, cfg).Hostname; got != "configured" {
		t.Errorf("host name = %q, want configured", got)
	}
	all := requests(t, s.Network)
	for _, r := range all {
		if got := r.HostName(); got != "configured" {
			t.Errorf("host name = %q in %v, want configured", got, r.Summary())
		}
	}
	if last := all[len(all)-1]; last.to != "255.255.255.255" || !last.ClientIPAddr.Equal(scriptedAddress) {
		t.Errorf("request after the sleep, to %s: %v, want a broadcast for the leased address", last.to, last.Summary())
	}
}

// TestRenewal has a lease of a few seconds, whose server sends a different name server with each
// renewal. Then the server is silent until the lease expires, and later it answers again.
func TestRenewal(t *testing.T) {
	t.Parallel()
	s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
		renewal := m.MessageType() == request && !m.ClientIPAddr.IsUnspecified()
		if renewal && (m.IsBroadcast() || m.Options.Has(dhcpv4.OptionServerIdentifier) || m.Options.Has(dhcpv4.OptionRequestedIPAddress)) {
			t.Errorf("malformed renewal: %v", m.Summary())
		}
		// The server grants three renewals. DISCOVERs after the first one are for a new lease; it
		// ignores four of them.
		if renewal && m.n > 3 || m.MessageType() == discover && m.n > 0 && m.n < 5 {
			return nil
		}
		lease := uint32(4)
		if m.MessageType() == request && m.n > 3 {
			lease = 3600 // the new lease
		}
		return replies(s, grant(m, dhcpv4.WithLeaseTime(lease), dhcpv4.WithDNS(net.IPv4(192, 0, 2, byte(100+m.n)))))
	})
	cfg := onNetwork(t, "amd64", []string{"until=nameserver 192.0.2.101", "until=nameserver 192.0.2.102", "until=!192.0.2.77", "until=!default",
		"until=!nameserver 192", "until=inet 192.0.2.77", "until=nameserver"}, s.Network)
	if err := os.WriteFile(filepath.Join(cfg.Root, "etc/resolv.conf"), []byte("# the image's\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Init must warn once that the lease is lost.
	result := run(t, cfg, 0)
	text := console(result)
	if got := strings.Count(text, "krunbox: "); got != 1 || !strings.Contains(text, "krunbox: warning: network: eth0: the address lease is lost") {
		t.Errorf("console: %s\nwant one warning of the lost lease and no others", text)
	}
	got := stateOn(t, text)
	if len(got.Addresses) != 1 || got.Addresses[0] != "192.0.2.77/24" {
		t.Errorf("addresses = %v, want 192.0.2.77/24", got.Addresses)
	}
	if b, err := os.ReadFile(filepath.Join(cfg.Root, "etc/resolv.conf")); string(b) != "# the image's\n" {
		t.Errorf("resolv.conf of the image = %q, %v, want it unchanged", b, err)
	}
	// The guest unicasts the first renewals to the server, and broadcasts the last one.
	packets, err := s.Packets()
	if err != nil {
		t.Fatal(err)
	}
	var unicast, broadcast int
	for _, p := range packets {
		if m := p.DHCPv4(); m != nil && p.FromGuest && m.MessageType() == request && !m.ClientIPAddr.IsUnspecified() {
			switch to := p.NetworkLayer().NetworkFlow().Dst().String(); to {
			case "192.0.2.1":
				unicast++
			case "255.255.255.255":
				broadcast++
			default:
				t.Errorf("renewal sent to %s, want the server or broadcast", to)
			}
		}
	}
	if unicast < 3 || broadcast < 1 {
		t.Errorf("%d unicast and %d broadcast renewals, want at least 3 and 1", unicast, broadcast)
	}
}

// TestLeaseContents checks how the guest applies the options of a lease.
func TestLeaseContents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		option []dhcpv4.Modifier
		device network.Options
		own    string // the host name in HOSTNAME
		root   string // a shell script that runs in the root directory on the host
		ro     bool
		want   func(l *network.Lease)
		state  func(t *testing.T, s networkState, root string)
	}{
		{
			name:   "router outside of the subnet",
			option: []dhcpv4.Modifier{dhcpv4.WithNetmask(net.CIDRMask(32, 32))},
			want:   func(l *network.Lease) { l.Address = netip.MustParsePrefix("192.0.2.77/32") },
			state: func(t *testing.T, s networkState, _ string) {
				want := []string{"0.0.0.0/0 via 192.0.2.1 dev eth0 metric 0", "192.0.2.1/32 via 0.0.0.0 dev eth0 metric 0"}
				if !slices.Equal(s.Routes, want) {
					t.Errorf("routes = %q, want %q", s.Routes, want)
				}
			},
		},
		{
			name:   "small MTU, host name of the host",
			option: []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0, 100})), dhcpv4.WithOption(dhcpv4.OptHostName("leased"))},
			own:    "own",
			want:   func(l *network.Lease) { l.MTU, l.Hostname = 576, "own" },
		},
		{
			name: "large MTU, host name of the lease",
			option: []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x23, 0x28})),
				dhcpv4.WithOption(dhcpv4.OptHostName("leased"))},
			device: network.Options{MaxMTU: 1420},
			want:   func(l *network.Lease) { l.MTU, l.Hostname = 1420, "leased" },
		},
		{
			name:   "no name server",
			option: []dhcpv4.Modifier{func(m *dhcpv4.DHCPv4) { delete(m.Options, uint8(dhcpv4.OptionDomainNameServer)) }},
			root:   "echo nameserver 10.9.9.9 >etc/resolv.conf",
			want:   func(l *network.Lease) { l.DNS = []netip.Addr{netip.MustParseAddr("10.9.9.9")} },
		},
		{
			name: "dangling link for resolv.conf",
			root: "ln -s ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf",
			state: func(t *testing.T, _ networkState, root string) {
				if link, err := os.Readlink(filepath.Join(root, "etc/resolv.conf")); link != "../run/systemd/resolve/stub-resolv.conf" {
					t.Errorf("link in the image = %q, %v, want it unchanged", link, err)
				}
			},
		},
		{name: "no resolv.conf on a read-only root", ro: true},
		{
			name: "resolv.conf of the image",
			root: "echo nameserver 10.9.9.9 >etc/resolv.conf",
			state: func(t *testing.T, _ networkState, root string) {
				if b, err := os.ReadFile(filepath.Join(root, "etc/resolv.conf")); string(b) != "nameserver 10.9.9.9\n" {
					t.Errorf("resolv.conf of the image = %q, %v, want it unchanged", b, err)
				}
			},
		},
		{
			name: "private classless routes, hostile names",
			option: []dhcpv4.Modifier{
				dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(249), []byte{0, 192, 0, 2, 1, 8, 10, 192, 0, 2, 2})),
				dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionDomainName, []byte("evil\nnameserver 10.6.6.6"))),
				dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionHostName, []byte("a b"))),
			},
			want: func(l *network.Lease) {
				l.Routes = []network.Route{
					{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.1")},
					{To: netip.MustParsePrefix("10.0.0.0/8"), Via: netip.MustParseAddr("192.0.2.2")},
				}
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := scripted(t, network.SegmentOptions{Options: c.device}, func(s *network.Segment, m message) []network.Reply {
				return replies(s, grant(m, c.option...))
			})
			to, err := s.Greet(s.Host, "hello\n")
			if err != nil {
				t.Fatal(err)
			}
			cfg := onNetwork(t, "amd64", []string{"to=" + to.String()}, s.Network)
			cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=3000")
			if c.own != "" {
				cfg.Env = append(cfg.Env, "HOSTNAME="+c.own)
			}
			if c.root != "" {
				shell(t, cfg.Root, c.root)
			}
			cfg.ReadOnly = c.ro
			got := seen(t, cfg)
			if got.Greeting != "hello\n" {
				t.Errorf("the first connection returned %q, want a greeting", got.Greeting)
			}
			want := scriptedLease
			if c.want != nil {
				c.want(&want)
			}
			if want.Address.Bits() != 32 {
				got.wantLease(t, want)
			}
			if c.state != nil {
				c.state(t, got, cfg.Root)
			}
			for _, m := range checkMessages(t, s.Network) {
				if m.OpCode == dhcpv4.OpcodeBootRequest && m.HostName() != c.own {
					t.Errorf("host name in the message = %q, want %q", m.HostName(), c.own)
				}
			}
		})
	}
}

// TestPartialChecksums has a device that delivers datagrams with incomplete checksums, as between
// machines of one host.
func TestPartialChecksums(t *testing.T) {
	t.Parallel()
	s := segment(t, network.SegmentOptions{Offload: true}, network.Dnsmasq{Lease: fullLease})
	got := seen(t, onNetwork(t, "amd64", nil, s.Network))
	got.wantLease(t, fullLease)
}

// TestNoCarrier plugs the cable in after the start of the workload, and checks that init did not
// wait for it and then acquires a lease.
func TestNoCarrier(t *testing.T) {
	t.Parallel()
	s := segment(t, network.SegmentOptions{}, network.Dnsmasq{Lease: fullLease})
	if err := s.SetLink(false); err != nil {
		t.Fatal(err)
	}
	cfg := onNetwork(t, "amd64", []string{"run=echo plug it in", "until=nameserver"}, s.Network)
	cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=20000")
	cfg.Console = when{"plug it in", func() {
		if err := s.SetLink(true); err != nil {
			t.Error(err)
		}
	}, new(strings.Builder)}
	got := seen(t, cfg)
	got.wantLease(t, fullLease)
	if got.Uptime > 15 {
		t.Errorf("the workload started after %v s, want at most 15 s", got.Uptime)
	}
}

// A when is a Writer that calls do once, when text has been written to it.
type when struct {
	text string
	do   func()
	seen *strings.Builder
}

func (w when) Write(b []byte) (int, error) {
	before := strings.Contains(w.seen.String(), w.text)
	w.seen.Write(b)
	if !before && strings.Contains(w.seen.String(), w.text) {
		w.do()
	}
	return len(b), nil
}

// TestNoInterface requests DHCP on a machine without a network interface, and checks that init
// neither waits nor warns.
func TestNoInterface(t *testing.T) {
	t.Parallel()
	cfg := onNetwork(t, "amd64", nil)
	cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=20000")
	if got := seen(t, cfg); got.Uptime > 15 || len(got.Addresses) > 0 {
		t.Errorf("the workload started after %v s with addresses %v, want at most 15 s and none",
			got.Uptime, got.Addresses)
	}
}

// TestTwoInterfaces checks that init configures both interfaces and prefers the default route of
// the first.
func TestTwoInterfaces(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"eth0,eth1", "all"} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			first, err := network.Slirp(network.Options{}, network.Lease{})
			if err != nil {
				t.Fatal(err)
			}
			closing(t, first)
			l := network.Lease{Address: netip.MustParsePrefix("198.51.100.7/24"), Routers: []netip.Addr{netip.MustParseAddr("198.51.100.1")},
				DNS: []netip.Addr{netip.MustParseAddr("198.51.100.53")}}
			second, err := network.Slirp(network.Options{MAC: "52:54:00:00:00:02"}, l)
			if err != nil {
				t.Fatal(err)
			}
			closing(t, second)
			cfg := onNetwork(t, "amd64", nil, first, second)
			cfg.Env = []string{"KRUN_DHCP=" + value, "KRUN_DHCP_TIMEOUT_MS=5000"}
			got := seen(t, cfg)
			if want := []string{"10.0.2.15/24", "198.51.100.7/24"}; !slices.Equal(got.Addresses, want) {
				t.Errorf("addresses = %v, want %v", got.Addresses, want)
			}
			for _, want := range []string{"0.0.0.0/0 via 10.0.2.2 dev eth0 metric 0", "0.0.0.0/0 via 198.51.100.1 dev eth1 metric 100"} {
				if !slices.Contains(got.Routes, want) {
					t.Errorf("routes = %q, want %q", got.Routes, want)
				}
			}
			if want := []string{"nameserver 10.0.2.3", "nameserver 198.51.100.53"}; !slices.Equal(got.Resolv, want) {
				t.Errorf("resolv.conf = %q, want %q", got.Resolv, want)
			}
		})
	}
}

// TestSidecar boots a guest whose workload is PID 1, and whose init program can be read only once.
// It checks that a separate dhcpclient process renews a lease of a few seconds, and confirms it when
// the clock is set forward.
func TestSidecar(t *testing.T) {
	t.Parallel()
	s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
		return replies(s, grant(m, dhcpv4.WithLeaseTime(4), dhcpv4.WithDNS(net.IPv4(192, 0, 2, byte(100+m.n)))))
	})
	cfg := onNetwork(t, "amd64", nil, s.Network)
	sidecarGuest.addTo(t, &cfg)
	cfg.Env = append(cfg.Env, "KRUN_INIT_PID1=1", "KRUN_DHCP_TIMEOUT_MS=3000")
	got := stateOn(t, console(run(t, cfg, 0)))
	if !slices.Contains(got.Processes, "dhcpclient") {
		t.Errorf("processes: %q, want dhcpclient among them", got.Processes)
	}
	if want := []string{"192.0.2.77/24"}; !slices.Equal(got.Addresses, want) {
		t.Errorf("addresses = %v, want %v", got.Addresses, want)
	}
	asked := func(r sentRequest) bool { return r.to == "255.255.255.255" && r.ClientIPAddr.Equal(scriptedAddress) }
	if all := requests(t, s.Network); !slices.ContainsFunc(all, asked) {
		t.Errorf("requests: %v, want one to all servers after the clock was set forward", all)
	}
}

var sidecarGuest = inGuest("sidecar", func(t *testing.T) {
	defer reportExitCode(t)
	if pid := os.Getpid(); pid != 1 {
		t.Errorf("PID = %d, want 1", pid)
	}
	// The n-th renewal has the name server 192.0.2.(100+n).
	for _, word := range []string{"nameserver 192.0.2.101", "nameserver 192.0.2.103"} {
		waitUntil(t, word)
	}
	later := unix.NsecToTimespec(time.Now().Add(time.Hour).UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &later); err != nil {
		t.Error(err)
	}
	waitUntil(t, "nameserver 192.0.2.105")
	var s networkState
	s.look(t)
	fmt.Printf("\nSTATE {\"Processes\": %s, \"Addresses\": %s}\n", jsonList(s.Processes), jsonList(s.Addresses))
})

// TestFlood sends 100,000 hostile packets before each valid answer, in every state in which the
// client listens. It checks that they change neither the lease nor the memory use of PID 1.
func TestFlood(t *testing.T) {
	t.Parallel()
	const all, perMillisecond = 100_000, 25
	ends := map[string]time.Time{} // of the floods, by state
	s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) (flood []network.Reply) {
		state, size, dns := "selecting", all/2, byte(54)
		switch {
		case !m.ClientIPAddr.IsUnspecified():
			state, size, dns = "renewing", all/4, 55
		case m.MessageType() == request:
			state, size = "requesting", all/4
		}
		end, begun := ends[state]
		switch {
		case m.is(discover, 0), m.is(discover, 1), m.is(discover, 2):
			// The workload must measure PID 1 before the flood.
			return nil
		case begun && time.Now().Before(end):
			return nil
		case begun:
			return replies(s, grant(m, dhcpv4.WithLeaseTime(6), dhcpv4.WithDNS(net.IPv4(192, 0, 2, dns))))
		}
		hostile := worthless(s, m)
		for n := range size {
			after := time.Duration(1+n/perMillisecond) * time.Millisecond
			flood = append(flood, network.Reply{Frame: hostile[n%len(hostile)].Frame, After: after})
		}
		ends[state] = time.Now().Add(flood[size-1].After)
		return flood
	})
	// Only anonymous memory counts: file-backed memory grows when PID 1 executes code for the first
	// time.
	const look = "run=echo; grep RssAnon: /proc/1/status; echo received: $(cat /sys/class/net/eth0/statistics/rx_packets)"
	cfg := onNetwork(t, "amd64", []string{look, "until=nameserver 192.0.2.54", "until=nameserver 192.0.2.55", look}, s.Network)
	cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=0")
	text := console(run(t, cfg, 0))
	got := stateOn(t, text)
	want := scriptedLease
	want.DNS = []netip.Addr{netip.MustParseAddr("192.0.2.55")}
	got.wantLease(t, want)
	end := text[strings.LastIndex(text, "RssAnon:"):]
	if before, after := number(t, text, "RssAnon:"), number(t, end, "RssAnon:"); after > before+300 {
		t.Errorf("memory of PID 1 = %d kB, before the flood %d kB, want at most 300 kB more",
			after, before)
	}
	// The tap drops packets that the guest reads too slowly.
	if received := number(t, end, "received:"); received < all/4 {
		t.Errorf("received %d of %d packets, want at least a quarter", received, all)
	}
}

// number returns the number that follows the first occurrence of word in text.
func number(t *testing.T, text, word string) (n int) {
	t.Helper()
	_, rest, _ := strings.Cut(text, word)
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatalf("no number after %q: %v", word, err)
	}
	return n
}

// TestExitCodeWithNetwork checks that a DHCP exchange in the background does not change the exit
// code of the workload.
func TestExitCodeWithNetwork(t *testing.T) {
	t.Parallel()
	// The server never answers.
	s := scripted(t, network.SegmentOptions{}, func(*network.Segment, message) []network.Reply {
		return nil
	})
	cfg := script(t, "amd64", "trap 'exit 9' TERM\nkill -TERM 1\nwhile :; do sleep 0.1; done")
	cfg.Env = []string{"KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=10"}
	s.AddTo(&cfg)
	run(t, cfg, 9)
}

// shell runs a shell script in the directory dir of the host.
func shell(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}
