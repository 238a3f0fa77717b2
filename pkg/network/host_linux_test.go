package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/loop"
)

// addr parses an address.
func addr(s string) inet.Addr { return inet.AddrFrom(netip.MustParseAddr(s).AsSlice()) }

// imageResolvConf is what the image has as /etc/resolv.conf.
const imageResolvConf = "# the image's"

// inNamespaces runs f where interfaces, /etc and /dev are nobody else's.
func inNamespaces(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel() // most of the time they wait
	nstest.Run(t, func(t *testing.T, _ string) {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(netlink.LinkSetUp(lo), unix.Mount("tmpfs", "/etc", "tmpfs", 0, ""),
			unix.Mount("tmpfs", "/dev", "tmpfs", 0, ""), os.WriteFile("/etc/resolv.conf", []byte(imageResolvConf), 0o644)); err != nil {
			t.Fatal(err)
		}
		f(t)
	})
}

// host is the other end of an interface: a DHCP server, a DHCPv6 server, and what a test has a router say. It answers when
// the loop steps: it is a loop.Task.
type host struct {
	t      *testing.T
	mac    net.HardwareAddr // of the interface
	peer   netlink.Link
	fd     int // packet socket of this end
	server inet.Addr

	// DHCP: what the server grants, and whether it does not answer, or refuses every REQUEST.
	address, dns string
	seconds      uint32
	more         []dhcpv4.Modifier
	silent, nak  bool
	seen         []*dhcpv4.DHCPv4
	source       inet.Addr // of the last message

	// DHCPv6: the address and the name server, and how long the address is valid.
	address6, dns6 string
	valid6         time.Duration
	silent6        bool
	seen6          []*dhcpv6.Message

	router   func() // answers solicitations, unless nil
	detected int    // how often it was asked whether anybody has an address of the router's prefix
}

var hostMAC = net.HardwareAddr{0x52, 0x55, 10, 0, 2, 2}

// newHost makes an interface and connects it to a host with the IPv4 network 10.0.N.0/24. It is down.
func newHost(t *testing.T, name string, n byte) *host {
	t.Helper()
	h := &host{
		t: t, mac: net.HardwareAddr{0x5a, 0x94, 0xef, 0xe4, 0x0c, n}, server: inet.Addr4([4]byte{10, 0, n, 2}),
		address: net.IP{10, 0, n, 15}.String(), dns: net.IP{10, 0, n, 3}.String(), seconds: 3600,
		address6: "fd00::15", dns6: "fd00::53", valid6: time.Hour,
	}
	peer := "peer-" + name
	if err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: h.mac}, PeerName: peer, PeerHardwareAddr: hostMAC,
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+peer+"/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	h.peer = link(t, peer)
	h.plug(true)
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: h.peer.Attrs().Index})
	}
	if err == nil {
		// Else the kernel throws away, without a word, what is sent before it has noticed that there is a carrier again.
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	h.fd = fd
	return h
}

// plug connects the cable, or not: the interface has a carrier, if it is up, or has none.
func (h *host) plug(in bool) {
	h.t.Helper()
	set := netlink.LinkSetDown
	if in {
		set = netlink.LinkSetUp
	}
	if err := set(h.peer); err != nil {
		h.t.Fatal(err)
	}
}

// Poll implements loop.Task.
func (h *host) Poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) {
	return append(fds, unix.PollFd{Fd: int32(h.fd), Events: unix.POLLIN}), loop.Forever
}

// Run implements loop.Task: it answers what has come.
func (h *host) Run() {
	for b := make([]byte, 2000); ; {
		n, from, err := unix.Recvfrom(h.fd, b, 0)
		if err == unix.EAGAIN {
			return
		}
		if sender, ok := from.(*unix.SockaddrLinklayer); err == nil && ok && sender.Pkttype != unix.PACKET_OUTGOING && n > 14 {
			h.frame(binary.BigEndian.Uint16(b[12:]), b[14:n])
		}
	}
}

func (h *host) frame(ether uint16, b []byte) {
	port := func(header, port int) bool {
		return len(b) >= header+8 && int(binary.BigEndian.Uint16(b[header+2:])) == port
	}
	switch {
	case ether == unix.ETH_P_ARP && bytes.Equal(b[24:28], h.server.Bytes()):
		h.write(h.mac, unix.ETH_P_ARP, []byte{0, 1, 8, 0, 6, 4, 0, 2}, hostMAC, h.server.Bytes(), b[8:18])
	case ether == unix.ETH_P_IP && b[9] == unix.IPPROTO_UDP && port(20, 67):
		m, err := dhcpv4.FromBytes(b[28:])
		if err != nil {
			h.t.Errorf("the client sent %x: %v", b[28:], err)
			return
		}
		h.seen, h.source = append(h.seen, m), inet.AddrFrom(b[12:16])
		h.answer(m)
	case ether == unix.ETH_P_IPV6 && b[6] == unix.IPPROTO_ICMPV6 && b[40] == 133:
		if h.router != nil {
			h.router()
		}
	case ether == unix.ETH_P_IPV6 && b[6] == unix.IPPROTO_ICMPV6 && b[40] == 135 && inet.AddrFrom(b[8:24]).IsUnspecified():
		if bytes.HasPrefix(b[48:], addr("2001:db8::").Bytes()[:8]) {
			h.detected++
		}
	case ether == unix.ETH_P_IPV6 && b[6] == unix.IPPROTO_UDP && port(40, 547):
		m, err := dhcpv6.MessageFromBytes(b[48:])
		if err != nil {
			h.t.Errorf("the client sent %x: %v", b[48:], err)
			return
		}
		h.seen6 = append(h.seen6, m)
		h.answer6(m, inet.AddrFrom(b[8:24]))
	}
}

func (h *host) write(to net.HardwareAddr, ether uint16, parts ...[]byte) {
	h.t.Helper()
	b := append(slices.Concat(to, hostMAC), byte(ether>>8), byte(ether))
	// It fails while the cable is not in.
	if _, err := unix.Write(h.fd, append(b, slices.Concat(parts...)...)); err != nil && err != unix.ENETDOWN && err != unix.ENETUNREACH {
		h.t.Error(err)
	}
}

// answer is the DHCP server.
func (h *host) answer(m *dhcpv4.DHCPv4) {
	var kind dhcpv4.MessageType
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest:
		kind = dhcpv4.MessageTypeAck
	}
	if h.silent || kind == 0 {
		return
	}
	server := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(h.server.Bytes()))
	modifiers := append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), server, dhcpv4.WithYourIP(net.ParseIP(h.address)), dhcpv4.WithLeaseTime(h.seconds),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(h.server.Bytes()), dhcpv4.WithDNS(net.ParseIP(h.dns)),
	}, h.more...)
	if h.nak && kind == dhcpv4.MessageTypeAck {
		modifiers = []dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeNak), server}
	}
	reply, err := dhcpv4.NewReplyFromRequest(m, modifiers...)
	if err != nil {
		h.t.Error(err)
		return
	}
	packet := dhcp4.AppendFrame(nil, h.server, inet.Addr4([4]byte{255, 255, 255, 255}), reply.ToBytes())
	packet[21], packet[23] = packet[23], packet[21] // from the server's port to the client's, which leaves the checksum as it is
	h.write(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, unix.ETH_P_IP, packet)
}

// answer6 is the DHCPv6 server.
func (h *host) answer6(m *dhcpv6.Message, client inet.Addr) {
	if h.silent6 {
		return
	}
	modifiers := []dhcpv6.Modifier{
		dhcpv6.WithServerID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: hostMAC}),
		dhcpv6.WithDNS(net.ParseIP(h.dns6)), dhcpv6.WithDomainSearchList("six.example"),
	}
	if identity := m.Options.OneIANA(); identity != nil {
		modifiers = append(modifiers, dhcpv6.WithIAID(identity.IaId), dhcpv6.WithIANA(dhcpv6.OptIAAddress{
			IPv6Addr: net.ParseIP(h.address6), PreferredLifetime: h.valid6, ValidLifetime: h.valid6,
		}))
	}
	reply := dhcpv6.NewReplyFromMessage
	if m.MessageType == dhcpv6.MessageTypeSolicit {
		reply = dhcpv6.NewAdvertiseFromSolicit
	}
	answer, err := reply(m, modifiers...)
	if err != nil {
		h.t.Error(err)
		return
	}
	payload := answer.ToBytes()
	udp := append([]byte{547 >> 8, 547 & 0xff, 546 >> 8, 546 & 0xff, byte((8 + len(payload)) >> 8), byte(8 + len(payload)), 0, 0}, payload...)
	h.write6(h.mac, client, unix.IPPROTO_UDP, udp, 6)
}

// write6 writes a packet from fe80::1 with the checksum of its payload.
func (h *host) write6(mac net.HardwareAddr, to inet.Addr, protocol byte, payload []byte, checksumAt int) {
	h.t.Helper()
	from := addr("fe80::1")
	pseudo := append(slices.Concat(from.Bytes(), to.Bytes()), 0, 0, byte(len(payload)>>8), byte(len(payload)), 0, 0, 0, protocol)
	binary.BigEndian.PutUint16(payload[checksumAt:], inet.Checksum(pseudo, payload))
	header := []byte{0x60, 0, 0, 0, byte(len(payload) >> 8), byte(len(payload)), protocol, 255}
	h.write(mac, unix.ETH_P_IPV6, header, from.Bytes(), to.Bytes(), payload)
}

// Flags of a router advertisement, RFC 4861 section 4.2.
const (
	managed = 0x80
	other   = 0x40
)

// advertise has the router say that it is one for half an hour, and that the prefix 2001:db8::/64 is on the link.
func (h *host) advertise(flags byte, options ...[]byte) {
	h.t.Helper()
	prefix := append([]byte{3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0}, addr("2001:db8::").Bytes()...)
	b := append([]byte{134, 0, 0, 0, 64, flags, 1800 >> 8, 1800 & 0xff, 0, 0, 0, 0, 0, 0, 0, 0}, prefix...)
	h.write6(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, addr("ff02::1"), unix.IPPROTO_ICMPV6, append(b, slices.Concat(options...)...), 2)
}

// rdnss makes a Recursive DNS Server option, RFC 8106 section 5.1.
func rdnss(seconds byte, server string) []byte {
	return append([]byte{25, 3, 0, 0, 0, 0, 0, seconds}, addr(server).Bytes()...)
}

// dnssl makes a DNS Search List option for one label of six letters, RFC 8106 section 5.2.
func dnssl(seconds byte, label string) []byte {
	return append(append([]byte{31, 2, 0, 0, 0, 0, 0, seconds, 6}, label...), 0)
}

// last returns the last DHCP message of the client's, if it is of a kind.
func (h *host) last(kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	h.t.Helper()
	if len(h.seen) == 0 || h.seen[len(h.seen)-1].MessageType() != kind {
		h.t.Fatalf("the client has sent %v, want a %v at last", h.seen, kind)
	}
	return h.seen[len(h.seen)-1]
}

// kinds returns what kinds of DHCPv6 messages the client has sent.
func (h *host) kinds() (kinds []string) {
	for _, m := range h.seen6 {
		kinds = append(kinds, m.MessageType.String())
	}
	return slices.Compact(kinds)
}

// rig is a Network and the loop in which it and hosts run.
type rig struct {
	t        *testing.T
	n        *Network
	loop     loop.Loop
	warnings []string
	lines    []string // of Trace
	hostname []string // those of OnHostname
}

// newRig returns a rig that is not started.
func newRig(t *testing.T, cfg Config, hosts ...*host) *rig {
	t.Helper()
	r := &rig{t: t}
	cfg.Warn = func(err error) { r.warnings = append(r.warnings, err.Error()) }
	cfg.Trace = func(line string) { r.lines = append(r.lines, line) }
	cfg.OnHostname = func(name string) { r.hostname = append(r.hostname, name) }
	r.n = New(cfg)
	r.loop = loop.Loop{Tasks: []loop.Task{r.n}, Warn: cfg.Warn}
	for _, h := range hosts {
		r.loop.Tasks = append(r.loop.Tasks, h)
	}
	t.Cleanup(func() { r.n.Close() })
	return r
}

// start starts the Network.
func (r *rig) start() *rig {
	r.t.Helper()
	if err := r.n.Start(); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// until steps the loop until a condition holds, which must not take many steps: a loop that spins takes thousands a second.
func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	const mostSteps = 3000
	began := time.Now()
	for steps := 0; !holds(); steps++ {
		if steps > mostSteps || time.Since(began) > 30*time.Second {
			r.t.Fatalf("%s: not so after %d steps and %v\nwarnings %q\n%s\nresolv.conf %q", what, steps, time.Since(began), r.warnings,
				strings.Join(r.lines, "\n"), resolvConf(r.t))
		}
		if _, err := r.loop.Step(-1, 20*time.Millisecond); err != nil {
			r.t.Fatal(err)
		}
		if len(r.loop.Tasks) == 0 || r.loop.Tasks[0] != r.n {
			r.t.Fatalf("the network panicked: %q", r.warnings)
		}
	}
}

// untilLeased waits until an interface has an address and resolv.conf a name server, from DHCP.
func (r *rig) untilLeased(name, address, server string) {
	r.t.Helper()
	r.until(name+" has "+address+" and "+server, func() bool {
		return slices.Equal(addresses4(r.t, name), []string{address}) && slices.Contains(resolvConf(r.t), "nameserver "+server)
	})
}

// unplug pulls the cable out, and waits until that is noticed.
func (r *rig) unplug(h *host) {
	r.t.Helper()
	h.plug(false)
	name := strings.TrimPrefix(h.peer.Attrs().Name, "peer-")
	k := slices.IndexFunc(r.n.Interfaces(), func(i *Interface) bool { return i.Name == name })
	r.until("no carrier", func() bool { return !r.n.Interfaces()[k].Status().Carrier })
}

// wantWarnings checks the warnings since the last time, each by a part of it.
func (r *rig) wantWarnings(parts ...string) {
	r.t.Helper()
	ok := len(r.warnings) == len(parts)
	for k := 0; ok && k < len(parts); k++ {
		ok = strings.Contains(r.warnings[k], parts[k])
	}
	if !ok {
		r.t.Errorf("warnings %q, want %q", r.warnings, parts)
	}
	r.warnings = nil
}

// link returns an interface.
func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return l
}

func isUp(t *testing.T, name string) bool {
	t.Helper()
	return link(t, name).Attrs().Flags&net.FlagUp != 0
}

// addresses returns the addresses of an interface, without link-local ones; none if it is not there.
func addresses(t *testing.T, name string, family int) (list []string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		return nil
	}
	all, err := netlink.AddrList(l, family)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if !a.IP.IsLinkLocalUnicast() {
			list = append(list, a.IPNet.String())
		}
	}
	return list
}

func addresses4(t *testing.T, name string) []string {
	t.Helper()
	return addresses(t, name, netlink.FAMILY_V4)
}

// routes returns the IPv4 routes through an interface that come from DHCP: "0.0.0.0/0 via 10.0.2.2 src 10.0.2.15 metric 0".
func routes(t *testing.T, name string) (list []string) {
	t.Helper()
	all, err := netlink.RouteListFiltered(netlink.FAMILY_V4,
		&netlink.Route{LinkIndex: link(t, name).Attrs().Index, Protocol: unix.RTPROT_DHCP}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		list = append(list, strings.Join([]string{r.Dst.String(), "via", r.Gw.String(), "src", r.Src.String(), "metric", strconv.Itoa(r.Priority)}, " "))
	}
	return list
}

// resolvConf returns the lines of resolv.conf, without the comment on top of ours.
func resolvConf(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if strings.HasPrefix(lines[0], "# Written by krunbox") {
		lines = lines[1:]
	}
	return lines
}

// want compares lists.
func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
