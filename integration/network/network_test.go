package network

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
)

// Most tests boot a guest with libkrun's init and the DHCP client of BusyBox, which prints the
// lease that it gets.

const guestScript = `#!/bin/sh
ip link set eth0 up
udhcpc -i eth0 -f -q -n -t 10 -T 1 -s /bound -O search -O mtu -O staticroutes -O hostname 2>/log || cat /log
nc $1 $2
`

const boundScript = `#!/bin/sh
[ "$1" = bound ] || exit 0
for name in ip mask router dns hostname domain search mtu staticroutes lease; do
	eval "value=\$$name"
	[ -z "$value" ] || echo $name=$value
done
ip address add $ip/$mask dev eth0
[ -z "$mtu" ] || ip link set eth0 mtu $mtu
[ -z "$router" ] || ip route add $router dev eth0
[ -z "$router" ] || ip route add default via $router
`

// lease has all fields set.
var lease = Lease{
	Address:  netip.MustParsePrefix("192.0.2.77/25"),
	Routers:  []netip.Addr{netip.MustParseAddr("192.0.2.1")},
	DNS:      []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("198.51.100.53")},
	Hostname: "guest",
	Domain:   "example.org",
	Search:   []string{"a.example.org", "example.com"},
	MTU:      1400,
	Routes: []Route{
		{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.0.2.1")},
		{netip.MustParsePrefix("203.0.113.128/25"), netip.MustParseAddr("192.0.2.2")},
	},
	Time: 2 * time.Hour,
}

// shown returns the output of boundScript for a lease.
func shown(l Lease) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s=%s\n", name, value)
		}
	}
	line("ip", l.Address.Addr().String())
	line("mask", fmt.Sprint(l.Address.Bits()))
	line("router", join(l.Routers, " "))
	line("dns", join(l.DNS, " "))
	line("hostname", l.Hostname)
	line("domain", l.Domain)
	line("search", strings.Join(l.Search, " "))
	if l.MTU != 0 {
		line("mtu", fmt.Sprint(l.MTU))
	}
	var routes []string
	for _, r := range l.Routes {
		routes = append(routes, r.To.String(), r.Via.String())
	}
	line("staticroutes", strings.Join(routes, " "))
	line("lease", fmt.Sprint(seconds(l.Time)))
	return b.String()
}

// boot boots a guest that is connected to networks and runs a script. It returns the output of the
// console.
func boot(t *testing.T, script string, args []string, networks ...*Network) string {
	t.Helper()
	init, err := guestkernel.PeerInit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := vm.Config{
		Arch: "amd64",
		Init: init,
		Root: t.TempDir(),
		Files: []hostfs.File{
			{Path: "/script", Data: []byte(script), Mode: 0o755},
			{Path: "/bound", Data: []byte(boundScript), Mode: 0o755},
		},
		Env:  []string{"KRUN_INIT=/script"},
		Args: args,
	}
	if err := guestroot.Create(t.Context(), cfg.Arch, cfg.Root); err != nil {
		t.Fatal(err)
	}
	for _, n := range networks {
		n.AddTo(&cfg)
	}
	result, err := vm.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.ReplaceAll(result.Console, []byte("\r\n"), []byte("\n")))
}

// checkLease boots a guest and checks that it gets the lease and can connect to the host.
func checkLease(t *testing.T, n *Network, l Lease) {
	t.Helper()
	host, err := n.Greet(n.Host, "hello\n")
	if err != nil {
		t.Fatal(err)
	}
	got := boot(t, guestScript, []string{host.Addr().String(), fmt.Sprint(host.Port())}, n)
	if want := shown(l) + "hello\n"; got != want {
		t.Errorf("output of the guest:\n%s\nwant:\n%s", got, want)
	}
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	// The guest's output does not distinguish two names from one name with a blank.
	for _, p := range packets {
		m := p.DHCPv4()
		if m != nil && m.MessageType() == dhcpv4.MessageTypeAck && len(l.Search) > 0 {
			if got := m.DomainSearch().Labels; !slices.Equal(got, l.Search) {
				t.Errorf("search list = %q, want %q", got, l.Search)
			}
		}
	}
}

// exchange returns the types of the captured DHCPv4 messages.
func exchange(t *testing.T, n *Network) []dhcpv4.MessageType {
	t.Helper()
	packets, err := n.Packets()
	if err != nil {
		t.Fatal(err)
	}
	var types []dhcpv4.MessageType
	for _, p := range packets {
		if m := p.DHCPv4(); m != nil {
			types = append(types, m.MessageType())
		}
	}
	return types
}

func wantExchange(t *testing.T, n *Network, want ...dhcpv4.MessageType) {
	t.Helper()
	if got := exchange(t, n); !slices.Equal(got, want) {
		t.Errorf("messages = %v, want %v", got, want)
	}
}

// fourWays are the types of the messages when a guest gets an address.
var fourWays = []dhcpv4.MessageType{
	dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeAck,
}

// closing closes the network at the end of the test and checks that its directory is removed.
func closing(t *testing.T, n *Network) {
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(n.dir); err == nil {
			t.Errorf("%s exists after Close", n.dir)
		}
	})
}

func TestSlirp(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]Lease{
		"defaults": {},
		"lease": {
			Address:  netip.MustParsePrefix("192.0.2.77/25"),
			Routers:  []netip.Addr{netip.MustParseAddr("192.0.2.100")},
			DNS:      []netip.Addr{netip.MustParseAddr("192.0.2.53")},
			Hostname: "guest",
			Domain:   "example.org",
			Search:   []string{"a.example.org", "example.com"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, err := Slirp(Options{}, l)
			if err != nil {
				t.Fatal(err)
			}
			closing(t, n)
			checkLease(t, n, n.Lease)
			wantExchange(t, n, fourWays...)
		})
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("root only: creates a network namespace")
	}
}

// segment returns a Segment on which servers run.
func segment(t *testing.T, servers ...Server) *Segment {
	t.Helper()
	needRoot(t)
	s, err := NewSegment(SegmentOptions{Options: Options{Log: t.Output()}})
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

func TestDnsmasq(t *testing.T) {
	t.Parallel()
	s := segment(t, Dnsmasq{Lease: lease})
	checkLease(t, s.Network, lease)
	wantExchange(t, s.Network, fourWays...)
}

func TestDnsmasqRapidCommit(t *testing.T) {
	t.Parallel()
	s := segment(t, Dnsmasq{Lease: lease, RapidCommit: true})
	init, err := guestkernel.PeerInit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := vm.Config{
		Arch: "amd64",
		Init: init,
		Root: t.TempDir(),
		Env:  []string{"KRUN_INIT=/bin/true", "KRUN_DHCP=1"},
	}
	if err := guestroot.Create(t.Context(), cfg.Arch, cfg.Root); err != nil {
		t.Fatal(err)
	}
	s.AddTo(&cfg)
	if _, err := vm.Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	wantExchange(t, s.Network, dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeAck)
}

func TestKea(t *testing.T) {
	t.Parallel()
	s := segment(t, Kea{lease})
	checkLease(t, s.Network, lease)
	wantExchange(t, s.Network, fourWays...)
}

func TestDhcpd(t *testing.T) {
	t.Parallel()
	s := segment(t, Dhcpd{lease})
	checkLease(t, s.Network, lease)
	wantExchange(t, s.Network, fourWays...)
}

func TestUdhcpd(t *testing.T) {
	t.Parallel()
	s := segment(t, Udhcpd{lease})
	checkLease(t, s.Network, lease)
	wantExchange(t, s.Network, fourWays...)
}

func TestGvisor(t *testing.T) {
	t.Parallel()
	for name, datagrams := range map[string]bool{"stream": false, "datagrams": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := Lease{
				Address: lease.Address,
				Routers: lease.Routers,
				Search:  lease.Search,
				MTU:     lease.MTU,
			}
			n, err := Gvisor(Options{}, l, datagrams)
			if err != nil {
				t.Fatal(err)
			}
			closing(t, n)
			checkLease(t, n, n.Lease)
			wantExchange(t, n, fourWays...)
		})
	}
}

func TestPasst(t *testing.T) {
	t.Parallel()
	needRoot(t)
	l := Lease{
		Address: lease.Address,
		Routers: lease.Routers,
		DNS:     lease.DNS,
		Search:  lease.Search,
		MTU:     lease.MTU,
	}
	n, err := Passt(t.Context(), Options{Log: t.Output()}, l, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, n)
	checkLease(t, n, n.Lease)
	wantExchange(t, n, fourWays...)
}

// TestOffload checks that, with checksum offload, the guest receives DHCP messages without correct
// checksums and accepts them, and that captured frames have no virtio-net header.
func TestOffload(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s, err := NewSegment(SegmentOptions{Options: Options{Log: t.Output()}, Offload: true})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s.Network)
	if _, err := s.Serve(t.Context(), Dnsmasq{Lease: lease}); err != nil {
		t.Fatal(err)
	}
	checkLease(t, s.Network, lease)
	wantExchange(t, s.Network, fourWays...)
	packets, err := s.Packets()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		if p.DHCPv4() == nil || p.FromGuest {
			continue
		}
		ip, udp := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4), p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		source, _ := netip.AddrFromSlice(ip.SrcIP)
		destination, _ := netip.AddrFromSlice(ip.DstIP)
		complete := decode(UDP{
			From:    netip.AddrPortFrom(source, uint16(udp.SrcPort)),
			To:      netip.AddrPortFrom(destination, uint16(udp.DstPort)),
			FromMAC: s.HostMAC, ToMAC: s.MAC, Payload: udp.Payload,
		}.Frame()).Layer(layers.LayerTypeUDP).(*layers.UDP)
		if udp.Checksum == complete.Checksum {
			t.Errorf("checksum = %#x, want an incorrect one", udp.Checksum)
		}
	}
}

// TestDevice checks the hardware address, MTU and link state of the guest's interfaces, and that
// they are in the order of AddTo.
func TestDevice(t *testing.T) {
	t.Parallel()
	first, err := Slirp(Options{MaxMTU: 1420}, Lease{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, first)
	second, err := Slirp(Options{MAC: "52:54:00:00:00:02"}, Lease{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, second)
	if err := second.SetLink(false); err != nil {
		t.Fatal(err)
	}
	got := boot(t, `#!/bin/sh
cd /sys/class/net
ip link set eth0 up
ip link set eth1 up
for name in address mtu carrier; do cat eth0/$name eth1/$name; done
`, nil, first, second)
	if want := "52:54:00:12:34:56\n52:54:00:00:00:02\n1420\n1500\n1\n0\n"; got != want {
		t.Errorf("output of the guest = %q, want %q", got, want)
	}
}

func TestSettingsThatAServerLacks(t *testing.T) {
	for name, start := range map[string]func() (*Network, error){
		"QEMU has no setting for the MTU": func() (*Network, error) {
			return Slirp(Options{}, Lease{MTU: 1400})
		},
		"gvisor-tap-vsock has no setting for the Domain": func() (*Network, error) {
			return Gvisor(Options{}, Lease{Domain: "example.org"}, false)
		},
		"passt has no setting for the Time": func() (*Network, error) {
			return Passt(t.Context(), Options{}, Lease{Time: time.Second}, netip.Addr{})
		},
		"is not in the host's subnets": func() (*Network, error) {
			needRoot(t)
			s, err := NewSegment(SegmentOptions{})
			if err != nil {
				return nil, err
			}
			closing(t, s.Network)
			server := Udhcpd{Lease{Address: netip.MustParsePrefix("198.51.100.7/24")}}
			_, err = s.Serve(t.Context(), server)
			return nil, err
		},
	} {
		if n, err := start(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("start() = %v, %v, want an error with %q", n, err, name)
		}
	}
}

// TestClasslessRoutes has the examples of RFC 3442 and one more.
func TestClasslessRoutes(t *testing.T) {
	for to, want := range map[string]string{
		"0.0.0.0/0":        "00 0a000001",
		"10.0.0.0/8":       "08 0a 0a000001",
		"10.17.0.0/16":     "10 0a11 0a000001",
		"10.27.129.0/24":   "18 0a1b81 0a000001",
		"10.229.0.128/25":  "19 0ae50080 0a000001",
		"10.198.122.47/32": "20 0ac67a2f 0a000001",
		"10.128.0.0/9":     "09 0a80 0a000001",
	} {
		l := Lease{Routes: []Route{{netip.MustParsePrefix(to), netip.MustParseAddr("10.0.0.1")}}}
		if got := fmt.Sprintf("%x", l.classlessRoutes()); got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("classlessRoutes() of %s = %s, want %s", to, got, want)
		}
	}
}

func TestServerThatFails(t *testing.T) {
	t.Parallel()
	needRoot(t)
	ns, err := newNamespace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.close() })
	_, err = ns.start(t.Context(), exec.Command("sh", "-c", "echo broken; exit 3"), "ready", nil)
	if err == nil || !strings.Contains(err.Error(), "exit status 3\nbroken") {
		t.Errorf("start() = %v, want an error with exit status and output", err)
	}
	p, err := ns.start(t.Context(), exec.Command("sh", "-c", "echo ready; exec sleep 1000"), "ready", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(); err != nil {
		t.Errorf("stop() = %v, want nil", err)
	}
	if err := p.cmd.Process.Signal(syscall.Signal(0)); err == nil {
		t.Error("the process exists after stop()")
	}
}
