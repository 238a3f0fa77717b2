package network

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// A Script is a server that a test implements. It is called for each frame from the guest, in
// order, and returns frames for the guest. It is for behaviour that the other servers do not have.
type Script func(Packet) []Reply

// A Reply is a frame for the guest. UDP.Frame and Segment.Reply return frames.
type Reply struct {
	Frame []byte
	After time.Duration // delay after the Script has returned
}

// Reply returns the frame of a DHCPv4 message that a server at s.Host sends. The destination
// follows RFC 2131 section 4.1: broadcast if the message has the broadcast flag or contains no
// client address, otherwise the client address.
func (s *Segment) Reply(message *dhcpv4.DHCPv4) []byte {
	d := UDP{
		From:    netip.AddrPortFrom(s.Host, dhcpv4.ServerPort),
		FromMAC: s.HostMAC,
		To:      netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), dhcpv4.ClientPort),
		ToMAC:   net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		Payload: message.ToBytes(),
	}
	to := message.ClientIPAddr
	if to.IsUnspecified() {
		to = message.YourIPAddr
	}
	if !message.IsBroadcast() && !to.IsUnspecified() {
		address, _ := netip.AddrFromSlice(to.To4())
		d.To, d.ToMAC = netip.AddrPortFrom(address, dhcpv4.ClientPort), message.ClientHWAddr
	}
	return d.Frame()
}

func (f Script) start(_ context.Context, s *Segment, _ string) (service, error) {
	r := &scriptRun{}
	err := s.ns.do(func() (err error) {
		// Without these sockets, the kernel would reply that the ports are unreachable.
		for _, address := range []string{":67", ":547"} {
			c, err := net.ListenPacket("udp", address)
			if err != nil {
				return err
			}
			r.ports = append(r.ports, c)
		}
		r.file, err = packetSocket(segmentInterface)
		return err
	})
	if err != nil {
		r.stop()
		return nil, err
	}
	r.running.Go(func() { r.run(f, s) })
	return r, nil
}

// A scriptRun is a running Script.
type scriptRun struct {
	file    *os.File // a packet socket
	ports   []net.PacketConn
	running sync.WaitGroup

	mu  sync.Mutex
	err error // the first error
}

func (r *scriptRun) run(f Script, s *Segment) {
	buf := make([]byte, 1<<16)
	for {
		n, err := r.file.Read(buf)
		if err != nil {
			r.fail(err)
			return
		}
		p := Packet{decode(append([]byte(nil), buf[:n]...)), true}
		for _, reply := range f(p) {
			if reply.After == 0 {
				r.send(reply.Frame)
			} else {
				time.AfterFunc(reply.After, func() { r.send(reply.Frame) })
			}
		}
	}
}

func (r *scriptRun) send(frame []byte) {
	if _, err := r.file.Write(frame); err != nil {
		r.fail(err)
	}
}

func (r *scriptRun) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil && !errors.Is(err, os.ErrClosed) {
		r.err = err
	}
}

func (r *scriptRun) stop() error {
	for _, c := range r.ports {
		c.Close()
	}
	if r.file != nil {
		r.file.Close()
	}
	r.running.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// packetSocket returns a socket for the frames that arrive on the interface name in the namespace
// of the calling thread.
func packetSocket(name string) (*os.File, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	// ETH_P_ALL in network byte order.
	all := int(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL)))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("packet socket", err)
	}
	f := os.NewFile(uintptr(fd), "packet socket")
	const ignoreOutgoing = 23 // PACKET_IGNORE_OUTGOING
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, ignoreOutgoing, 1); err != nil {
		f.Close()
		return nil, os.NewSyscallError("packet socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: i.Index}); err != nil {
		f.Close()
		return nil, os.NewSyscallError("bind packet socket", err)
	}
	return f, nil
}
