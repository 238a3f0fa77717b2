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
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
)

// A networkState is what a workload observes of the network.
type networkState struct {
	Greeting  string     // data from the connection that the workload opens first, or an error
	Addresses []string   // IPv4 ones, as CIDR
	Broadcast netip.Addr // of eth0
	Routes    []string   // "DESTINATION via GATEWAY dev NAME metric N"
	MTU       int
	Resolv    []string // lines of /etc/resolv.conf without comments; nil if there is no such file
	Hostname  string
	Processes []string // names of all processes
	Uptime    float64  // uptime of the machine when the workload started, in seconds
}

// networkGuest executes its arguments in order, and then prints a networkState:
//
//	to=ADDRESS:PORT  connects to the address
//	until=TEXT       waits until the output of "ip addr; ip route; cat /etc/resolv.conf"
//	                 contains the text
//	until=!TEXT      waits until that output does not contain the text
//	run=COMMAND      runs a shell command
//	mark             sends a frame that appears in the capture, see markedAt
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

// markType is the EtherType of marks. IEEE 802 reserves it for local experiments.
const markType = 0x88b5

// sendMark broadcasts an empty frame on eth0.
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

// markedAt returns the time from the first DISCOVER to the first mark of the guest.
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
		t.Fatalf("the capture has the first DISCOVER at %v and the first mark at %v, want both",
			begin, mark)
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

// greeting connects to a server and returns what it sends, or the error. It does not retry.
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

// look sets all fields but Greeting and Uptime.
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
			s.Broadcast = broadcast(t, i.Name)
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

// broadcast returns the broadcast address of an interface, or the zero Addr if it has none.
func broadcast(t *testing.T, name string) netip.Addr {
	t.Helper()
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	if unix.IoctlIfreq(s, unix.SIOCGIFBRDADDR, request) != nil {
		return netip.Addr{} // the interface has no address
	}
	b, err := request.Inet4Addr()
	if err != nil {
		t.Fatal(err)
	}
	address, _ := netip.AddrFromSlice(b)
	return address
}

// kernelAddr parses an address in the format of /proc/net/route.
func kernelAddr(s string) netip.Addr {
	b, _ := hex.DecodeString(s)
	slices.Reverse(b)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// onNetwork returns withBusybox with networkGuest as its workload, an interface in each network,
// and KRUN_DHCP=1.
func onNetwork(t *testing.T, arch string, args []string, networks ...*network.Network) vm.Config {
	t.Helper()
	cfg := withBusybox(t, arch)
	networkGuest.addTo(t, &cfg, args...)
	cfg.Env = append(cfg.Env, "KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=20000") // this machine may be busy
	for _, n := range networks {
		n.AddTo(&cfg)
	}
	return cfg
}

// seen boots a machine that onNetwork made, and returns what its workload observed. The test fails
// if init does not print the given messages, once each and no others.
func seen(t *testing.T, cfg vm.Config, messages ...string) networkState {
	t.Helper()
	result := run(t, cfg, 0)
	text := console(result)
	var got []string
	for line := range strings.Lines(text) {
		if message, found := strings.CutPrefix(line, "krunbox: "); found {
			got = append(got, strings.TrimSpace(message))
		}
	}
	if !slices.Equal(got, messages) {
		t.Errorf("console: %s\nwant the messages of init %q", text, messages)
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

// wantLease checks that the workload observes the settings of the lease.
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

// fullLease has a value for each setting of a server.
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

// segment returns a segment with servers. It skips the test if the user is not root.
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

// TestServers boots a guest on each kind of network. The workload connects to the host at once. The
// test checks the settings from the lease, the messages on the wire, and that no two boots use the
// same transaction ID.
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
	// Messages of the guest in an exchange of four, with OFFER and ACK of the server, or of two.
	four := []dhcpv4.MessageType{discover, request}
	two := []dhcpv4.MessageType{discover}
	var mu sync.Mutex
	boots, transactions := 0, map[dhcpv4.TransactionID]bool{}
	t.Cleanup(func() {
		if len(transactions) != boots {
			t.Errorf("transaction IDs of %d boots = %v, want all different", boots, transactions)
		}
	})
	limited := network.Lease{Address: fullLease.Address, Routers: fullLease.Routers, Search: fullLease.Search, MTU: fullLease.MTU}
	for _, c := range []struct {
		name     string
		start    func(*testing.T) (*network.Network, network.Lease)
		exchange []dhcpv4.MessageType
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
		{name: "udhcpd", start: onSegment(network.Udhcpd{Lease: fullLease}), exchange: four},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n, lease := c.start(t)
			to, err := n.Greet(n.Host, "hello\n")
			if err != nil {
				t.Fatal(err)
			}
			s := seen(t, onNetwork(t, "amd64", []string{"to=" + to.String()}, n))
			if s.Greeting != "hello\n" {
				t.Errorf("the first connection returned %q, want a greeting", s.Greeting)
			}
			s.wantLease(t, lease)
			var types []dhcpv4.MessageType
			var ack *dhcpv4.DHCPv4
			for _, m := range checkMessages(t, n) {
				if m.OpCode == dhcpv4.OpcodeBootRequest {
					types = append(types, m.MessageType())
				} else if m.MessageType() == dhcpv4.MessageTypeAck {
					ack = m
				}
			}
			// The guest retransmits when the server is slow because this machine is busy.
			if types = slices.Compact(types); !slices.Equal(types, c.exchange) || ack == nil {
				t.Fatalf("the guest sent %v, want %v; ACK = %v, want one", types, c.exchange, ack)
			}
			if want := broadcastOf(lease.Address, ack.BroadcastAddress()); s.Broadcast != want {
				t.Errorf("broadcast address = %v, want %v", s.Broadcast, want)
			}
			checkOthers(t, n, to)
			mu.Lock()
			defer mu.Unlock()
			boots++
			transactions[ack.TransactionID] = true
		})
	}
}

// broadcastOf returns the broadcast address of a subnet: said, if the server sent one, or the
// address with all host bits set.
func broadcastOf(p netip.Prefix, said net.IP) netip.Addr {
	if a, ok := netip.AddrFromSlice(said.To4()); ok {
		return a
	}
	b := p.Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|(1<<(32-p.Bits())-1))
	return netip.AddrFrom4(b)
}

// checkOthers checks that the guest sent no IPv4 packets except DHCP messages and those of its
// connection. For example, it must not send ICMP errors for datagrams to an address that is not yet
// configured.
func checkOthers(t *testing.T, n *network.Network, to netip.AddrPort) {
	t.Helper()
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if !ok || !p.FromGuest || p.DHCPv4() != nil {
			continue
		}
		tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !ok || ip.DstIP.String() != to.Addr().String() || uint16(tcp.DstPort) != to.Port() {
			t.Errorf("the guest sent an unexpected packet: %v", p)
		}
	}
}

// checkHeaders checks the Ethernet, IP and UDP headers of a message that the guest sends while it
// has no address.
func checkHeaders(t *testing.T, n *network.Network, p network.Packet) {
	t.Helper()
	ethernet, _ := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	udp, _ := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if ethernet.SrcMAC.String() != n.MAC.String() || ethernet.DstMAC.String() != "ff:ff:ff:ff:ff:ff" {
		t.Errorf("message from %v to %v, want the interface's address and broadcast",
			ethernet.SrcMAC, ethernet.DstMAC)
	}
	if !ip.SrcIP.IsUnspecified() || !ip.DstIP.Equal(net.IPv4bcast) || udp.SrcPort != 68 || udp.DstPort != 67 || ip.TTL == 0 {
		t.Errorf("message from %v:%v to %v:%v, TTL %d, want 0.0.0.0:68 to broadcast:67, TTL > 0",
			ip.SrcIP, udp.SrcPort, ip.DstIP, udp.DstPort, ip.TTL)
	}
	if len(udp.Payload) < 300 { // RFC 1542 section 2.1
		t.Errorf("message of %d bytes, want at least 300", len(udp.Payload))
	}
	// Compare with the lengths and checksums that gopacket computes.
	rightIP, rightUDP := *ip, *udp
	err := rightUDP.SetNetworkLayerForChecksum(&rightIP)
	if err == nil {
		err = gopacket.SerializeLayers(gopacket.NewSerializeBuffer(), gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			&rightIP, &rightUDP, gopacket.Payload(udp.Payload))
	}
	if err != nil || ip.Checksum != rightIP.Checksum || ip.Length != rightIP.Length || udp.Checksum != rightUDP.Checksum ||
		udp.Length != rightUDP.Length {
		t.Errorf("wrong checksums or lengths in %v (%v)", p, err)
	}
}

// checkMessages checks the fields of the messages with which the guest acquired one lease, RFC 2131
// section 2 and table 5, and the intervals of its retransmissions. It returns all DHCP messages of
// the capture.
func checkMessages(t *testing.T, n *network.Network) (all []*dhcpv4.DHCPv4) {
	t.Helper()
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	var offered, discover, last *dhcpv4.DHCPv4 // last is the guest's last message
	var began, sent time.Time                  // times of the first DISCOVER and of last
	// Shortest time until a retransmission of last, without jitter.
	var interval time.Duration
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
				t.Errorf("wrong %s in %v", what, m.Summary())
			}
		}
		checkHeaders(t, n, p)
		at := p.Metadata().Timestamp
		// The intervals of retransmissions start at 100 ms and double, with a jitter of a quarter.
		// The times are those at which QEMU received the packets.
		const late = 50 * time.Millisecond
		if last != nil && m.MessageType() == last.MessageType() {
			check(fmt.Sprintf("interval of %v, want at least %v,", at.Sub(sent), interval*3/4),
				at.Sub(sent) >= interval*3/4-late)
			interval *= 2
		} else {
			interval = 100 * time.Millisecond
		}
		check("operation or hardware address", m.OpCode == dhcpv4.OpcodeBootRequest &&
			m.HWType == 1 && m.ClientHWAddr.String() == n.MAC.String())
		check("hops, yiaddr, siaddr or giaddr", m.HopCount == 0 && m.YourIPAddr.IsUnspecified() &&
			m.ServerIPAddr.IsUnspecified() && m.GatewayIPAddr.IsUnspecified())
		check("client identifier", slices.Equal(m.Options.Get(dhcpv4.OptionClientIdentifier), append([]byte{1}, n.MAC...)))
		size, err := m.MaxMessageSize()
		check("maximum message size", err == nil && size >= 576)
		asked := m.Options.Get(dhcpv4.OptionParameterRequestList)
		for _, code := range []byte{1, 3, 6, 15, 26, 28, 119, 121, 249} {
			check(fmt.Sprintf("parameter request list, want option %d,", code),
				slices.Contains(asked, code))
		}
		check("order of options 121 and 3", slices.Index(asked, 121) < slices.Index(asked, 3))
		switch m.MessageType() {
		case dhcpv4.MessageTypeDiscover:
			if discover == nil {
				discover, began = m, at
			}
			secs := int(at.Sub(began) / time.Second)
			check(fmt.Sprintf("secs after %v", at.Sub(began)), int(m.NumSeconds) >= secs-2 && int(m.NumSeconds) <= secs+2)
			check("transaction ID of a retransmitted DISCOVER",
				m.TransactionID == discover.TransactionID)
			check("Rapid Commit", m.Options.Has(dhcpv4.OptionRapidCommit))
			check("broadcast flag or ciaddr", m.IsBroadcast() && m.ClientIPAddr.IsUnspecified())
			check("server identifier", !m.Options.Has(dhcpv4.OptionServerIdentifier))
		case dhcpv4.MessageTypeRequest:
			if offered == nil {
				t.Fatalf("the guest sent %v before it received an offer", m.Summary())
			}
			check("transaction ID", m.TransactionID == discover.TransactionID)
			check("server identifier", m.ServerIdentifier().Equal(offered.ServerIdentifier()))
			check("requested address", m.RequestedIPAddress().Equal(offered.YourIPAddr))
			check("Rapid Commit", !m.Options.Has(dhcpv4.OptionRapidCommit))
			check("ciaddr", m.ClientIPAddr.IsUnspecified())
			check("secs", m.NumSeconds == last.NumSeconds) // section 4.4.1
		default:
			t.Errorf("the guest sent an unexpected message: %v", m.Summary())
		}
		last, sent = m, at
	}
	return all
}

// TestDHCPOnArm64 acquires a lease on arm64.
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
	// Emulation of another architecture is slow.
	cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=5000")
	s := seen(t, cfg)
	if s.Greeting != "hello\n" {
		t.Errorf("the first connection returned %q, want a greeting", s.Greeting)
	}
	s.wantLease(t, n.Lease)
}
