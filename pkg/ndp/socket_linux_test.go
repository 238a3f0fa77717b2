package ndp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/recvmsg"
)

var (
	ourMAC    = []byte{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}
	routerMAC = []byte{0x52, 0x55, 10, 0, 2, 2}
	allNodes  = addr("ff02::1")
)

// wire connects an interface of this host to a router that the test plays with a packet socket.
type wire struct {
	t    *testing.T
	ours netlink.Link
	fd   int // the router's packet socket
}

// openWire makes an interface and sets it up. The kernel sends no router solicitations on it.
func openWire(t *testing.T, name string) *wire {
	t.Helper()
	ours := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: ourMAC},
		PeerName:  name + "-peer", PeerHardwareAddr: routerMAC,
	}
	if err := netlink.LinkAdd(ours); err != nil {
		t.Fatal(err)
	}
	peer, err := netlink.LinkByName(name + "-peer")
	if err != nil {
		t.Fatal(err)
	}
	set(t, name, "router_solicitations", "0")
	set(t, name+"-peer", "disable_ipv6", "1")
	if err := errors.Join(netlink.LinkSetUp(ours), netlink.LinkSetUp(peer)); err != nil {
		t.Fatal(err)
	}
	waitForAddress(t, ours, peer)
	const protocol = unix.ETH_P_IPV6>>8 | unix.ETH_P_IPV6&0xff<<8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	address := &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: peer.Attrs().Index}
	if err := unix.Bind(fd, address); err != nil {
		t.Fatal(err)
	}
	return &wire{t, ours, fd}
}

// waitForAddress waits until both ends are up, and ours has a link-local address, which may be
// tentative.
func waitForAddress(t *testing.T, ours, peer netlink.Link) {
	t.Helper()
	isUp := func(link netlink.Link) bool {
		link, err := netlink.LinkByIndex(link.Attrs().Index)
		return err == nil && link.Attrs().OperState == netlink.OperUp
	}
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		addresses, err := netlink.AddrList(ours, netlink.FAMILY_V6)
		if err == nil && len(addresses) > 0 && isUp(ours) && isUp(peer) {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("no link-local address: %v, %v", addresses, err)
		}
	}
}

// set sets an IPv6 parameter of an interface.
func set(t *testing.T, name, parameter, value string) {
	t.Helper()
	file := "/proc/sys/net/ipv6/conf/" + name + "/" + parameter
	if err := os.WriteFile(file, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// checksum returns the checksum of an ICMPv6 message: RFC 8200 section 8.1. It is 0 if the message
// has the right one.
func checksum(source, destination netip.Addr, icmp []byte) uint16 {
	b := slices.Concat(source.AsSlice(), destination.AsSlice())
	b = binary.BigEndian.AppendUint32(b, uint32(len(icmp)))
	b = append(append(b, 0, 0, 0, unix.IPPROTO_ICMPV6), icmp...)
	sum := uint32(0)
	for ; len(b) > 0; b = b[2:] {
		if len(b) == 1 {
			b = append(b, 0)
		}
		sum += uint32(binary.BigEndian.Uint16(b))
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// frame returns an Ethernet frame with an ICMPv6 message, whose checksum it adds.
func frame(source netip.Addr, hopLimit byte, icmp []byte) []byte {
	icmp = bytes.Clone(icmp)
	binary.BigEndian.PutUint16(icmp[2:], checksum(source, allNodes, icmp))
	ip := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(icmp)))
	ip = append(ip, unix.IPPROTO_ICMPV6, hopLimit)
	return slices.Concat([]byte{0x33, 0x33, 0, 0, 0, 1}, routerMAC, []byte{0x86, 0xdd},
		ip, source.AsSlice(), allNodes.AsSlice(), icmp)
}

// write sends a frame from the router.
func (w *wire) write(frame []byte) {
	w.t.Helper()
	if _, err := unix.Write(w.fd, frame); err != nil {
		w.t.Fatal(err)
	}
}

func open(t *testing.T, link netlink.Link) *Socket {
	t.Helper()
	s, err := OpenSocket(link.Attrs().Index)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// wait waits until fd is readable.
func wait(t *testing.T, fd int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if n == 1 {
			return
		}
		if err != unix.EINTR {
			t.Fatalf("poll = %d, %v", n, err)
		}
	}
}

// receive waits for an advertisement and returns it.
func receive(t *testing.T, s *Socket, buf []byte) Advertisement {
	t.Helper()
	for {
		wait(t, s.FD())
		a, err := s.Receive(buf)
		if err == nil {
			return a
		}
		if err != unix.EAGAIN {
			t.Fatal(err)
		}
	}
}

// serverOf returns an advertisement that a test recognizes by its server.
func serverOf(server string) []byte { return message(0, 1800, rdnss(60, server)) }

func TestSocketReceivesInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		w, other := openWire(t, "veth0"), openWire(t, "veth1")
		s, second := open(t, w.ours), open(t, other.ours)
		buf := make([]byte, 2048)
		if _, err := s.Receive(buf); err != unix.EAGAIN {
			t.Errorf("Receive with an empty queue = %v, want EAGAIN", err)
		}
		router := addr("fe80::1")
		w.write(frame(router, 255, message(0xc0, 1800, sourceLinkLayer, mtu, prefix,
			rdnss(600, "fd00::1", "fe80::1"), dnssl(60, "lan"))))
		want := Advertisement{
			Router: router, RouterLifetime: 30 * time.Minute, Managed: true, Other: true,
			Servers: []Server{{addr("fd00::1"), 10 * time.Minute}, {router, 10 * time.Minute}},
			Search:  []Domain{{"lan", time.Minute}},
		}
		if got := receive(t, s, buf); !reflect.DeepEqual(got, want) {
			t.Errorf("Receive() = %+v, want %+v", got, want)
		}
		if _, err := second.Receive(buf); err != unix.EAGAIN {
			t.Errorf("Receive at another interface = %v, want EAGAIN", err)
		}
		// The kernel accepts the same advertisement, so that the test's encoding is right.
		filter := &netlink.Route{LinkIndex: w.ours.Attrs().Index, Protocol: unix.RTPROT_RA}
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, filter,
			netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
		isDefault := func(r netlink.Route) bool { return bytes.Equal(r.Gw, router.AsSlice()) }
		if err != nil || !slices.ContainsFunc(routes, isDefault) {
			t.Errorf("the kernel's routes = %v, %v, want one by %v", routes, err, router)
		}
	})
}

// Receive returns no message that the kernel or Parse must discard.
func TestSocketDiscardsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		w, other := openWire(t, "veth0"), openWire(t, "veth1")
		s := open(t, w.ours)
		buf := make([]byte, 2048)
		router := addr("fe80::1")
		wrong := serverOf("fd00::bad")
		changed := func(at int, value byte) []byte {
			b := bytes.Clone(wrong)
			b[at] = value
			return b
		}
		wrongChecksum := frame(router, 255, wrong)
		wrongChecksum[len(wrongChecksum)-1] ^= 1
		// The kernel drops these messages; they are more than one call skips.
		for range recvmsg.MaxSkipped {
			for _, kind := range []byte{128, 129, 133, 135, 136, 137, 143} {
				w.write(frame(router, 255, changed(0, kind)))
			}
			w.write(wrongChecksum)
			other.write(frame(router, 255, wrong))
		}
		w.write(frame(router, 255, message(0, 6)))
		wait(t, s.FD())
		if a, err := s.Receive(buf); a.RouterLifetime != 6*time.Second || err != nil {
			t.Errorf("Receive() = %+v, %v, want a router lifetime of 6 s", a, err)
		}
		for name, bad := range map[string][]byte{
			"hop limit 254":      frame(router, 254, wrong),
			"hop limit 64":       frame(router, 64, wrong),
			"global source":      frame(addr("2001:db8::1"), 255, wrong),
			"code 1":             frame(router, 255, changed(1, 1)),
			"option of length 0": frame(router, 255, changed(17, 0)),
			"option too long":    frame(router, 255, changed(17, 4)),
			"truncated":          frame(router, 255, wrong[:12]),
			"type alone":         frame(router, 255, wrong[:4]),
		} {
			w.write(bad)
			w.write(frame(router, 255, serverOf("fd00::600d")))
			a := receive(t, s, buf)
			if len(a.Servers) != 1 || a.Servers[0].Addr != addr("fd00::600d") {
				t.Errorf("%s: received %+v, want the valid one after it", name, a)
			}
		}
	})
}

// Receive skips messages that are too long or invalid.
func TestSocketSkipsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		w := openWire(t, "veth0")
		s := open(t, w.ours)
		buf := make([]byte, 2048)
		router, wrong := addr("fe80::1"), serverOf("fd00::bad")
		// A message that does not fit into the buffer.
		w.write(frame(router, 255, wrong))
		w.write(frame(router, 255, message(0, 7)))
		if a := receive(t, s, buf[:len(wrong)-1]); a.RouterLifetime != 7*time.Second {
			t.Errorf("received %+v, want the one that fits", a)
		}
		// More invalid messages than one call skips.
		for range recvmsg.MaxSkipped + 1 {
			w.write(frame(router, 1, wrong))
		}
		w.write(frame(router, 255, message(0, 8)))
		if _, err := s.Receive(buf); err != unix.EAGAIN {
			t.Errorf("Receive = %v, want EAGAIN after %d messages", err, recvmsg.MaxSkipped)
		}
		if a := receive(t, s, buf); a.RouterLifetime != 8*time.Second {
			t.Errorf("received %+v, want the valid one", a)
		}
	})
}

// Receive skips messages that arrived at another interface before the socket was bound to its own.
func TestSocketBeforeBindInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		w, other := openWire(t, "veth0"), openWire(t, "veth1")
		s, err := OpenSocket(0)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.ifindex = w.ours.Attrs().Index
		other.write(frame(addr("fe80::1"), 255, serverOf("fd00::bad")))
		w.write(frame(addr("fe80::1"), 255, message(0, 9)))
		if a := receive(t, s, make([]byte, 2048)); a.RouterLifetime != 9*time.Second {
			t.Errorf("received %+v, want the one from its own interface", a)
		}
	})
}

// Solicit sends a message as specified in RFC 4861 section 4.1, and fails while the interface has
// no usable address.
func TestSolicitInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		w := openWire(t, "veth0")
		s := open(t, w.ours)
		if err := s.Solicit(); !errors.Is(err, unix.EADDRNOTAVAIL) {
			t.Errorf("Solicit with a tentative address = %v, want EADDRNOTAVAIL", err)
		}
		began := time.Now()
		for err := s.Solicit(); err != nil; err = s.Solicit() {
			if !errors.Is(err, unix.EADDRNOTAVAIL) || time.Since(began) > 10*time.Second {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		b := make([]byte, 2000)
		for {
			wait(t, w.fd)
			n, err := unix.Read(w.fd, b)
			if err != nil {
				t.Fatal(err)
			}
			if n >= 14+40+8 && b[14+6] == unix.IPPROTO_ICMPV6 && b[14+40] == 133 {
				b = b[:n]
				break
			}
		}
		ip, icmp := b[14:54], b[54:]
		source := netip.AddrFrom16([16]byte(ip[8:24]))
		destination := netip.AddrFrom16([16]byte(ip[24:40]))
		mac := []byte{0x33, 0x33, 0, 0, 0, 2}
		if !source.IsLinkLocalUnicast() || destination != addr("ff02::2") || ip[7] != 255 ||
			!bytes.Equal(b[:6], mac) {
			t.Errorf("sent from %v to %v (%x) with hop limit %d, want ff02::2 (%x), 255",
				source, destination, b[:6], ip[7], mac)
		}
		if len(icmp) != 8 || icmp[1] != 0 || !bytes.Equal(icmp[4:], make([]byte, 4)) {
			t.Errorf("sent %x, want a solicitation without options", icmp)
		}
		if sum := checksum(source, destination, icmp); sum != 0 {
			t.Errorf("sent %x, whose checksum is wrong by %#x", icmp, sum)
		}
	})
}

// On an interface without IPv6, a socket opens and receives nothing.
func TestSocketWithoutIPv6InNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		w := openWire(t, "veth0")
		set(t, "veth0", "disable_ipv6", "1")
		s := open(t, w.ours)
		w.write(frame(addr("fe80::1"), 255, serverOf("fd00::bad")))
		if a, err := s.Receive(make([]byte, 2048)); err != unix.EAGAIN {
			t.Errorf("Receive() = %+v, %v, want EAGAIN", a, err)
		}
		if err := s.Solicit(); err == nil {
			t.Error("Solicit without IPv6 succeeds, want an error")
		}
	})
}
