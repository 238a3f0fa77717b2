// Package network provides the host's side of a guest's network interface: DHCP servers and routers that are in use
// elsewhere, with addresses and options as a test wants them, and something to connect to. Machines of package vm take it:
//
//	n, err := network.Slirp(network.Options{}, network.Lease{})
//	...
//	defer n.Close()
//	n.AddTo(&cfg)                         // cfg is a vm.Config
//	host, err := n.Greet(n.Host, "hello") // the guest reads this at host, an address and port, by TCP
//	result, err := vm.Run(ctx, cfg)
//	packets, err := n.Packets()           // all that went over the wire
//
// Slirp and Gvisor are networks inside of a process and need no rights. Passt, and the servers on a Segment, run in a
// network namespace that has no connection to this machine's, which takes root; integration/deps.sh gets their programs. Nothing of
// a network is left after Close.
package network

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/vm"
)

// DefaultMAC is the hardware address of a guest's interface.
const DefaultMAC = "52:54:00:12:34:56"

// Options are what all networks have in common.
type Options struct {
	// MAC is the hardware address of the guest's interface; default: DefaultMAC. Each interface of a machine needs its own.
	MAC string

	// MaxMTU is the largest MTU that the device takes, and the one it starts with. Default: 65535, and 1500.
	MaxMTU int

	// Log gets what the servers print. Nil: it is only part of errors.
	Log io.Writer
}

// A Network is what one network interface of a guest is connected to.
type Network struct {
	// MAC is the hardware address of the guest's interface.
	MAC net.HardwareAddr

	// Lease is what the guest is given by DHCP, if it asks for all of it. For a Segment it is zero: its servers know.
	Lease Lease

	// Host and Host6 are the addresses by which the guest reaches this machine. The zero Addr: it does not.
	Host, Host6 netip.Addr

	// Device goes into vm.Config.Devices; see AddTo.
	Device vm.Device

	dir     string // of the files that belong to the network
	cable   *cable
	offload net.HardwareAddr                       // with checksum offload: the hardware address of the host's side
	listen  func(netip.Addr) (net.Listener, error) // on what the guest reaches as Host or Host6
	closer  []func() error                         // in reverse order
}

// newNetwork returns a network with a device that is connected to the netdev of QEMU that netdev returns; its id, and
// QEMU's file descriptors for files, are netdev's arguments.
func newNetwork(opt Options, files []*os.File, netdev func(id string, fds []int) string) (*Network, error) {
	mac, err := net.ParseMAC(cmp.Or(opt.MAC, DefaultMAC))
	if err != nil {
		return nil, err
	}
	n := &Network{MAC: mac, listen: listen}
	if n.dir, err = os.MkdirTemp("", "krunbox-network-"); err != nil {
		return nil, err
	}
	n.onClose(func() error { return os.RemoveAll(n.dir) })
	if n.cable, err = newCable(); err != nil {
		n.Close()
		return nil, err
	}
	n.onClose(n.cable.close)

	id := "net-" + strings.ReplaceAll(mac.String(), ":", "")
	n.cable.nic = id + "-nic"
	device := "virtio-net-device,netdev=" + id + ",id=" + n.cable.nic + ",mac=" + mac.String()
	if opt.MaxMTU != 0 {
		device += ",host_mtu=" + strconv.Itoa(opt.MaxMTU)
	}
	n.Device = vm.Device{
		Files: append([]*os.File{n.cable.qemu}, files...),
		Args: func(fds []int) []string {
			return []string{
				"-netdev", netdev(id, fds[1:]),
				"-device", device,
				"-object", "filter-dump,id=" + id + "-dump,netdev=" + id + ",file=" + strings.ReplaceAll(n.capture(), ",", ",,"),
				"-chardev", fmt.Sprintf("socket,id=%s-control,fd=%d", id, fds[0]),
				"-mon", "mode=control,chardev=" + id + "-control",
			}
		},
	}
	return n, nil
}

// AddTo gives a machine an interface in the network. One machine at a time can be in it.
func (n *Network) AddTo(cfg *vm.Config) {
	cfg.Devices = append(cfg.Devices, n.Device)
}

// SetLink plugs the cable of the guest's interface in or pulls it out. QEMU does it in a moment, or when it starts: before
// the guest has booted.
func (n *Network) SetLink(up bool) error { return n.cable.set(up) }

// Listen listens for the guest's TCP connections to host, which is n.Host or n.Host6; the port is in the Listener's Addr, and
// the address is not always host. Close closes the Listener.
func (n *Network) Listen(host netip.Addr) (net.Listener, error) {
	if !host.IsValid() {
		return nil, errors.New("listen: the guest can't reach this machine by this protocol")
	}
	l, err := n.listen(host)
	if err != nil {
		return nil, err
	}
	n.onClose(func() error { l.Close(); return nil })
	return l, nil
}

// Greet accepts TCP connections to host, which is n.Host or n.Host6, and sends greeting to each. It returns what the guest is to
// connect to.
func (n *Network) Greet(host netip.Addr, greeting string) (netip.AddrPort, error) {
	l, err := n.Listen(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			io.WriteString(conn, greeting)
			conn.Close()
		}
	}()
	return netip.AddrPortFrom(host, uint16(l.Addr().(*net.TCPAddr).Port)), nil
}

// Close ends all that belongs to the network. The machine must have stopped. It returns what has gone wrong unnoticed.
func (n *Network) Close() error {
	var errs []error
	for len(n.closer) > 0 {
		last := len(n.closer) - 1
		errs = append(errs, n.closer[last]())
		n.closer = n.closer[:last]
	}
	return errors.Join(errs...)
}

func (n *Network) onClose(f func() error) { n.closer = append(n.closer, f) }

// capture is the path of the file that QEMU writes packets to.
func (n *Network) capture() string { return filepath.Join(n.dir, "packets.pcap") }

// listen listens on the loopback interface, which is where connections to the host come out for networks that are no
// interfaces of this machine.
func listen(host netip.Addr) (net.Listener, error) {
	if host.Is6() {
		return net.Listen("tcp6", "[::1]:0")
	}
	return net.Listen("tcp4", "127.0.0.1:0")
}

// socketPair returns the ends of a connection. The second one is for a process that is to inherit it.
func socketPair(kind int) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "network"), os.NewFile(uintptr(fds[1]), "network"), nil
}

// connPair is socketPair with the first end as a Conn.
func connPair(kind int) (net.Conn, *os.File, error) {
	ours, theirs, err := socketPair(kind)
	if err != nil {
		return nil, nil, err
	}
	defer ours.Close() // FileConn has a duplicate
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// streamArg is QEMU's argument of -netdev for a stream socket.
func streamArg(id string, fd int) string {
	return fmt.Sprintf("stream,id=%s,server=off,addr.type=fd,addr.str=%d", id, fd)
}

// datagramArg is the one for a datagram socket.
func datagramArg(id string, fd int) string {
	return fmt.Sprintf("dgram,id=%s,local.type=fd,local.str=%d", id, fd)
}
