package dhcp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/recvmsg"
)

// tap is the host's end of an interface, as of a virtual machine, with offloading.
type tap struct {
	t     *testing.T
	fd    int
	link  netlink.Link
	index int
}

var (
	hostMAC      = []byte{0x52, 0x55, 10, 0, 2, 2}
	broadcastMAC = bytes.Repeat([]byte{0xff}, 6)
)

const (
	vnetHeader = 10 // struct virtio_net_hdr
	etherIP    = 0x0800
	etherARP   = 0x0806
)

// openTap creates an interface with the address ourMAC and sets it up.
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
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF,
		uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		t.Fatalf("TUNSETIFF: %v", errno)
	}
	link, err := netlink.LinkByName("tap0")
	if err != nil {
		t.Fatal(err)
	}
	// Without any address, as that of lo, the kernel lets bind(2) use all addresses.
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		netlink.LinkSetUp(lo),
		netlink.LinkSetHardwareAddr(link, ourMAC[:]),
		netlink.LinkSetUp(link),
	)
	if err != nil {
		t.Fatal(err)
	}
	return &tap{t, fd, link, link.Attrs().Index}
}

// write sends a frame to the interface. If partial is true, its UDP checksum is not complete.
func (p *tap) write(destination []byte, ether uint16, partial bool, payload []byte) {
	p.t.Helper()
	b := make([]byte, vnetHeader)
	if partial {
		b[0] = 1                                                    // VIRTIO_NET_HDR_F_NEEDS_CSUM
		binary.NativeEndian.PutUint16(b[2:], 14+ipHeader+udpHeader) // length of the headers
		binary.NativeEndian.PutUint16(b[6:], 14+ipHeader)           // start of the UDP header
		binary.NativeEndian.PutUint16(b[8:], 6)                     // offset of the checksum in it
	}
	b = append(append(b, destination...), hostMAC...)
	b = append(binary.BigEndian.AppendUint16(b, ether), payload...)
	if _, err := unix.Write(p.fd, b); err != nil {
		p.t.Fatal(err)
	}
}

// writeIP sends an IPv4 packet to the address ourMAC.
func (p *tap) writeIP(packet []byte) {
	p.t.Helper()
	p.write(ourMAC[:], etherIP, false, packet)
}

// read returns the next IPv4 or ARP frame that the interface sends. The kernel sends IPv6 by
// itself.
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

// wantPayload fails unless the next datagram has the payload.
func wantPayload(t *testing.T, s *Socket, buf []byte, want string) {
	t.Helper()
	if d := receive(t, s, buf); string(d.Payload) != want {
		t.Fatalf("received %q, want %q", d.Payload, want)
	}
}

// open returns a socket on the interface of a new tap.
func open(t *testing.T) (*tap, *Socket) {
	t.Helper()
	host := openTap(t)
	s, err := OpenSocket(host.index)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return host, s
}

// serverFrame returns a packet from the server with a payload.
func serverFrame(payload string) []byte {
	return reframe(AppendFrame(nil, addr("10.0.2.2"), addr("10.0.2.15"), []byte(payload)))
}

// wrongFrame returns a packet with one byte changed.
func wrongFrame(at int, value byte) []byte {
	b := serverFrame("wrong")
	b[at] = value
	return b
}

func TestSocketFilterInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		host, s := open(t)
		buf := make([]byte, 1500)
		// Before the filter is attached, Receive skips other packets.
		host.writeIP(wrongFrame(23, 67))
		host.writeIP(serverFrame("early"))
		wait(t, s.FD())
		if d, err := s.Receive(buf); string(d.Payload) != "early" || err != nil {
			t.Errorf("Receive() = %q, %v, want early", d.Payload, err)
		}
		// From then on the kernel drops them: there are more than one call skips.
		for range 2 * recvmsg.MaxSkipped {
			host.writeIP(wrongFrame(9, 6))   // TCP
			host.writeIP(wrongFrame(23, 67)) // another port
			host.writeIP(wrongFrame(6, 0x20))
			host.writeIP(wrongFrame(7, 1))
			host.write(ourMAC[:], etherARP, false, serverFrame("wrong"))
		}
		host.writeIP(serverFrame("right"))
		wait(t, s.FD())
		d, err := s.Receive(buf)
		if string(d.Payload) != "right" || d.Source != addr("10.0.2.2") || err != nil {
			t.Errorf("Receive() = %q from %v, %v, want right", d.Payload, d.Source, err)
		}
		// The filter cannot recognize a wrong checksum.
		for range 2 * recvmsg.MaxSkipped {
			host.writeIP(wrongFrame(30, 'W'))
		}
		host.write(broadcastMAC, etherIP, false, serverFrame("broadcast"))
		wantPayload(t, s, buf, "broadcast")
	})
}

func TestSocketReceivesInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		host, s := open(t)
		buf := make([]byte, 1500)
		if _, err := s.Receive(buf); err != unix.EAGAIN {
			t.Errorf("Receive without a datagram = %v, want EAGAIN", err)
		}
		if n := testing.AllocsPerRun(100, func() { s.Receive(buf) }); n != 0 {
			t.Errorf("Receive without a datagram allocates %v times, want 0", n)
		}
		// A checksum that the host left to a device is accepted, a wrong one is not.
		partial := serverFrame("partial")
		partial[26], partial[27] = 0x12, 0x34
		host.writeIP(partial)
		host.write(ourMAC[:], etherIP, true, partial)
		host.writeIP(serverFrame("last"))
		wantPayload(t, s, buf, "partial")
		wantPayload(t, s, buf, "last")
		// A datagram longer than buf is skipped.
		host.writeIP(serverFrame(strings.Repeat("x", 1000)))
		host.writeIP(serverFrame("fits"))
		wantPayload(t, s, buf[:500], "fits")
		// The interface goes down and up again.
		if err := netlink.LinkSetDown(host.link); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Receive(buf); !errors.Is(err, unix.ENETDOWN) {
			t.Errorf("Receive on an interface that is down = %v, want ENETDOWN", err)
		}
		if err := netlink.LinkSetUp(host.link); err != nil {
			t.Fatal(err)
		}
		host.writeIP(serverFrame("up"))
		wantPayload(t, s, buf, "up")
		if s, err := OpenSocket(12345); !errors.Is(err, unix.ENODEV) {
			t.Errorf("OpenSocket(12345) = %v, %v, want ENODEV", s, err)
		}
	})
}

// wire is an exchange by a socket, with the test as the server.
type wire struct {
	*exchange
	host *tap
	s    *Socket
	buf  []byte
}

// send sends an action, and checks its packet on the wire.
func (w *wire) send(a Action, source, destination string, mac []byte) {
	w.t.Helper()
	if err := w.s.Send(a); err != nil {
		w.t.Fatal(err)
	}
	w.do(a)
	to, ether, b := w.host.read()
	if ether == etherARP {
		if !bytes.Equal(b[24:28], serverA) {
			w.t.Fatalf("ARP %x, want one for the server", b)
		}
		reply := append([]byte{0, 1, 8, 0, 6, 4, 0, 2}, hostMAC...)
		reply = append(append(append(reply, serverA...), ourMAC[:]...), ourIP...)
		w.host.write(ourMAC[:], etherARP, false, reply)
		to, ether, b = w.host.read()
	}
	src, dst := net.IP(b[12:16]).String(), net.IP(b[16:20]).String()
	if ether != etherIP || !bytes.Equal(to, mac) || src != source || dst != destination {
		w.t.Fatalf("sent %x to %x, from %s to %s, want from %s to %s",
			b, to, src, dst, source, destination)
	}
	if !bytes.Equal(b[20:24], []byte{0, clientPort, 0, serverPort}) || !bytes.Equal(b[28:], a.Send) {
		w.t.Fatalf("sent %x, want %x from port 68 to 67", b[20:], a.Send)
	}
}

// answer sends an answer to the client, and returns the client's action.
func (w *wire) answer(kind dhcpv4.MessageType, destination netip.Addr, mac []byte) Action {
	w.t.Helper()
	frame := reframe(AppendFrame(nil, addr("10.0.2.2"), destination, w.reply(kind)))
	w.host.write(mac, etherIP, false, frame)
	return w.c.Receive(w.now, receive(w.t, w.s, w.buf))
}

// wantRenewal answers the last request, and fails unless the lease is renewed.
func (w *wire) wantRenewal() {
	w.t.Helper()
	if a := w.answer(mtAck, addr("10.0.2.15"), ourMAC[:]); a.Event != Renewed {
		w.t.Fatalf("the ACK causes %+v, want Renewed", a)
	}
}

// later advances the time and returns the client's action.
func (w *wire) later(d time.Duration) Action {
	w.now += d
	return w.c.Tick(w.now)
}

// addAddresses gives the interface ourIP and another address, and adds a route to the server by
// another interface, which the socket must not use.
func addAddresses(t *testing.T, host *tap) {
	t.Helper()
	for _, ip := range []net.IP{ourIP, {10, 0, 2, 16}} {
		address := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(24, 32)}}
		if err := netlink.AddrAdd(host.link, address); err != nil {
			t.Fatal(err)
		}
	}
	other := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "veth0"}, PeerName: "veth1"}
	if err := errors.Join(netlink.LinkAdd(other), netlink.LinkSetUp(other)); err != nil {
		t.Fatal(err)
	}
	err := netlink.RouteAdd(&netlink.Route{
		LinkIndex: other.Attrs().Index,
		Dst:       &net.IPNet{IP: serverA, Mask: net.CIDRMask(32, 32)},
		Scope:     netlink.SCOPE_LINK,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSocketWithClientInNamespace acquires a lease before the interface has an address, renews it
// by unicast, rebinds it by broadcast, and releases it.
func TestSocketWithClientInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		host, s := open(t)
		w := &wire{newExchange(t, nil), host, s, make([]byte, 1500)}
		w.send(w.c.Start(w.now), "0.0.0.0", broadcast, broadcastMAC)
		a := w.answer(mtOffer, addr("10.0.2.15"), ourMAC[:]) // the interface has no address yet
		w.send(a, "0.0.0.0", broadcast, broadcastMAC)
		if a := w.answer(mtAck, limitedBroadcast(), broadcastMAC); a.Event != Acquired {
			t.Fatalf("the ACK causes %+v, want Acquired", a)
		}

		a = w.later(31 * time.Minute)
		err := s.Send(a)
		text := "from 10.0.2.15 to 10.0.2.2: " + unix.EADDRNOTAVAIL.Error()
		if !errors.Is(err, unix.EADDRNOTAVAIL) || !strings.HasSuffix(err.Error(), text) {
			t.Errorf("Send without the address = %v, want %s", err, text)
		}
		addAddresses(t, host)
		for range 3 {
			w.send(a, "10.0.2.15", "10.0.2.2", hostMAC)
			w.wantRenewal()
			a = w.later(31 * time.Minute)
		}
		// If the kernel sent ICMP "port unreachable", that would be the next frame.
		w.send(w.later(25*time.Minute), "10.0.2.15", broadcast, broadcastMAC)
		w.wantRenewal()
		release := Action{Send: w.c.Release(), To: w.c.Lease().Server}
		w.send(release, "10.0.2.15", "10.0.2.2", hostMAC)
		// A later lease is of another address.
		release.Send[offCIAddr+3] = 16
		w.send(release, "10.0.2.16", "10.0.2.2", hostMAC)
		if err := s.Send(Action{Event: Lost}); err != nil {
			t.Errorf("Send without a message = %v, want nil", err)
		}
	})
}
