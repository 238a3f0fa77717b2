package cases

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
)

// networkState is what a workload sees of the network.
type networkState struct {
	Greeting   string   // what came by the connection that the workload opened first of all, or why none did
	Addresses  []string // IPv4 ones, as CIDR
	Broadcasts []string
	Routes     []string // "DESTINATION via GATEWAY dev NAME metric N"
	MTU        int
	Resolv     []string // lines of /etc/resolv.conf but for comments; nil: there is no such file
	Hostname   string
	Processes  []string // their names
	Uptime     float64  // of the machine when the workload started, seconds
}

// networkGuest prints a networkState. Its arguments: "to=ADDRESS:PORT" is where to connect first; "until=WORD" waits, after
// that, until the output of "ip addr; ip route; cat /etc/resolv.conf" contains the word, "until=!WORD" until it does not;
// "run=COMMAND" runs a shell command; "mark" sends a frame that the capture has, see markedAt.
var networkGuest = inGuest("network", func(t *testing.T) {
	s := networkState{Uptime: uptime(t)}
	for _, arg := range os.Args[1:] {
		what, value, _ := strings.Cut(arg, "=")
		switch what {
		case "to":
			s.Greeting = greeting(value)
		case "until":
			waitUntil(t, value)
		case "mark":
			sendMark(t)
		case "run":
			cmd := exec.Command("/bin/sh", "-c", value)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
			if err := cmd.Run(); err != nil {
				t.Errorf("%s: %v", value, err)
			}
		}
	}
	s.look(t)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nSTATE %s\n", text)
})

// markType is the EtherType of marks: one for local experiments, IEEE 802.
const markType = 0x88b5

// sendMark sends an empty frame to everybody.
func sendMark(t *testing.T) {
	t.Helper()
	i, err := net.InterfaceByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	to := &unix.SockaddrLinklayer{Protocol: markType>>8 | markType&0xff<<8, Ifindex: i.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	if err := unix.Sendto(s, make([]byte, 46), 0, to); err != nil {
		t.Fatal(err)
	}
}

// markedAt returns when, after the first DISCOVER, the guest sent its mark.
func markedAt(t *testing.T, n *network.Network) time.Duration {
	t.Helper()
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	var begin, mark time.Time
	for _, p := range packets {
		at := p.Metadata().Timestamp
		if p.DHCPv4() != nil && begin.IsZero() {
			begin = at
		}
		if e, ok := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet); ok && e.EthernetType == markType && mark.IsZero() {
			mark = at
		}
	}
	if begin.IsZero() || mark.IsZero() {
		t.Fatalf("a DISCOVER at %v, a mark at %v", begin, mark)
	}
	return mark.Sub(begin)
}

func uptime(t *testing.T) (seconds float64) {
	t.Helper()
	b, err := os.ReadFile("/proc/uptime")
	if err == nil {
		_, err = fmt.Sscan(string(b), &seconds)
	}
	if err != nil {
		t.Fatal(err)
	}
	return seconds
}

// greeting is what a server says, at the first attempt.
func greeting(address string) string {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	b, err := io.ReadAll(conn)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func waitUntil(t *testing.T, word string) {
	t.Helper()
	word, not := strings.CutPrefix(word, "!")
	var out []byte
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, _ = exec.Command("/bin/sh", "-c", "ip addr; ip route; cat /etc/resolv.conf").CombinedOutput()
		if strings.Contains(string(out), word) != not {
			return
		}
	}
	t.Errorf("waited for %q (not: %v); last seen:\n%s", word, not, out)
}

// look fills in all but the greeting.
func (s *networkState) look(t *testing.T) {
	t.Helper()
	s.Hostname, _ = os.Hostname()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if i.Name == "eth0" {
			s.MTU = i.MTU
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
				s.Addresses = append(s.Addresses, p.String())
			}
		}
	}
	b, err := os.ReadFile("/proc/net/route")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] == "Iface" {
			continue
		}
		destination, gateway, mask := kernelAddr(f[1]), kernelAddr(f[2]), kernelAddr(f[7])
		length := bits.OnesCount32(binary.BigEndian.Uint32(mask.AsSlice()))
		s.Routes = append(s.Routes, fmt.Sprintf("%v/%d via %v dev %s metric %s", destination, length, gateway, f[0], f[6]))
	}
	slices.Sort(s.Routes)
	if b, err = os.ReadFile("/etc/resolv.conf"); err == nil {
		s.Resolv = []string{}
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				s.Resolv = append(s.Resolv, line)
			}
		}
	}
	if out, err := exec.Command("/bin/sh", "-c", "cat /proc/[0-9]*/comm").Output(); err == nil {
		s.Processes = strings.Fields(string(out))
	}
}

// kernelAddr is an address as /proc/net/route has it.
func kernelAddr(s string) netip.Addr {
	b, _ := hex.DecodeString(s)
	slices.Reverse(b)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// onNetwork is withBusybox with networkGuest as its workload, an interface in each network, and KRUN_DHCP=1.
func onNetwork(t *testing.T, arch string, args []string, networks ...*network.Network) vm.Config {
	t.Helper()
	cfg := withBusybox(t, arch)
	networkGuest.addTo(t, &cfg, args...)
	cfg.Env = append(cfg.Env, "KRUN_DHCP=1")
	for _, n := range networks {
		n.AddTo(&cfg)
	}
	return cfg
}

// seen boots a machine that onNetwork made, and returns what its workload saw. A warning of init's fails the test.
func seen(t *testing.T, cfg vm.Config) networkState {
	t.Helper()
	result := run(t, cfg, 0)
	text := console(result)
	if strings.Contains(text, "krunbox: ") {
		t.Errorf("init says: %s", text)
	}
	return stateOn(t, text)
}

func stateOn(t *testing.T, text string) (s networkState) {
	t.Helper()
	_, line, found := strings.Cut(text, "\nSTATE ")
	line, _, _ = strings.Cut(line, "\n")
	if err := json.Unmarshal([]byte(line), &s); !found || err != nil {
		t.Fatalf("no state (%v) in %q", err, text)
	}
	return s
}

// wantLease checks that the workload has what a server's configuration says.
func (s *networkState) wantLease(t *testing.T, l network.Lease) {
	t.Helper()
	if want := []string{l.Address.String()}; !slices.Equal(s.Addresses, want) {
		t.Errorf("addresses = %v, want %v", s.Addresses, want)
	}
	routes := []string{fmt.Sprintf("%v via 0.0.0.0 dev eth0 metric 0", l.Address.Masked())}
	if len(l.Routes) == 0 && len(l.Routers) > 0 {
		routes = append(routes, fmt.Sprintf("0.0.0.0/0 via %v dev eth0 metric 0", l.Routers[0]))
	}
	for _, r := range l.Routes {
		routes = append(routes, fmt.Sprintf("%v via %v dev eth0 metric 0", r.To, r.Via))
	}
	slices.Sort(routes)
	if !slices.Equal(s.Routes, routes) {
		t.Errorf("routes = %q, want %q", s.Routes, routes)
	}
	var resolv []string
	search := l.Search
	if len(search) == 0 && l.Domain != "" {
		search = []string{l.Domain}
	}
	if len(search) > 0 {
		resolv = append(resolv, "search "+strings.Join(search, " "))
	}
	for _, a := range l.DNS {
		resolv = append(resolv, "nameserver "+a.String())
	}
	if !slices.Equal(s.Resolv, resolv) {
		t.Errorf("resolv.conf = %q, want %q", s.Resolv, resolv)
	}
	mtu := 1500
	if l.MTU != 0 {
		mtu = l.MTU
	}
	if s.MTU != mtu {
		t.Errorf("MTU = %d, want %d", s.MTU, mtu)
	}
	hostname := "localhost"
	if l.Hostname != "" {
		hostname = l.Hostname
	}
	if s.Hostname != hostname {
		t.Errorf("host name = %q, want %q", s.Hostname, hostname)
	}
}

// fullLease has a value for everything that a server can be told.
var fullLease = network.Lease{
	Address:  netip.MustParsePrefix("192.0.2.77/25"),
	Routers:  []netip.Addr{netip.MustParseAddr("192.0.2.1")},
	DNS:      []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("198.51.100.53")},
	Hostname: "guest",
	Domain:   "example.org",
	Search:   []string{"a.example.org", "example.com"},
	MTU:      1400,
	Routes: []network.Route{
		{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.1")},
		{To: netip.MustParsePrefix("203.0.113.128/25"), Via: netip.MustParseAddr("192.0.2.2")},
	},
	Time: 2 * time.Hour,
}

// segment returns a segment on which servers answer.
func segment(t *testing.T, opt network.SegmentOptions, servers ...network.Server) *network.Segment {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	opt.Log = t.Output()
	s, err := network.NewSegment(opt)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s.Network)
	for _, server := range servers {
		if _, err := s.Serve(t.Context(), server); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func closing(t *testing.T, n *network.Network) {
	t.Helper()
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestServers has a workload that connects to the host at once, on a network of each kind, and looks at what it has of
// the lease and at what was said on the wire.
func TestServers(t *testing.T) {
	t.Parallel()
	onSegment := func(server network.Server) func(*testing.T) (*network.Network, network.Lease) {
		return func(t *testing.T) (*network.Network, network.Lease) {
			return segment(t, network.SegmentOptions{}, server).Network, fullLease
		}
	}
	own := func(n *network.Network, err error) func(t *testing.T) (*network.Network, network.Lease) {
		return func(t *testing.T) (*network.Network, network.Lease) {
			if err != nil {
				t.Fatal(err)
			}
			closing(t, n)
			return n, n.Lease
		}
	}
	four := []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeAck}
	two := []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeAck}
	limited := network.Lease{Address: fullLease.Address, Routers: fullLease.Routers, Search: fullLease.Search, MTU: fullLease.MTU}
	for _, c := range []struct {
		name     string
		start    func(*testing.T) (*network.Network, network.Lease)
		exchange []dhcpv4.MessageType
		timeout  string // of servers that need longer than krunbox's default
	}{
		{name: "slirp", start: func(t *testing.T) (*network.Network, network.Lease) {
			return own(network.Slirp(network.Options{}, network.Lease{Search: fullLease.Search, Hostname: "guest"}))(t)
		}, exchange: four},
		{name: "gvisor-tap-vsock", start: func(t *testing.T) (*network.Network, network.Lease) {
			return own(network.Gvisor(network.Options{}, limited, false))(t)
		}, exchange: four},
		{name: "gvisor-tap-vsock, datagrams", start: func(t *testing.T) (*network.Network, network.Lease) {
			return own(network.Gvisor(network.Options{}, limited, true))(t)
		}, exchange: four},
		{name: "passt", start: func(t *testing.T) (*network.Network, network.Lease) {
			if os.Getuid() != 0 {
				t.Skip("needs root for a network namespace")
			}
			l := limited
			l.DNS = fullLease.DNS
			return own(network.Passt(t.Context(), network.Options{Log: t.Output()}, l, netip.Addr{}))(t)
		}, exchange: four},
		{name: "dnsmasq", start: onSegment(network.Dnsmasq{Lease: fullLease}), exchange: four},
		{name: "dnsmasq, rapid commit", start: onSegment(network.Dnsmasq{Lease: fullLease, RapidCommit: true}), exchange: two},
		{name: "kea", start: onSegment(network.Kea{Lease: fullLease}), exchange: four},
		{name: "dhcpd", start: onSegment(network.Dhcpd{Lease: fullLease}), exchange: four},
		// It asks by ARP whether the address is free, for two seconds.
		{name: "udhcpd", start: onSegment(network.Udhcpd{Lease: fullLease}), timeout: "10000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n, lease := c.start(t)
			to, err := n.Greet(n.Host, "hello\n")
			if err != nil {
				t.Fatal(err)
			}
			cfg := onNetwork(t, "amd64", []string{"to=" + to.String()}, n)
			if c.timeout != "" {
				cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS="+c.timeout)
			}
			s := seen(t, cfg)
			if s.Greeting != "hello\n" {
				t.Errorf("the first connection brought %q, want a greeting", s.Greeting)
			}
			s.wantLease(t, lease)
			var types []dhcpv4.MessageType
			for _, m := range checkMessages(t, n) {
				types = append(types, m.MessageType())
			}
			if c.exchange != nil && !slices.Equal(types, c.exchange) {
				t.Errorf("messages = %v, want %v", types, c.exchange)
			}
		})
	}
}

// checkMessages checks the fields of what the guest has sent to get one lease: RFC 2131 section 2 and table 5. It returns all
// DHCP messages of the capture.
func checkMessages(t *testing.T, n *network.Network) (all []*dhcpv4.DHCPv4) {
	t.Helper()
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	var offered *dhcpv4.DHCPv4
	var discover *dhcpv4.DHCPv4
	for _, p := range packets {
		m := p.DHCPv4()
		if m == nil {
			continue
		}
		all = append(all, m)
		if !p.FromGuest {
			if m.MessageType() == dhcpv4.MessageTypeOffer && offered == nil {
				offered = m
			}
			continue
		}
		check := func(what string, ok bool) {
			t.Helper()
			if !ok {
				t.Errorf("%s of %v", what, m.Summary())
			}
		}
		check("hardware address", m.ClientHWAddr.String() == n.MAC.String() && m.HWType == 1)
		check("hops, yiaddr, siaddr, giaddr", m.HopCount == 0 && m.YourIPAddr.IsUnspecified() && m.ServerIPAddr.IsUnspecified() && m.GatewayIPAddr.IsUnspecified())
		check("client identifier", slices.Equal(m.Options.Get(dhcpv4.OptionClientIdentifier), append([]byte{1}, n.MAC...)))
		check("maximum message size", len(m.Options.Get(dhcpv4.OptionMaximumDHCPMessageSize)) == 2)
		asked := m.Options.Get(dhcpv4.OptionParameterRequestList)
		for _, code := range []byte{1, 3, 6, 15, 26, 28, 119, 121, 249} {
			check(fmt.Sprintf("missing %d in the parameters requested", code), slices.Contains(asked, code))
		}
		check("order of options 121 and 3", slices.Index(asked, 121) < slices.Index(asked, 3))
		switch m.MessageType() {
		case dhcpv4.MessageTypeDiscover:
			if discover == nil {
				discover = m
			}
			check("transaction of a repeated DISCOVER", m.TransactionID == discover.TransactionID)
			check("Rapid Commit", m.Options.Has(dhcpv4.OptionRapidCommit))
			check("broadcast flag, ciaddr", m.IsBroadcast() && m.ClientIPAddr.IsUnspecified())
			check("server identifier", !m.Options.Has(dhcpv4.OptionServerIdentifier))
		case dhcpv4.MessageTypeRequest:
			if offered == nil {
				continue
			}
			check("transaction", m.TransactionID == discover.TransactionID)
			check("server identifier", m.ServerIdentifier().Equal(offered.ServerIdentifier()))
			check("requested address", m.RequestedIPAddress().Equal(offered.YourIPAddr))
			check("Rapid Commit", !m.Options.Has(dhcpv4.OptionRapidCommit))
			check("ciaddr", m.ClientIPAddr.IsUnspecified())
		default:
			t.Errorf("the guest sent %v", m.Summary())
		}
	}
	return all
}

// TestDHCPOnArm64 is one network on the other architecture.
func TestDHCPOnArm64(t *testing.T) {
	t.Parallel()
	n, err := network.Slirp(network.Options{}, network.Lease{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, n)
	to, err := n.Greet(n.Host, "hello\n")
	if err != nil {
		t.Fatal(err)
	}
	cfg := onNetwork(t, "arm64", []string{"to=" + to.String()}, n)
	cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=5000") // emulated on another architecture it is slow
	s := seen(t, cfg)
	if s.Greeting != "hello\n" {
		t.Errorf("the first connection brought %q, want a greeting", s.Greeting)
	}
	s.wantLease(t, n.Lease)
}
