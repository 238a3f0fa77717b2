package cases

import (
	"encoding/json"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/network"
)

// dhcpclientScript defines the function step, which runs dhcpclient and prints its arguments, its
// output and its exit code.
const dhcpclientScript = `
step() { echo "== $*"; /krunbox dhcpclient "$@"; echo "exit $?"; }
`

// byHand boots a guest whose workload is dhcpclientScript followed by text. It returns the output
// of each step, by its arguments.
func byHand(t *testing.T, n *network.Network, text string) map[string]string {
	t.Helper()
	cfg := script(t, "amd64", dhcpclientScript+text)
	cfg.Files = append(cfg.Files, hostfs.File{Path: "/krunbox", Source: product(t, cfg.Arch), Mode: 0o755})
	if n != nil {
		n.AddTo(&cfg)
	}
	outputs := map[string]string{}
	for _, step := range strings.Split(console(run(t, cfg, 0)), "== ")[1:] {
		args, output, _ := strings.Cut(step, "\n")
		outputs[args] = output
	}
	return outputs
}

// TestDhcpclientByHand runs dhcpclient in a guest with the options that help to diagnose a network
// problem, and checks output, exit codes and state.
func TestDhcpclientByHand(t *testing.T) {
	t.Parallel()
	s := segment(t, network.SegmentOptions{}, network.Dnsmasq{Lease: fullLease})
	got := byHand(t, s.Network, `
step -n -4
ip link set eth0 up
until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do :; done
step -n -4 -v
step -n -4 -json
echo "state: $(ip -4 addr show eth0 | grep -c inet) $(ip -4 route | wc -l) $(cat /etc/resolv.conf 2>&1 | wc -l)"
step -4 -once -json
echo "state: $(ip -4 addr show eth0 | grep -o 'inet [^ ]*') mtu $(cat /sys/class/net/eth0/mtu) $(grep -c nameserver /etc/resolv.conf)"
step -release --force
echo "state: $(ip -4 addr show eth0 | grep -c inet) $(ip -4 route | wc -l) mtu $(cat /sys/class/net/eth0/mtu) $(grep -c nameserver /etc/resolv.conf)"
step -release --force -i eth0
step -4 -i eth9 --force
step -bogus
step --help
`)
	const table = `interface       eth0
address         192.0.2.77/25
server          192.0.2.1
broadcast       192.0.2.255
routes          0.0.0.0/0 via 192.0.2.1, 203.0.113.128/25 via 192.0.2.2
dns             192.0.2.53, 198.51.100.53
domain          example.org
search          a.example.org, example.com
hostname        guest
lease           2h0m0s
renew           1h0m0s
rebind          1h45m0s
`
	for args, want := range map[string]string{
		"-n -4":                    "dhcpclient: eth0: the interface is down; to ask for offers does not set it up\nexit 4\n",
		"-n -4 -v":                 table + "mtu             1500\nexit 0\n",
		"-release --force":         "eth0: released 192.0.2.77/25\nexit 0\nstate: 0 0 mtu 1400 0\n",
		"-release --force -i eth0": "dhcpclient: eth0: no address from a lease: cannot assign requested address\nexit 4\n",
		"-4 -i eth9 --force":       "dhcpclient: eth9 is missing or not connected: network is down\nexit 4\n",
		"-bogus":                   "dhcpclient: flag provided but not defined: -bogus\nexit 2\n",
	} {
		output := got[args]
		if args == "-n -4 -v" { // the output has a line for each packet
			lines := strings.SplitAfter(output, "\n")
			packets := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.HasPrefix(l, "eth0 ") })
			output = strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "eth0 ") }), "")
			packets = slices.Compact(packets) // the client retransmits if this machine is busy
			if len(packets) != 2 || !strings.HasPrefix(packets[0], "eth0 sent to 255.255.255.255: DISCOVER xid 0x") ||
				!strings.HasPrefix(packets[1], "eth0 received from 192.0.2.1: OFFER xid 0x") {
				t.Errorf("-v shows %q, want a DISCOVER and an OFFER", packets)
			}
		}
		if output != want {
			t.Errorf("dhcpclient %s: %q, want %q", args, output, want)
		}
	}
	help := got["--help"]
	if !strings.HasPrefix(help, "usage: dhcpclient ") || !strings.Contains(help, "Examples:") || !strings.HasSuffix(help, "exit 0\n") {
		t.Errorf("--help: %q, want usage, examples and exit code 0", help)
	}
	for args, c := range map[string]struct {
		mtu  float64
		rest string
	}{
		"-n -4 -json":    {1500, "0\nstate: 0 0 1\n"},
		"-4 -once -json": {1400, "0\nstate: inet 192.0.2.77/25 mtu 1400 2\n"},
	} {
		want := map[string]any{
			"interface": "eth0", "address": "192.0.2.77/25", "server": "192.0.2.1", "broadcast": "192.0.2.255",
			"routes": []any{"0.0.0.0/0 via 192.0.2.1", "203.0.113.128/25 via 192.0.2.2"}, "dns": []any{"192.0.2.53", "198.51.100.53"},
			"domain": "example.org", "search": []any{"a.example.org", "example.com"}, "hostname": "guest",
			"lease": 7200.0, "renew": 3600.0, "rebind": 6300.0, "mtu": c.mtu,
		}
		text, rest, _ := strings.Cut(got[args], "exit ")
		var leases []map[string]any
		if err := json.Unmarshal([]byte(text), &leases); err != nil || len(leases) != 1 || !reflect.DeepEqual(leases[0], want) {
			t.Errorf("dhcpclient %s: %s, %v, want %v", args, text, err, want)
		}
		if rest != c.rest {
			t.Errorf("after dhcpclient %s: %q, want %q", args, rest, c.rest)
		}
	}
	all := releases(t, s.Network)
	if len(all) != 1 || all[0].ClientIPAddr.String() != "192.0.2.77" || all[0].ServerIdentifier().String() != "192.0.2.1" {
		t.Errorf("releases: %v, want one", all)
	}
}

// TestDhcpclientWithoutLuck runs dhcpclient against a server that refuses the lease or does not
// answer, and with an invalid timeout.
func TestDhcpclientWithoutLuck(t *testing.T) {
	t.Parallel()
	s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
		if m.MessageType() == request {
			return replies(s, nak(m))
		}
		if m.n > 2 {
			return nil
		}
		return replies(s, grant(m))
	})
	got := byHand(t, s.Network, "step -4 --force -timeout 3s\nstep -4 --force -timeout 300ms\nstep -4 --force -timeout soon\n")
	for args, want := range map[string]string{
		"-4 --force -timeout 3s":    "dhcpclient: eth0: the server refused a lease\nexit 3\n",
		"-4 --force -timeout 300ms": "dhcpclient: eth0: no answer within 300ms\nexit 1\n",
		"-4 --force -timeout soon":  "dhcpclient: invalid value \"soon\" for flag -timeout: parse error\nexit 2\n",
	} {
		if got[args] != want {
			t.Errorf("dhcpclient %s: %q, want %q", args, got[args], want)
		}
	}
}

// TestDhcpclientKeepsWhatThereIs runs dhcpclient for two interfaces, one of which does not exist,
// and checks that the client configures the other one and keeps running.
func TestDhcpclientKeepsWhatThereIs(t *testing.T) {
	t.Parallel()
	s := segment(t, network.SegmentOptions{}, network.Dnsmasq{Lease: fullLease})
	got := byHand(t, s.Network, `
echo "== both"
/krunbox dhcpclient -4 -i eth0,eth9 -timeout 1s --force >/tmp/out 2>&1 &
until grep -q eth9 /tmp/out && grep -q 192.0.2.77 /tmp/out; do :; done
kill $!
wait $!
echo "exit $?"
cat /tmp/out
`)["both"]
	if !strings.HasPrefix(got, "exit 0\n") || !strings.Contains(got, "dhcpclient: eth9 is missing or not connected: ") {
		t.Errorf("output = %s\nwant exit code 0 after SIGTERM, and an error for eth9", got)
	}
}

// TestReleaseIsSent has a server whose hardware address the guest's kernel must resolve by ARP
// before it can send the RELEASE. It checks that the client does not remove its address before the
// RELEASE is sent.
func TestReleaseIsSent(t *testing.T) {
	t.Parallel()
	server := net.IPv4(192, 0, 2, 9)
	s := segment(t, network.SegmentOptions{})
	if _, err := s.Serve(t.Context(), network.Script(func(p network.Packet) []network.Reply {
		if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok && server.Equal(arp.DstProtAddress) {
			return []network.Reply{{Frame: arpReply(t, arp, s.HostMAC), After: 300 * time.Millisecond}}
		}
		m := p.DHCPv4()
		if m == nil || m.MessageType() == dhcpv4.MessageTypeRelease {
			return nil
		}
		return replies(s, grant(message{DHCPv4: m}, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server))))
	})); err != nil {
		t.Fatal(err)
	}
	got := byHand(t, s.Network, "step -4 -once --force\nstep -release --force\n")
	if want := "eth0: released 192.0.2.77/24\nexit 0\n"; got["-release --force"] != want {
		t.Errorf("-release: %q, want %q", got["-release --force"], want)
	}
	if all := releases(t, s.Network); len(all) != 1 || !all[0].ServerIdentifier().Equal(server) {
		t.Errorf("releases: %v, want one", all)
	}
}

// arpReply returns a frame that answers an ARP request with mac.
func arpReply(t *testing.T, request *layers.ARP, mac net.HardwareAddr) []byte {
	t.Helper()
	reply := *request
	reply.Operation = layers.ARPReply
	reply.SourceHwAddress, reply.SourceProtAddress = mac, request.DstProtAddress
	reply.DstHwAddress, reply.DstProtAddress = request.SourceHwAddress, request.SourceProtAddress
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{},
		&layers.Ethernet{SrcMAC: mac, DstMAC: request.SourceHwAddress, EthernetType: layers.EthernetTypeARP}, &reply)
	if err != nil {
		t.Error(err)
	}
	return b.Bytes()
}

// releases returns the RELEASE messages of the guest and checks their fields, RFC 2131 table 5.
func releases(t *testing.T, n *network.Network) (all []*dhcpv4.DHCPv4) {
	t.Helper()
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		m := p.DHCPv4()
		if m == nil || m.MessageType() != dhcpv4.MessageTypeRelease {
			continue
		}
		all = append(all, m)
		flow := p.NetworkLayer().NetworkFlow()
		if src, dst := flow.Src().String(), flow.Dst().String(); src != m.ClientIPAddr.String() || dst != m.ServerIdentifier().String() ||
			m.Options.Has(dhcpv4.OptionRequestedIPAddress) || m.Options.Has(dhcpv4.OptionIPAddressLeaseTime) {
			t.Errorf("malformed RELEASE from %s to %s: %v", src, dst, m.Summary())
		}
	}
	return all
}
