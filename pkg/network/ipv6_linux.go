package network

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp6"
	"github.com/krunbox/krunbox/pkg/imagefile"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/ndp"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/resolvconf"
)

// ipv6 listens to routers, and runs DHCPv6 if they ask for it. The kernel itself configures the
// addresses and routes of router advertisements.
type ipv6 struct {
	i              *Interface
	off            bool        // sysctls of the interface disable IPv6 or advertisements
	advertisements *ndp.Socket // nil: not started
	routers        ndp.Table
	heard          bool          // an advertisement has arrived
	solicitAt      time.Duration // when to send the next solicitation, or ndp.Infinite
	solicitWait    time.Duration // between the last solicitation and the next

	client   *dhcp6.Client  // nil: no router asked for DHCPv6
	socket   *dhcp6.Socket  // nil: closed
	stateful bool           // client asks for addresses
	applied  []netif.Config // the configurations for the lease, one for each address
}

// The wait after a router solicitation starts at minSolicitWait and doubles. Solicitation ends when
// the wait reaches maxSolicitWait, the interval of the kernel. The kernel solicits, too, but only
// once the interface has an address, which may be too late. The first advertisement is often lost:
// after the interface has joined a multicast group, the device takes some time to pass its frames.
const (
	minSolicitWait = 100 * time.Millisecond
	maxSolicitWait = 4 * time.Second
)

// start listens to routers and solicits advertisements, unless sysctls of the interface disable
// IPv6 or advertisements. Before startDeferred it does nothing. When start is called again, DHCPv6
// restarts with the next advertisement: the interface may have been connected to another network.
func (v *ipv6) start() (err error) {
	n := v.i.network
	if !n.cfg.IPv6 || !n.deferredStarted {
		return nil
	}
	v.off = v.i.ipv6Parameter("disable_ipv6") == "1" || v.i.ipv6Parameter("accept_ra") == "0"
	if v.off {
		return nil
	}
	if v.advertisements != nil {
		v.closeSocket()
		v.client = nil
		v.solicit(minSolicitWait)
		return nil
	}
	v.advertisements, err = ndp.OpenSocket(v.i.link.Index)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		n.cfg.IPv6 = false // the kernel has none
		return nil
	}
	if err != nil {
		return fmt.Errorf("IPv6 on %s: %w", v.i.Name, err)
	}
	if !n.cfg.OfferOnly {
		err = v.i.skipDetection()
	}
	v.solicit(minSolicitWait)
	return err
}

// solicit sends a router solicitation. The next one follows after a wait, unless an advertisement
// arrives.
func (v *ipv6) solicit(wait time.Duration) {
	v.solicitAt, v.solicitWait = ndp.Infinite, wait
	if wait < maxSolicitWait {
		v.solicitAt = loop.Now() + wait
	}
	_ = v.advertisements.Solicit() // without an address this fails, and the kernel solicits later
}

// waiting reports whether the first advertisement, or a DHCPv6 lease, is expected.
func (v *ipv6) waiting() bool {
	if !v.i.network.cfg.IPv6 || !v.i.link.Carrier || v.off {
		return false
	}
	return !v.heard || v.client != nil && v.client.Lease() == nil
}

// poll appends the descriptors to read from, and returns the time at which to call run.
func (v *ipv6) poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) {
	if v.advertisements == nil {
		return fds, ndp.Infinite
	}
	fds = append(fds, unix.PollFd{Fd: int32(v.advertisements.FD()), Events: unix.POLLIN})
	at := min(v.routers.Deadline(), v.solicitAt)
	if v.client == nil {
		return fds, at
	}
	if v.socket != nil && !v.client.Listening() {
		v.closeSocket()
	}
	if v.socket != nil {
		fds = append(fds, unix.PollFd{Fd: int32(v.socket.FD()), Events: unix.POLLIN})
	}
	return fds, min(at, v.client.Deadline())
}

// run handles the packets that have arrived and the deadlines.
func (v *ipv6) run(now time.Duration) {
	if v.advertisements == nil {
		return
	}
	changed := false
	drain(v.i.network.buf[:], v.advertisements.Receive, func(a ndp.Advertisement) {
		if v.i.tracing() {
			v.i.trace("router advertisement from %v", a.Router)
		}
		v.heard, v.solicitAt, changed = true, ndp.Infinite, true
		v.i.network.advertisements++
		v.routers.Update(now, a)
	})
	if now >= v.solicitAt {
		v.solicit(2 * v.solicitWait)
	}
	if now >= v.routers.Deadline() {
		v.routers.Expire(now)
		changed = true
	}
	if changed {
		v.followFlags(now)
		v.i.network.updateResolvConf()
	}
	if v.client == nil {
		return
	}
	if v.socket != nil {
		drain(v.i.network.buf[:], v.socket.Receive, func(d dhcp6.Datagram) {
			if v.i.tracing() {
				v.i.trace("received from %v: %s", d.Source, dhcp6.Summary(d.Payload))
			}
			v.act(v.client.Receive(now, d))
		})
	}
	v.act(v.client.Tick(now))
}

// followFlags starts DHCPv6 when a router sets the flag Managed or Other. If DHCPv6 runs without
// addresses, and a router sets Managed, followFlags restarts it to ask for addresses.
func (v *ipv6) followFlags(now time.Duration) {
	managed, other := v.routers.Managed(), v.routers.Other()
	if !managed && !other && v.client == nil && len(v.applied) > 0 {
		// The lease is of another network, which the interface was connected to before start was called again.
		v.i.network.warn(v.apply(nil))
	}
	if !managed && !other || v.client != nil && (v.stateful || !managed) {
		return
	}
	v.stateful = managed
	v.client = dhcp6.NewClient(dhcp6.Config{
		DUID:      dhcp6.DUIDLinkLayer(v.i.link.HardwareAddr),
		IAID:      uint32(v.i.link.Index),
		Random:    rand.Uint32,
		Stateful:  managed,
		OfferOnly: v.i.network.cfg.OfferOnly,
	})
	v.act(v.client.Start(now))
}

// act carries out an action of the client.
func (v *ipv6) act(a dhcp6.Action) {
	n := v.i.network
	switch a.Event {
	case dhcp6.Acquired, dhcp6.Renewed, dhcp6.Lost:
		n.warn(v.apply(v.client.Lease()))
		n.updateResolvConf()
	}
	if len(a.Send) > 0 {
		n.warn(v.send(a.Send))
	}
}

// send sends a message to the DHCPv6 servers. It fails only if no socket can be opened.
func (v *ipv6) send(message []byte) (err error) {
	if v.socket == nil {
		if v.socket, err = dhcp6.OpenSocket(v.i.link.Index, v.i.Name); err != nil {
			return fmt.Errorf("DHCPv6 on %s: %w", v.i.Name, err)
		}
	}
	v.i.network.changed = true // StatusFile has the time of the next message
	if v.i.tracing() {
		v.i.trace("sent: %s", dhcp6.Summary(message))
	}
	_ = v.socket.Send(message) // the client repeats its messages
	return nil
}

// apply gives the interface the addresses of a lease, and removes those of the previous lease that
// are not in it. A nil lease has no addresses.
func (v *ipv6) apply(lease *dhcp6.Lease) error {
	var to []netif.Config
	if lease != nil {
		for _, a := range lease.Addresses {
			to = append(to, netif.Config{
				Index:   v.i.link.Index,
				Address: netip.PrefixFrom(a.Addr, a.Addr.BitLen()),
				Valid:   a.Valid, Preferred: a.Preferred,
			})
		}
	}
	var changes []netif.Change
	for _, old := range v.applied {
		if find(to, old.Address) == nil {
			changes = append(changes, netif.Changes(&old, nil)...)
		}
	}
	for _, c := range to {
		changes = append(changes, netif.Changes(find(v.applied, c.Address), &c)...)
	}
	v.applied = to
	return v.i.do(changes)
}

// find returns the configuration with the given address, or nil.
func find(configs []netif.Config, address netip.Prefix) *netif.Config {
	k := slices.IndexFunc(configs, func(c netif.Config) bool { return c.Address == address })
	if k < 0 {
		return nil
	}
	return &configs[k]
}

// resolvers returns the name servers and domains of the routers, and those of the DHCPv6 server.
func (v *ipv6) resolvers() (c resolvconf.Config) {
	if !v.heard {
		return c
	}
	now := loop.Now()
	c.Servers, c.Search = v.routers.Servers(now), v.routers.Search(now)
	if v.client != nil {
		if lease := v.client.Lease(); lease != nil {
			c.Servers = append(c.Servers, lease.DNS...)
			c.Search = append(c.Search, lease.Search...)
		}
	}
	for k, addr := range c.Servers {
		if addr.IsLinkLocalUnicast() {
			c.Servers[k] = addr.WithZone(v.i.Name)
		}
	}
	return c
}

// close closes all sockets.
func (v *ipv6) close() {
	if v.advertisements != nil {
		v.advertisements.Close()
		v.advertisements = nil
	}
	v.closeSocket()
}

// closeSocket closes the DHCPv6 socket.
func (v *ipv6) closeSocket() {
	if v.socket != nil {
		v.socket.Close()
		v.socket = nil
	}
}

// skipDetection turns duplicate address detection off, as container runtimes do. It would delay the
// use of each IPv6 address by one to two seconds.
func (i *Interface) skipDetection() error {
	if i.setIPv6("accept_dad", "0") != nil {
		return nil // the kernel has no IPv6, or /proc/sys cannot be written
	}
	addresses, err := i.network.conn.Addresses(i.link.Index)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		ip := a.Prefix.Addr()
		if ip.Is6() && (a.Flags&unix.IFA_F_TENTATIVE == 0 || !ip.IsLinkLocalUnicast()) {
			return nil // the address may be in use, or was not set by the kernel
		}
	}
	// Detection began when the interface was set up. Restarting IPv6 ends it.
	_ = i.setIPv6("disable_ipv6", "1")
	_ = i.setIPv6("disable_ipv6", "0")
	return nil
}

// ipv6Parameter returns an IPv6 sysctl of the interface, or "" if it cannot be read.
func (i *Interface) ipv6Parameter(name string) string {
	value, _ := imagefile.Read(fmt.Sprintf("/proc/sys/net/ipv6/conf/%s/%s", i.Name, name), 4096)
	return strings.TrimSpace(string(value))
}

// setIPv6 sets an IPv6 sysctl of the interface (Documentation/networking/ip-sysctl.rst).
func (i *Interface) setIPv6(name, value string) error {
	file := fmt.Sprintf("sys/net/ipv6/conf/%s/%s", i.Name, name)
	err := imagefile.Write("/proc/"+file, []byte(value), false)
	if !errors.Is(err, unix.EROFS) {
		return err
	}
	// /proc/sys is read-only for the workload, whose mount namespace this process shares.
	proc, err := mount.OpenProc()
	if err != nil {
		return err
	}
	defer proc.Close()
	return imagefile.Write(fmt.Sprintf("/proc/self/fd/%d/%s", proc.Fd(), file), []byte(value), false)
}
