package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// segmentInterface is the name of the host's interface on a Segment.
const segmentInterface = "t0"

// SegmentOptions are the options of a Segment.
type SegmentOptions struct {
	Options

	// Hosts are the addresses of the host's interface, with their subnets. Default: 192.0.2.1/24
	// and 2001:db8::1/64. The interface always has the address fe80::1 too.
	Hosts []netip.Prefix

	// Offload offloads the UDP and TCP checksums of packets from the host to the guest's device, as
	// is usual for tap devices. The guest then receives packets without correct checksums.
	Offload bool
}

// A Segment is an Ethernet with two interfaces: that of the guest, and that of the host, which is
// in a network namespace where servers run.
type Segment struct {
	*Network
	HostMAC net.HardwareAddr // hardware address of the host's interface

	hosts []netip.Prefix
	ns    *namespace
	opt   Options
}

// NewSegment returns a Segment without servers. The caller must close it.
func NewSegment(opt SegmentOptions) (*Segment, error) {
	if opt.Hosts == nil {
		opt.Hosts = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")}
	}
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	s := &Segment{hosts: opt.Hosts, ns: ns, opt: opt.Options}
	flags := unix.IFF_TAP | unix.IFF_NO_PI
	if opt.Offload {
		flags |= unix.IFF_VNET_HDR
	}
	var tap *os.File
	err = ns.do(func() (err error) {
		if tap, err = newTap(segmentInterface, flags); err != nil {
			return err
		}
		s.HostMAC, err = configure(segmentInterface, append(opt.Hosts, netip.MustParsePrefix("fe80::1/64")))
		return err
	})
	if err != nil {
		if tap != nil {
			tap.Close()
		}
		ns.close()
		return nil, err
	}
	n, err := newNetwork(opt.Options, []*os.File{tap}, func(id string, fds []int) string {
		return fmt.Sprintf("tap,id=%s,fd=%d", id, fds[0])
	})
	if err != nil {
		tap.Close()
		ns.close()
		return nil, err
	}
	s.Network = n
	if opt.Offload {
		s.offload = s.HostMAC
	}
	s.onClose(ns.close)
	s.onClose(tap.Close)
	for _, p := range opt.Hosts {
		switch host := p.Addr(); {
		case host.Is4() && !s.Host.IsValid():
			s.Host = host
		case host.Is6() && !s.Host6.IsValid():
			s.Host6 = host
		}
	}
	s.listen = func(host netip.Addr) (l net.Listener, err error) {
		err = ns.do(func() error {
			l, err = net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
			return err
		})
		return l, err
	}
	return s, nil
}

// A Server is a server that can run on a Segment: Dnsmasq, Kea, Dhcpd and Udhcpd for DHCPv4; Radvd,
// Dnsmasq6, Kea6 and Dhcpd6 for IPv6; and Script for all protocols.
type Server interface {
	// start starts the server with dir as its directory, and returns when it answers requests.
	start(ctx context.Context, s *Segment, dir string) (service, error)
}

// A service is a running Server.
type service interface{ stop() error }

// Serve starts a server on the host's interface and returns when it answers requests. stop stops
// the server; it fails if the server has failed before. Calling stop is optional, because Close
// calls it.
func (s *Segment) Serve(ctx context.Context, server Server) (stop func() error, err error) {
	dir, err := os.MkdirTemp(s.dir, "server-")
	if err != nil {
		return nil, err
	}
	running, err := server.start(ctx, s, dir)
	if err != nil {
		return nil, err
	}
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		return running.stop()
	}
	s.onClose(stop)
	return stop, nil
}

// subnet returns the host's address, with its subnet, that is in the same subnet as address. It
// fails if there is none.
func (s *Segment) subnet(address netip.Addr) (netip.Prefix, error) {
	for _, p := range s.hosts {
		if p.Masked().Contains(address) {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("%v is not in the host's subnets %v", address, s.hosts)
}

// subnet6 is like subnet, but uses the host's IPv6 address if address is zero.
func (s *Segment) subnet6(address netip.Addr) (netip.Prefix, error) {
	if !address.IsValid() {
		address = s.Host6
	}
	return s.subnet(address)
}

// A program describes how to run a server.
type program struct {
	name   string // name of the command; see server
	config string // contents of the configuration file
	args   []string
	env    []string // variables to add to the environment
	ready  string   // text that the program prints when it answers requests
}

// configFile stands for the path of the configuration file in program.args.
const configFile = "CONFIG"

// run starts a server in the namespace, with dir as its working directory, and returns when it is
// ready.
func (s *Segment) run(ctx context.Context, dir string, p program) (*process, error) {
	path := filepath.Join(dir, "config")
	if err := os.WriteFile(path, []byte(p.config), 0o644); err != nil {
		return nil, err
	}
	cmd, err := server(p.name, p.args...)
	if err != nil {
		return nil, err
	}
	for i, arg := range cmd.Args {
		if arg == configFile {
			cmd.Args[i] = path
		}
	}
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, p.env...)
	return s.ns.start(ctx, cmd, p.ready, s.opt.Log)
}

// newTap creates a tap interface in the namespace of the calling thread. The interface exists until
// the file is closed.
func newTap(name string, flags int) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	ifreq, err := unix.NewIfreq(name)
	if err == nil {
		ifreq.SetUint16(uint16(flags))
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifreq)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("new tap interface: %w", err)
	}
	return os.NewFile(uintptr(fd), "tap"), nil
}

// configure sets up the interface name and the loopback interface in the namespace of the calling
// thread. It adds the addresses to the interface and returns its hardware address.
func configure(name string, addresses []netip.Prefix) (net.HardwareAddr, error) {
	handle, err := netlink.NewHandle()
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	loopback, err := handle.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	link, err := handle.LinkByName(name)
	if err != nil {
		return nil, err
	}
	// IN6_ADDR_GEN_MODE_NONE. An address that the kernel generates would be tentative at first.
	const none = 1
	errs := []error{
		handle.LinkSetUp(loopback),
		handle.LinkSetIP6AddrGenMode(link, none),
		handle.LinkSetUp(link),
	}
	for _, p := range addresses {
		address, err := netlink.ParseAddr(p.String())
		if err != nil {
			return nil, err
		}
		if p.Addr().Is6() {
			address.Flags = unix.IFA_F_NODAD
		}
		errs = append(errs, handle.AddrAdd(link, address))
	}
	return link.Attrs().HardwareAddr, errors.Join(errs...)
}
