// Package network configures interfaces of a guest by DHCP and by what router advertisements say, and keeps them so: leases
// are renewed, and undone when they are lost; name servers of all of them go to resolv.conf.
//
// It puts together packages that do not know each other: dhcp and dhcp6 decide what to say to a server, ndp what routers
// have said, netif changes addresses and routes, resolvconf the name servers. A Network is a loop.Task.
package network

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/resolvconf"
)

// Config says what to configure, and how.
type Config struct {
	// Interfaces are names. None: every Ethernet interface.
	Interfaces []string
	IPv4, IPv6 bool
	// Hostname is what servers are told, if it is a name.
	Hostname string
	// OfferOnly asks for offers, and takes none: nothing is changed.
	OfferOnly bool

	// Warn is told of failures, among them those that happen in the background.
	Warn func(error)
	// Trace, unless nil, is told of each packet in a line.
	Trace func(line string)
	// OnHostname, unless nil, is told the host name that a lease brings, once as long as the server does not change it.
	OnHostname func(name string)
}

// Network is the configuration of interfaces. It is a loop.Task.
type Network struct {
	cfg        Config
	conn       *netif.Conn
	monitor    *netif.Monitor
	interfaces []*Interface
	resolv     resolvconf.File
	restAt     time.Duration // when startRest is to be called, if the network is not settled before
	restDone   bool
}

// New returns a Network that has done nothing yet.
func New(cfg Config) *Network {
	if !inet.ValidName(cfg.Hostname) {
		cfg.Hostname = ""
	}
	return &Network{cfg: cfg}
}

// Start sets the interfaces up and sends the first messages. An interface that is not there, or has no carrier, is waited
// for in the background; that is no error.
func (n *Network) Start() (err error) {
	if err := n.open(); err != nil {
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
			errs = append(errs, fmt.Errorf("configure interface %s: %w", name, errors.New("not a name that an interface can have")))
		case !slices.Contains(names[:k], name):
			errs = append(errs, n.add(name).start())
		}
	}
	return errors.Join(errs...)
}

func (n *Network) open() (err error) {
	n.conn, err = netif.Open()
	return err
}

// validName tells whether the kernel lets an interface have a name, which is then fit for a path, too.
func validName(name string) bool {
	unfit := func(c rune) bool { return c <= ' ' || c == '/' || c == ':' }
	return name != "" && name != "." && name != ".." && len(name) < unix.IFNAMSIZ && strings.IndexFunc(name, unfit) < 0
}

// add adds an interface behind those that are there.
func (n *Network) add(name string) *Interface {
	i := &Interface{network: n, Name: name, metric: uint32(len(n.interfaces)) * metricStep}
	n.interfaces = append(n.interfaces, i)
	return i
}

// metricStep is between the metrics of routes of one interface and the next: the first one listed has the default route.
const metricStep = 100

// ethernet returns the names of all Ethernet interfaces.
func (n *Network) ethernet() ([]string, error) {
	links, err := n.conn.Links()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, link := range links {
		// TSI's dummy0 is Ethernet too, but has no address resolution.
		if link.Type == unix.ARPHRD_ETHER && link.Flags&unix.IFF_NOARP == 0 {
			names = append(names, link.Name)
		}
	}
	return names, nil
}

// carrierPatience is how long a carrier may take to show that is there. Devices that can lose it (VIRTIO_NET_F_STATUS) find
// out in the background when they are set up, in some microseconds.
const carrierPatience = 10 * time.Millisecond

// setUp sets an interface up. At the start it waits for a carrier; later the monitor tells of it.
func (n *Network) setUp(name string) (netif.Link, error) {
	link, err := n.conn.SetUp(name)
	if err != nil || link.Carrier || n.restDone {
		return link, err
	}
	// Most often it is known by now.
	if link, err = n.conn.Link(name); err != nil || link.Carrier {
		return link, err
	}
	if err := n.watch(); err != nil {
		return link, err
	}
	for deadline := loop.Now() + carrierPatience; ; {
		if link, err = n.conn.Link(name); err != nil || link.Carrier {
			return link, err
		}
		left := deadline - loop.Now()
		if left <= 0 {
			return link, nil
		}
		fds := []unix.PollFd{{Fd: int32(n.monitor.FD()), Events: unix.POLLIN}}
		_, _ = unix.Poll(fds, int(left/time.Millisecond)+1)
		n.monitor.Changed()
	}
}

// watch opens the monitor.
func (n *Network) watch() (err error) {
	if n.monitor == nil {
		n.monitor, err = netif.OpenMonitor()
	}
	return err
}

// Settled tells whether there is nothing to wait for: each interface has an IPv4 lease, or can't get one now.
func (n *Network) Settled() bool {
	for _, i := range n.interfaces {
		if i.waiting() {
			return false
		}
	}
	return true
}

// Interfaces returns the interfaces, in the order of their priority.
func (n *Network) Interfaces() []*Interface { return n.interfaces }

// Poll implements loop.Task.
func (n *Network) Poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) {
	wait := loop.Forever
	now := loop.Now()
	if !n.restDone {
		if n.restAt == 0 {
			n.restAt = now + promptly
		}
		if now >= n.restAt || n.Settled() {
			n.startRest()
		} else {
			wait = n.restAt - now
		}
	}
	if n.monitor != nil {
		fds = append(fds, unix.PollFd{Fd: int32(n.monitor.FD()), Events: unix.POLLIN})
	}
	for _, i := range n.interfaces {
		var until time.Duration
		fds, until = i.poll(fds, now)
		if until >= 0 && (wait < 0 || until < wait) {
			wait = until
		}
	}
	return fds, wait
}

// promptly is how long a server takes that answers at once, as those in the host's own process do.
const promptly = 20 * time.Millisecond

// startRest starts what can wait until there is nothing else to do: IPv6, whose addresses are the kernel's work, and
// looking for interfaces that may come.
func (n *Network) startRest() {
	n.restDone = true
	if n.conn == nil {
		return
	}
	for _, i := range n.interfaces {
		n.warn(i.startIPv6())
	}
	if n.cfg.OfferOnly {
		return
	}
	n.warn(n.watch())
	n.look() // what happened before somebody watched
}

// look has each interface find out what has become of it.
func (n *Network) look() {
	for _, i := range n.interfaces {
		n.warn(i.look())
	}
}

// Run implements loop.Task.
func (n *Network) Run() {
	now := loop.Now()
	if n.monitor != nil && n.monitor.Changed() {
		n.look()
	}
	for _, i := range n.interfaces {
		i.run(now)
	}
}

// Close closes all sockets. What is configured stays, but nobody looks after it any more.
func (n *Network) Close() {
	for _, i := range n.interfaces {
		i.close()
	}
	if n.monitor != nil {
		n.monitor.Close()
	}
	if n.conn != nil {
		n.conn.Close()
	}
	n.interfaces, n.monitor, n.conn = nil, nil, nil
}

// updateResolvConf writes the name servers of all interfaces, if they have changed.
func (n *Network) updateResolvConf() {
	if n.cfg.OfferOnly {
		return
	}
	var all []resolvconf.Config
	for _, i := range n.interfaces {
		all = append(all, i.resolvers()...)
	}
	n.warn(n.resolv.Update(all...))
}

func (n *Network) warn(err error) {
	if err != nil && n.cfg.Warn != nil {
		n.cfg.Warn(err)
	}
}

func (n *Network) trace(parts ...string) {
	if n.cfg.Trace != nil {
		n.cfg.Trace(strings.Join(parts, ""))
	}
}

// isMissing tells whether an error says that there is no such interface.
func isMissing(err error) bool { return errors.Is(err, unix.ENODEV) }

// random returns a random number, for transaction identifiers and jitter: one of Go's runtime, whose generator begins with
// what the kernel gave the process at its start. That takes no system call, and nobody can guess it.
func random() uint32 { return rand.Uint32() }
