package dhcp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/inet"
)

// tap is the other end of an interface: what a virtual machine's host is to it, offloading included.
type tap struct {
	t     *testing.T
	fd    int
	link  netlink.Link
	index int
}

var hostMAC = []byte{0x52, 0x55, 10, 0, 2, 2}

const (
	vnetHeader = 10 // struct virtio_net_hdr
	etherIP    = 0x0800
	etherARP   = 0x0806
)

// openTap makes an interface with our hardware address and sets it up.
func openTap(t *testing.T) *tap {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var req struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], "tap0")
	req.flags = unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&req))); errno != 0 {
		t.Fatalf("TUNSETIFF: %v", errno)
	}
	link, err := netlink.LinkByName("tap0")
	if err != nil {
		t.Fatal(err)
	}
	lo, err := netlink.LinkByName("lo") // as in any guest: without any address at all, the kernel lets bind take every one
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{netlink.LinkSetUp(lo), netlink.LinkSetHardwareAddr(link, ourMAC[:]), netlink.LinkSetUp(link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return &tap{t, fd, link, link.Attrs().Index}
}

// write has a frame arrive; partial says that its UDP checksum is not complete.
func (p *tap) write(destination []byte, ether uint16, partial bool, payload []byte) {
	p.t.Helper()
	b := make([]byte, vnetHeader)
	if partial {
		b[0] = 1                                                    // VIRTIO_NET_HDR_F_NEEDS_CSUM
		binary.NativeEndian.PutUint16(b[6:], 14+ipHeader)           // from the UDP header on
		binary.NativeEndian.PutUint16(b[8:], 6)                     // its checksum
		binary.NativeEndian.PutUint16(b[2:], 14+ipHeader+udpHeader) // length of the headers
	}
	b = append(append(b, destination...), hostMAC...)
	b = append(binary.BigEndian.AppendUint16(b, ether), payload...)
	if _, err := unix.Write(p.fd, b); err != nil {
		p.t.Fatal(err)
	}
}

// read returns the next frame that is sent: IPv4 or ARP, for the kernel says things in IPv6 by itself.
func (p *tap) read() (destination []byte, ether uint16, payload []byte) {
	p.t.Helper()
	for {
		wait(p.t, p.fd)
		b := make([]byte, 2000)
		n, err := unix.Read(p.fd, b)
		if err != nil || n < vnetHeader+14 {
			p.t.Fatalf("read %d bytes, %v", n, err)
		}
		b = b[vnetHeader:n]
		if !bytes.Equal(b[6:12], ourMAC[:]) {
			p.t.Errorf("a frame from %x, want %x", b[6:12], ourMAC)
		}
		if ether := binary.BigEndian.Uint16(b[12:]); ether == etherIP || ether == etherARP {
			return b[:6], ether, b[14:]
		}
	}
}

// wait waits until fd can be read.
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

// receive waits for a datagram.
func receive(t *testing.T, s *Socket, buf []byte) Datagram {
	t.Helper()
	for {
		wait(t, s.FD())
		d, err := s.Receive(buf)
		if err == nil {
			return d
		}
		if err != unix.EAGAIN {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, index int) *Socket {
	t.Helper()
	s, err := OpenSocket(index)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSocketReceivesInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		host := openTap(t)
		s := open(t, host.index)
		defer s.Close()
		buf := make([]byte, 1500)
		if _, err := s.Receive(buf); err != unix.EAGAIN {
			t.Errorf("Receive of nothing = %v, want EAGAIN", err)
		}
		frame := func(payload string) []byte {
			return reframe(AppendFrame(nil, addr("10.0.2.2"), addr("10.0.2.15"), []byte(payload)))
		}
		changed := func(at int, value byte) []byte {
			b := frame("wrong")
			b[at] = value
			return b
		}
		// What comes before the filter is there is seen, but not taken.
		host.write(ourMAC[:], etherIP, false, changed(23, 67))
		host.write(ourMAC[:], etherIP, false, frame("early"))
		wait(t, s.FD())
		if d, err := s.Receive(buf); string(d.Payload) != "early" || err != nil {
			t.Errorf("Receive() = %q, %v, want the early one", d.Payload, err)
		}
		// From then on the kernel keeps from us what is not for us: one call would not look at so many.
		for range 2 * mostFrames {
			host.write(ourMAC[:], etherIP, false, changed(9, 6))   // TCP
			host.write(ourMAC[:], etherIP, false, changed(23, 67)) // another port
			host.write(ourMAC[:], etherIP, false, changed(6, 0x20))
			host.write(ourMAC[:], etherIP, false, changed(7, 1))
			host.write(ourMAC[:], etherARP, false, frame("wrong"))
		}
		host.write(ourMAC[:], etherIP, false, frame("right"))
		wait(t, s.FD())
		if d, err := s.Receive(buf); string(d.Payload) != "right" || d.Source != addr("10.0.2.2") || err != nil {
			t.Errorf("Receive() = %q from %v, %v, want the right one", d.Payload, d.Source, err)
		}
		// To whatever address, and over what the filter can't know to be wrong.
		for range 2 * mostFrames {
			host.write(ourMAC[:], etherIP, false, changed(30, 'W'))
		}
		host.write(bytes.Repeat([]byte{0xff}, 6), etherIP, false, frame("broadcast"))
		if d := receive(t, s, buf); string(d.Payload) != "broadcast" {
			t.Errorf("received %q, want the broadcast", d.Payload)
		}
		// A checksum that the host left to a device is no wrong one. The kernel sees to it that it could be completed.
		partial := frame("partial")
		partial[26], partial[27] = 0x12, 0x34
		host.write(ourMAC[:], etherIP, false, partial)
		host.write(ourMAC[:], etherIP, true, partial)
		host.write(ourMAC[:], etherIP, false, frame("last"))
		if d := receive(t, s, buf); string(d.Payload) != "partial" {
			t.Errorf("received %q, want the one with the partial checksum", d.Payload)
		}
		if d := receive(t, s, buf); string(d.Payload) != "last" {
			t.Errorf("received %q, want the last: a wrong checksum was accepted", d.Payload)
		}
		// A datagram that does not fit is none.
		host.write(ourMAC[:], etherIP, false, frame(strings.Repeat("x", 1000)))
		host.write(ourMAC[:], etherIP, false, frame("fits"))
		if d := receive(t, s, buf[:500]); string(d.Payload) != "fits" {
			t.Errorf("received %q", d.Payload)
		}
		// The interface goes down, and up again.
		if err := netlink.LinkSetDown(host.link); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Receive(buf); !errors.Is(err, unix.ENETDOWN) {
			t.Errorf("Receive on an interface that is down = %v, want ENETDOWN", err)
		}
		if err := netlink.LinkSetUp(host.link); err != nil {
			t.Fatal(err)
		}
		host.write(ourMAC[:], etherIP, false, frame("up"))
		if d := receive(t, s, buf); string(d.Payload) != "up" {
			t.Errorf("received %q", d.Payload)
		}
		if s, err := OpenSocket(12345); !errors.Is(err, unix.ENODEV) {
			t.Errorf("OpenSocket(12345) = %v, %v, want ENODEV", s, err)
		}
	})
}

// A lease over the wire: acquired before there is an address, renewed by unicast, rebound by broadcast.
func TestSocketWithClientInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		host := openTap(t)
		s := open(t, host.index)
		defer s.Close()
		e := newExchange(t, nil)
		buf := make([]byte, 1500)
		broadcastMAC := bytes.Repeat([]byte{0xff}, 6)

		// sent is what the client's message is on the wire.
		sent := func(a Action, source, destination string, mac []byte) {
			t.Helper()
			if err := s.Send(a); err != nil {
				t.Fatal(err)
			}
			e.do(a)
			to, ether, b := host.read()
			if ether == etherARP {
				if !bytes.Equal(b[24:28], serverA) {
					t.Fatalf("ARP %x, want one for the server", b)
				}
				reply := append([]byte{0, 1, 8, 0, 6, 4, 0, 2}, hostMAC...)
				reply = append(append(append(reply, serverA...), ourMAC[:]...), ourIP...)
				host.write(ourMAC[:], etherARP, false, reply)
				to, ether, b = host.read()
			}
			src, dst := net.IP(b[12:16]).String(), net.IP(b[16:20]).String()
			if ether != etherIP || !bytes.Equal(to, mac) || src != source || dst != destination {
				t.Fatalf("sent %x to %x, from %s to %s, want from %s to %s", b, to, src, dst, source, destination)
			}
			if !bytes.Equal(b[20:24], []byte{0, clientPort, 0, serverPort}) || !bytes.Equal(b[28:], a.Send) {
				t.Fatalf("sent %x, want %x from port 68 to 67", b[20:], a.Send)
			}
		}
		answer := func(kind dhcpv4.MessageType, destination inet.Addr, mac []byte) Action {
			t.Helper()
			host.write(mac, etherIP, false, reframe(AppendFrame(nil, addr("10.0.2.2"), destination, e.reply(kind))))
			return e.c.Receive(e.now, receive(t, s, buf))
		}

		sent(e.c.Start(e.now), "0.0.0.0", "255.255.255.255", broadcastMAC)
		a := answer(mtOffer, addr("10.0.2.15"), ourMAC[:]) // to an address that is not ours yet
		sent(a, "0.0.0.0", "255.255.255.255", broadcastMAC)
		if a := answer(mtAck, limitedBroadcast(), broadcastMAC); a.Event != Acquired {
			t.Fatalf("the ACK makes %+v", a)
		}

		e.now += 31 * time.Minute
		a = e.c.Tick(e.now)
		if err := s.Send(a); !errors.Is(err, unix.EADDRNOTAVAIL) || !strings.HasSuffix(err.Error(), "from 10.0.2.15 to 10.0.2.2: "+unix.EADDRNOTAVAIL.Error()) {
			t.Errorf("Send without the address = %v, want EADDRNOTAVAIL and who to whom", err)
		}
		for _, ip := range []net.IP{ourIP, {10, 0, 2, 16}} {
			if err := netlink.AddrAdd(host.link, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(24, 32)}}); err != nil {
				t.Fatal(err)
			}
		}
		// The way to the server by another interface is not taken.
		other := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "veth0"}, PeerName: "veth1"}
		if err := errors.Join(netlink.LinkAdd(other), netlink.LinkSetUp(other), netlink.RouteAdd(&netlink.Route{
			LinkIndex: other.Attrs().Index, Dst: &net.IPNet{IP: serverA, Mask: net.CIDRMask(32, 32)}, Scope: netlink.SCOPE_LINK,
		})); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			sent(a, "10.0.2.15", "10.0.2.2", hostMAC)
			if a := answer(mtAck, addr("10.0.2.15"), ourMAC[:]); a.Event != Renewed {
				t.Fatalf("the ACK makes %+v", a)
			}
			e.now += 31 * time.Minute
			a = e.c.Tick(e.now)
		}
		// Had the kernel called our port unreachable, that would be the next frame.
		e.now += 25 * time.Minute
		sent(e.c.Tick(e.now), "10.0.2.15", "255.255.255.255", broadcastMAC)
		if a := answer(mtAck, addr("10.0.2.15"), ourMAC[:]); a.Event != Renewed {
			t.Fatalf("the ACK makes %+v", a)
		}
		sent(Action{Send: e.c.Release(), To: e.c.Lease().Server}, "10.0.2.15", "10.0.2.2", hostMAC)
		// A later lease is of another address.
		a = Action{Send: e.c.Release(), To: addr("10.0.2.2")}
		a.Send[offCIAddr+3] = 16
		sent(a, "10.0.2.16", "10.0.2.2", hostMAC)
		if err := s.Send(Action{Event: Lost}); err != nil {
			t.Errorf("Send of nothing = %v", err)
		}
	})
}
