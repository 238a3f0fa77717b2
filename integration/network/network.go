// Package network implements networks for the guests of package vm. A network has widely used DHCP
// servers and routers, whose addresses and options a test can choose, and TCP servers to which the
// guest can connect:
//
//	n, err := network.Slirp(network.Options{}, network.Lease{})
//	...
//	defer n.Close()
//	n.AddTo(&cfg)                         // cfg is a vm.Config
//	host, err := n.Greet(n.Host, "hello") // a TCP server for the guest at host, an AddrPort
//	result, err := vm.Run(ctx, cfg)
//	packets, err := n.Packets()           // all captured packets
//
// Slirp and Gvisor run within a process and do not need privileges. Passt and the servers on a
// Segment run in a network namespace without a connection to the network of this machine. They
// require root, and the programs that integration/deps.sh installs. Close removes everything of a
// network.
package network

import (
	"cmp"
	"context"
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

// DefaultMAC is the default hardware address of a guest's interface.
const DefaultMAC = "52:54:00:12:34:56"

// Options are the options of all kinds of networks.
type Options struct {
	// MAC is the hardware address of the guest's interface; default: DefaultMAC. The interfaces of
	// a machine must have different addresses.
	MAC string

	// MaxMTU is the maximum and the initial MTU of the device in bytes. If it is zero, the maximum
	// is 65535 and the initial MTU is 1500.
	MaxMTU int

	// Log receives the output of the servers. If it is nil, the output is only used in errors.
	Log io.Writer
}

// A Network is the network to which one interface of a guest is connected.
type Network struct {
	// MAC is the hardware address of the guest's interface.
	MAC net.HardwareAddr

	// Lease is the lease that the guest gets by DHCP if it requests all options. On a Segment, it
	// is zero; each server has its own.
	Lease Lease

	// Host and Host6 are the addresses of this machine for the guest. They are zero if the guest
	// cannot connect to this machine.
	Host, Host6 netip.Addr

	// Device is the element for vm.Config.Devices; see AddTo.
	Device vm.Device

	dir     string // directory of the network's files
	cable   *cable
	offload net.HardwareAddr                                            // with checksum offload: the host's address
	listen  func(netip.Addr) (net.Listener, error)                      // listens for connections to Host or Host6
	dial    func(ctx context.Context, address string) (net.Conn, error) // connects to the guest
	closer  []func() error                                              // called by Close, the last one first
}

// newNetwork returns a network whose device is connected to a network backend of QEMU. netdev
// returns QEMU's argument -netdev for the backend with the identifier id; fds has QEMU's file
// descriptors for files.
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
				"-object", "filter-dump,id=" + id + "-dump,netdev=" + id +
					",file=" + strings.ReplaceAll(n.capture(), ",", ",,"),
				"-chardev", fmt.Sprintf("socket,id=%s-control,fd=%d", id, fds[0]),
				"-mon", "mode=control,chardev=" + id + "-control",
			}
		},
	}
	return n, nil
}

// AddTo adds an interface in the network to the configuration of a machine. One machine at a time
// can use the network.
func (n *Network) AddTo(cfg *vm.Config) {
	cfg.Devices = append(cfg.Devices, n.Device)
}

// SetLink sets the link state of the guest's interface. It does not wait for QEMU, which executes
// the command soon, or when it starts, before the guest boots. Close returns errors of QEMU.
func (n *Network) SetLink(up bool) error { return n.cable.set(up) }

// Listen listens for TCP connections from the guest to host, which must be n.Host or n.Host6. The
// port is that of the Listener's Addr, whose address may be another one than host. Close closes the
// Listener. Listen fails if host is zero.
func (n *Network) Listen(host netip.Addr) (net.Listener, error) {
	if !host.IsValid() {
		return nil, errors.New("listen: the guest cannot connect to this machine by this protocol")
	}
	l, err := n.listen(host)
	if err != nil {
		return nil, err
	}
	n.onClose(func() error { l.Close(); return nil })
	return l, nil
}

// Dial connects to a TCP port of the guest, which must have its lease. Only a network of Gvisor can
// do this.
func (n *Network) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	if n.dial == nil {
		return nil, errors.New("dial: this network cannot connect to the guest")
	}
	return n.dial(ctx, netip.AddrPortFrom(n.Lease.Address.Addr(), port).String())
}

// Greet starts a TCP server that sends greeting on each connection and closes it. host must be
// n.Host or n.Host6. It returns the address and port to which the guest can connect.
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

// Close stops all servers and removes everything of the network. The machine must have stopped. It
// returns the errors that no other method has returned, such as those of a server that has ended.
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

// capture returns the path of the file to which QEMU writes packets.
func (n *Network) capture() string { return filepath.Join(n.dir, "packets.pcap") }

// listen listens on the loopback interface, to which user-mode networks forward the connections of
// the guest to the host.
func listen(host netip.Addr) (net.Listener, error) {
	if host.Is6() {
		return net.Listen("tcp6", "[::1]:0")
	}
	return net.Listen("tcp4", "127.0.0.1:0")
}

// socketPair returns the ends of a connection. theirs is to be inherited by a child process.
func socketPair(kind int) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "network"), os.NewFile(uintptr(fds[1]), "network"), nil
}

// connPair is like socketPair, with the first end as a net.Conn.
func connPair(kind int) (net.Conn, *os.File, error) {
	ours, theirs, err := socketPair(kind)
	if err != nil {
		return nil, nil, err
	}
	defer ours.Close() // FileConn duplicates it
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// streamArg returns QEMU's argument -netdev for the stream socket fd.
func streamArg(id string, fd int) string {
	return fmt.Sprintf("stream,id=%s,server=off,addr.type=fd,addr.str=%d", id, fd)
}

// datagramArg returns QEMU's argument -netdev for the datagram socket fd.
func datagramArg(id string, fd int) string {
	return fmt.Sprintf("dgram,id=%s,local.type=fd,local.str=%d", id, fd)
}
