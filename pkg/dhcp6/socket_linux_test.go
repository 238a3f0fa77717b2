package dhcp6

import (
	"bytes"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/recvmsg"
)

// pair is two connected interfaces: the client's, and the server's with its socket on port 547.
type pair struct {
	t      *testing.T
	ours   netlink.Link
	server netlink.Link
	conn   *net.UDPConn
}

// openPair makes the interfaces and sets them up. The client's skips duplicate address detection if
// fast is true.
func openPair(t *testing.T, name string, fast bool) *pair {
	t.Helper()
	ours := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: ourMAC}, PeerName: name + "-peer",
	}
	if err := netlink.LinkAdd(ours); err != nil {
		t.Fatal(err)
	}
	server, err := netlink.LinkByName(name + "-peer")
	if err != nil {
		t.Fatal(err)
	}
	if fast {
		skipDetection(t, name)
	}
	skipDetection(t, name+"-peer")
	if err := errors.Join(netlink.LinkSetUp(ours), netlink.LinkSetUp(server)); err != nil {
		t.Fatal(err)
	}
	waitForAddress(t, ours)
	waitForAddress(t, server)
	conn := listen(t, server.Attrs().Index)
	t.Cleanup(func() { conn.Close() })
	return &pair{t: t, ours: ours, server: server, conn: conn}
}

// listen opens the server's socket on one interface.
func listen(t *testing.T, ifindex int) *net.UDPConn {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, ifindex),
				unix.SetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
					&unix.IPv6Mreq{Multiaddr: allServers, Interface: uint32(ifindex)}))
		})
		return errors.Join(err, failed)
	}}
	conn, err := config.ListenPacket(t.Context(), "udp6", "[::]:547")
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*net.UDPConn)
}

// waitForAddress waits until an interface is up and has a link-local address, which may be
// tentative.
func waitForAddress(t *testing.T, link netlink.Link) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		link, err := netlink.LinkByIndex(link.Attrs().Index)
		if err != nil {
			t.Fatal(err)
		}
		addresses, err := netlink.AddrList(link, netlink.FAMILY_V6)
		if err == nil && len(addresses) > 0 && link.Attrs().OperState == netlink.OperUp {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%s has no link-local address: %v, %v", link.Attrs().Name, addresses, err)
		}
	}
}

func skipDetection(t *testing.T, name string) {
	t.Helper()
	file := "/proc/sys/net/ipv6/conf/" + name + "/accept_dad"
	if err := os.WriteFile(file, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
}

// read returns the next datagram that the server receives, and its sender.
func (p *pair) read() ([]byte, *net.UDPAddr) {
	p.t.Helper()
	b := make([]byte, 2000)
	if err := p.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	n, from, err := p.conn.ReadFromUDP(b)
	if err != nil {
		p.t.Fatal(err)
	}
	return b[:n], from
}

// write sends a datagram from the server.
func (p *pair) write(to *net.UDPAddr, payload []byte) {
	p.t.Helper()
	if _, err := p.conn.WriteToUDP(payload, to); err != nil {
		p.t.Fatal(err)
	}
}

func open(t *testing.T, link netlink.Link) *Socket {
	t.Helper()
	s, err := OpenSocket(link.Attrs().Index, link.Attrs().Name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// send sends a message as soon as the link-local address is usable.
func send(t *testing.T, s *Socket, payload []byte) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		err := s.Send(payload)
		if err == nil {
			return
		}
		early := errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENETUNREACH)
		if !early || time.Since(began) > 10*time.Second {
			t.Fatal(err)
		}
	}
}

// receive waits for a datagram and returns it.
func receive(t *testing.T, s *Socket, buf []byte) Datagram {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.FD()), Events: unix.POLLIN}}, 10_000)
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			t.Fatalf("poll = %d, %v", n, err)
		}
		d, err := s.Receive(buf)
		if err == nil {
			return d
		}
		if err != unix.EAGAIN {
			t.Fatal(err)
		}
	}
}

// Sockets on two interfaces use the same port, and receive only what arrives at their own
// interface.
func TestSocketInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		p, other := openPair(t, "veth0", true), openPair(t, "veth1", true)
		s := open(t, p.ours)
		defer s.Close()
		second := open(t, other.ours) // the same port, on another interface
		defer second.Close()
		buf := make([]byte, 1500)
		if _, err := s.Receive(buf); err != unix.EAGAIN {
			t.Errorf("Receive with an empty queue = %v, want EAGAIN", err)
		}
		send(t, s, []byte("question"))
		send(t, second, []byte("second"))
		b, from := p.read()
		if string(b) != "question" || from.Port != clientPort || !from.IP.IsLinkLocalUnicast() {
			t.Errorf("the server received %q from %v, want question, link-local, port 546",
				b, from)
		}
		b, fromSecond := other.read()
		if string(b) != "second" {
			t.Errorf("the other server received %q, want second", b)
		}
		other.write(fromSecond, []byte("to the second"))
		if d := receive(t, second, buf); string(d.Payload) != "to the second" {
			t.Errorf("received %q, want its datagram", d.Payload)
		}
		p.write(from, []byte("answer"))
		d := receive(t, s, buf)
		if string(d.Payload) != "answer" || !d.Source.IsLinkLocalUnicast() {
			t.Errorf("received %q from %v, want answer, link-local", d.Payload, d.Source)
		}
		// The interface goes down, and up again.
		if err := netlink.LinkSetDown(p.ours); err != nil {
			t.Fatal(err)
		}
		if err := s.Send([]byte("lost")); err == nil {
			t.Error("Send on an interface that is down succeeds, want an error")
		}
		if err := netlink.LinkSetUp(p.ours); err != nil {
			t.Fatal(err)
		}
		send(t, s, []byte("up"))
		if b, _ := p.read(); string(b) != "up" {
			t.Errorf("the server received %q, want its message", b)
		}
	})
}

// Receive skips datagrams that do not fit into the buffer.
func TestSocketReceiveInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		p := openPair(t, "veth0", true)
		s := open(t, p.ours)
		defer s.Close()
		buf := make([]byte, 100)
		send(t, s, []byte("question"))
		_, from := p.read()
		for range 3 {
			p.write(from, bytes.Repeat([]byte("x"), 101))
		}
		fits := strings.Repeat("y", 100)
		for _, want := range []string{fits, "", "answer"} {
			p.write(from, []byte(want))
			if d := receive(t, s, buf); string(d.Payload) != want {
				t.Errorf("received %q, want %q", d.Payload, want)
			}
		}
		// More datagrams that do not fit than one call skips.
		for range recvmsg.MaxSkipped + 1 {
			p.write(from, make([]byte, 101))
		}
		p.write(from, []byte("at last"))
		if _, err := s.Receive(buf); err != unix.EAGAIN {
			t.Errorf("Receive = %v, want EAGAIN after %d datagrams", err, recvmsg.MaxSkipped)
		}
		if d := receive(t, s, buf); string(d.Payload) != "at last" {
			t.Errorf("received %q, want its datagram", d.Payload)
		}
	})
}

// Receive skips what processes of this machine send, and what is sent to an address that hosts
// beyond the link can reach.
func TestSocketSkipsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		p := openPair(t, "veth0", true)
		s := open(t, p.ours)
		defer s.Close()
		send(t, s, []byte("question"))
		_, client := p.read()
		global, err := netlink.ParseAddr("2001:db8::2/64")
		if err != nil {
			t.Fatal(err)
		}
		global.Flags = unix.IFA_F_NODAD
		peer, err := netlink.ParseAddr("2001:db8::1/64")
		if err != nil {
			t.Fatal(err)
		}
		peer.Flags = unix.IFA_F_NODAD
		if err := errors.Join(netlink.AddrAdd(p.ours, global), netlink.AddrAdd(p.server, peer)); err != nil {
			t.Fatal(err)
		}

		local, err := net.DialUDP("udp6", nil, &net.UDPAddr{IP: client.IP, Zone: "veth0", Port: clientPort})
		if err != nil {
			t.Fatal(err)
		}
		defer local.Close()
		if _, err := local.Write([]byte("from this machine")); err != nil {
			t.Fatal(err)
		}
		if _, err := p.conn.WriteToUDP([]byte("to a global address"), &net.UDPAddr{IP: global.IP, Port: clientPort}); err != nil {
			t.Fatal(err)
		}
		p.write(client, []byte("answer"))
		if d := receive(t, s, make([]byte, 100)); string(d.Payload) != "answer" {
			t.Errorf("received %q, want only the server's answer to the link-local address", d.Payload)
		}
	})
}

// Send fails while the link-local address is tentative, and succeeds later.
func TestSocketBeforeAddressInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		p := openPair(t, "veth0", false)
		s := open(t, p.ours)
		defer s.Close()
		err := s.Send([]byte("early"))
		want := "send a DHCPv6 message on veth0: " + unix.EADDRNOTAVAIL.Error()
		if err == nil || err.Error() != want {
			t.Errorf("Send = %v, want %s", err, want)
		}
		send(t, s, []byte("late"))
		if b, _ := p.read(); string(b) != "late" {
			t.Errorf("the server received %q, want its message", b)
		}
	})
}

func TestOpenSocketTwiceInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		p := openPair(t, "veth0", true)
		s := open(t, p.ours)
		defer s.Close()
		want := "open a socket for DHCPv6 on veth0: " + unix.EADDRINUSE.Error()
		again, err := OpenSocket(p.ours.Attrs().Index, "veth0")
		if err == nil || err.Error() != want {
			t.Errorf("OpenSocket a second time = %v, %v, want %s", again, err, want)
		}
	})
}

// TestSocketWithClientInNamespace acquires, renews and releases a lease through sockets.
func TestSocketWithClientInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		p := openPair(t, "veth0", true)
		s := open(t, p.ours)
		defer s.Close()
		e := newExchange(t, nil)
		buf := make([]byte, 1500)
		// answered sends the message of an action, and passes the server's answer to the client.
		answered := func(a Action, kind dhcpv6.MessageType) Action {
			t.Helper()
			send(t, s, a.Send)
			e.do(a)
			b, from := p.read()
			if !bytes.Equal(b, a.Send) {
				t.Fatalf("the server received %x, want %x", b, a.Send)
			}
			p.write(from, e.reply(kind))
			return e.c.Receive(e.now, receive(t, s, buf))
		}
		a := answered(e.c.Start(e.now), mtAdvertise)
		if a = answered(a, mtReply); a.Event != Acquired {
			t.Fatalf("action after the REPLY = %+v, want another event", a)
		}
		if l := e.c.Lease(); !l.ServerAddr.IsLinkLocalUnicast() {
			t.Errorf("ServerAddr = %v, want a link-local address", l.ServerAddr)
		}
		e.now = e.c.deadline
		if a = answered(e.c.Tick(e.now), mtReply); a.Event != Renewed {
			t.Fatalf("action after the REPLY = %+v, want another event", a)
		}
		send(t, s, e.c.Release())
		if b, _ := p.read(); b[0] != byte(mtRelease) {
			t.Errorf("the server received %x, want a RELEASE", b)
		}
	})
}
