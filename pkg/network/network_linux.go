// Package network configures the interfaces of a guest by DHCP and IPv6 router advertisements. It
// renews leases, removes their configuration when they are lost, and writes the name servers of all
// interfaces to resolv.conf. It combines packages dhcp4, dhcp6, ndp, netif and resolvconf, which do
// not import each other.
package network

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dnsname"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/resolvconf"
)

// Config configures a Network.
type Config struct {
	// Interfaces are the names of the interfaces. If the list is empty, all Ethernet interfaces that
	// exist at the start are used. The default route of the first interface is preferred.
	Interfaces []string
	IPv4, IPv6 bool
	// Hostname is sent to DHCP servers, unless it is empty or invalid.
	Hostname string
	// OfferOnly asks servers for offers, without accepting an offer or changing the interfaces.
	OfferOnly bool

	// StatusFile, unless empty, is a file that describes the interfaces, for ReadStatus. It is
	// written when something has changed.
	StatusFile string

	// Warn, unless nil, is called with failures, including those in the background.
	Warn func(error)
	// Trace, unless nil, is called with a line for each packet.
	Trace func(line string)
	// OnAddress, unless nil, is called when the address of a lease is new or changed.
	OnAddress func()
	// OnHostname, unless nil, is called with the host name of a lease when it is new or changed.
	OnHostname func(name string)
}

const (
	// ipv6Delay is the time from the first Poll until startDeferred is called. A DHCP server in the
	// process of the VMM answers at once, so that the workload has started by then.
	ipv6Delay = 20 * time.Millisecond
	// carrierTimeout is how long Start waits for a carrier. A device with VIRTIO_NET_F_STATUS
	// reports its carrier some microseconds after it was set up.
	carrierTimeout = 10 * time.Millisecond
	// metricStep is the difference between the route metrics of successive interfaces.
	metricStep = 100
	// maxGarbage is the garbage in bytes that may accumulate before collect frees it. Package
	// runtime alone would wait for 4 MiB.
	maxGarbage = 768 << 10
	// maxPackets limits how many packets are read from a socket before other tasks get their turn.
	maxPackets = 64
)

// Network configures interfaces. It is a loop.Task.
type Network struct {
	cfg        Config
	conn       *netif.Conn
	monitor    *netif.Monitor
	interfaces []*Interface
	resolv     resolvconf.File
	sleep      sleepWatch
	buf        [2048]byte // for packets

	advertisements int // received so far
	collected      int // garbage collected so far, bytes

	changed bool   // the contents of the StatusFile may have changed since it was written
	saved   []byte // the contents of the StatusFile; nil if not written

	deferredAt      time.Duration // when to call startDeferred; 0: not set yet
	deferredStarted bool
}

// New returns a Network, which does nothing until Start or Resume is called.
func New(cfg Config) *Network {
	if !dnsname.Valid(cfg.Hostname) {
		cfg.Hostname = ""
	}
	return &Network{cfg: cfg}
}

// Start sets the interfaces up and sends the first messages. It is not an error if an interface
// does not exist or has no carrier: the Network waits for it in the background.
func (n *Network) Start() (err error) {
	if n.conn, err = netif.Open(); err != nil {
		return err
	}
	names := n.cfg.Interfaces
	if len(names) == 0 {
		if names, err = n.ethernet(); err != nil {
			return err
		}
	}
	var errs []error
	for k, name := range names {
		switch {
		case !validName(name):
			errs = append(errs,
				fmt.Errorf("configure interface %s: not a name that an interface can have", name))
		case !slices.Contains(names[:k], name):
			errs = append(errs, n.add(name).start())
		}
	}
	return errors.Join(errs...)
}

// setHostname sets the name that is sent to DHCP servers, if it is valid and not empty.
func (n *Network) setHostname(name string) {
	if name == n.cfg.Hostname || !dnsname.Valid(name) {
		return
	}
	n.cfg.Hostname = name
	for _, i := range n.interfaces {
		if i.v4.client != nil {
			i.v4.client.SetHostname(name)
		}
	}
}

// validName reports whether an interface can have the given name. A valid name is also safe as an
// element of a path.
func validName(name string) bool {
	invalid := func(c rune) bool { return c <= ' ' || c == '/' || c == ':' || c == utf8.RuneError }
	return name != "" && name != "." && name != ".." && len(name) < unix.IFNAMSIZ &&
		!strings.ContainsFunc(name, invalid)
}

// add appends an interface.
func (n *Network) add(name string) *Interface {
	i := &Interface{Name: name, network: n, metric: uint32(len(n.interfaces)) * metricStep}
	i.reset()
	n.interfaces = append(n.interfaces, i)
	return i
}

// ethernet returns the names of all Ethernet interfaces that use ARP. This leaves out dummy0, the
// interface of TSI.
func (n *Network) ethernet() (names []string, err error) {
	links, err := n.conn.Links()
	for _, link := range links {
		if link.Ethernet {
			names = append(names, link.Name)
		}
	}
	return names, err
}

// setUp sets an interface up. Before startDeferred it also waits for a carrier, for at most
// carrierTimeout; later, the monitor reports a carrier.
func (n *Network) setUp(name string) (netif.Link, error) {
	if err := (netif.Up{Name: name}).Do(); err != nil {
		return netif.Link{}, err
	}
	link, err := n.conn.Link(name)
	if err != nil || link.Carrier || n.deferredStarted {
		return link, err
	}
	if err := n.watch(); err != nil {
		return link, err
	}
	for deadline := loop.Now() + carrierTimeout; ; {
		link, err = n.conn.Link(name)
		left := deadline - loop.Now()
		if err != nil || link.Carrier || left <= 0 {
			return link, err
		}
		fds := []unix.PollFd{{Fd: int32(n.monitor.FD()), Events: unix.POLLIN}}
		_, _ = unix.Poll(fds, int(left/time.Millisecond)+1)
		n.monitor.Changed()
	}
}

// watch opens the monitor, unless it is open.
func (n *Network) watch() (err error) {
	if n.monitor == nil {
		n.monitor, err = netif.OpenMonitor()
	}
	return err
}

// Settled reports whether no IPv4 lease is expected: each interface has a lease or never had a
// carrier.
func (n *Network) Settled() bool {
	return !slices.ContainsFunc(n.interfaces, func(i *Interface) bool { return i.v4.waiting() })
}

// Interfaces returns the interfaces, the one with the preferred default route first.
func (n *Network) Interfaces() []*Interface { return n.interfaces }

// Address returns the IPv4 address of the first interface that has a lease, or the zero Addr.
func (n *Network) Address() netip.Addr {
	for _, i := range n.interfaces {
		if lease := i.Status().Lease; lease != nil {
			return lease.Address.Addr()
		}
	}
	return netip.Addr{}
}

// Poll appends the descriptors that the Network reads from, and returns the time until Run is due.
func (n *Network) Poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) {
	now := loop.Now()
	deadline := netif.Infinite
	if !n.deferredStarted {
		if n.deferredAt == 0 {
			n.deferredAt = now + ipv6Delay
		}
		if now >= n.deferredAt || !n.cfg.IPv4 {
			n.startDeferred()
		} else {
			deadline = n.deferredAt
		}
	}
	if n.monitor != nil {
		fds = append(fds, unix.PollFd{Fd: int32(n.monitor.FD()), Events: unix.POLLIN})
	}
	fds, err := n.sleep.poll(fds)
	n.warn(err)
	for _, i := range n.interfaces {
		var at4, at6 time.Duration
		fds, at4 = i.v4.poll(fds)
		fds, at6 = i.v6.poll(fds)
		deadline = min(deadline, at4, at6)
	}
	if deadline == netif.Infinite {
		return fds, loop.Forever
	}
	return fds, max(deadline-now, 0)
}

// startDeferred starts IPv6 and the watch for interfaces that appear later. The workload need not
// wait for them.
func (n *Network) startDeferred() {
	n.deferredStarted = true
	if n.conn == nil {
		return
	}
	for _, i := range n.interfaces {
		if i.link.Carrier {
			n.warn(i.v6.start())
		}
	}
	if n.cfg.OfferOnly {
		return
	}
	n.warn(n.watch())
	n.look() // for changes before the monitor was open
}

// look updates all interfaces after a change.
func (n *Network) look() {
	n.changed = true
	for _, i := range n.interfaces {
		n.warn(i.look())
	}
}

// Run handles the messages that have arrived and the deadlines that have passed.
func (n *Network) Run() {
	now := loop.Now()
	if n.monitor != nil && n.monitor.Changed() {
		n.look()
	}
	for _, i := range n.interfaces {
		i.v4.run(now)
		i.v6.run(now)
	}
	if n.sleep.ended() {
		for _, i := range n.interfaces {
			n.warn(i.confirm())
		}
	}
	n.save()
	n.collect()
}

// collect frees garbage if there is more than maxGarbage. It counts 64 KiB for each request to the
// kernel (see netif.Conn) and estimates 8 KiB for each router advertisement.
func (n *Network) collect() {
	if n.conn == nil {
		return
	}
	garbage := n.conn.Requests()*(64<<10) + n.advertisements*(8<<10)
	if garbage-n.collected > maxGarbage {
		n.collected = garbage
		debug.FreeOSMemory()
	}
}

// Close closes all sockets. The interfaces keep their configuration.
func (n *Network) Close() {
	for _, i := range n.interfaces {
		i.reset()
	}
	if n.monitor != nil {
		n.monitor.Close()
	}
	if n.conn != nil {
		n.conn.Close()
	}
	n.sleep.close()
	n.interfaces, n.monitor, n.conn = nil, nil, nil
}

// updateResolvConf writes the name servers of all interfaces to resolv.conf.
func (n *Network) updateResolvConf() {
	n.changed = true
	if n.cfg.OfferOnly {
		return
	}
	var all []resolvconf.Config
	for _, i := range n.interfaces {
		all = append(all, i.v4.resolvers(), i.v6.resolvers())
	}
	n.warn(n.resolv.Update(all...))
}

func (n *Network) warn(err error) {
	if err != nil && n.cfg.Warn != nil {
		n.cfg.Warn(err)
	}
}

// drain passes packets from receive to handle until receive fails, at most maxPackets. The error
// does not matter: poll(2) reports the socket again if packets are left.
func drain[T any](buf []byte, receive func([]byte) (T, error), handle func(T)) {
	for range maxPackets {
		packet, err := receive(buf)
		if err != nil {
			return
		}
		handle(packet)
	}
}
