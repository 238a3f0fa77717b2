package network

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp6"
	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/ndp"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/resolvconf"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// ipv6 is what an interface has of IPv6 besides the addresses and routes that the kernel makes of router advertisements.
type ipv6 struct {
	advertisements *ndp.Socket // nil: not started
	heard          bool        // an advertisement
	uncollected    int         // advertisements since the last collection of garbage
	routers        ndp.Table
	solicitAt      time.Duration // when to ask the routers again; 0: not
	solicitPause   time.Duration // until then

	client  *dhcp6.Client // nil: no router has asked for it
	socket  *dhcp6.Socket
	config  dhcp6.Config
	offer   *dhcp6.Lease   // with OfferOnly
	applied []netif.Config // addresses of the lease
}

// skipDetection has the kernel use IPv6 addresses at once, as container runtimes do. To find out that nobody else on this
// virtual link has them would take it one to two seconds, for the interface's own address and then for each that is made
// of an advertisement.
func (i *Interface) skipDetection() error {
	// Without IPv6 there is no such file.
	if !i.sysctl("accept_dad", "0") {
		return nil
	}
	addresses, err := i.network.conn.Addresses(i.link.Index)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if a.Prefix.Addr.Is6() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			return nil // an address that somebody may use
		}
	}
	// The interface has just come up, and detection has begun. This starts IPv6 on it anew.
	i.sysctl("disable_ipv6", "1")
	i.sysctl("disable_ipv6", "0")
	return nil
}

// sysctl sets a parameter of IPv6 on the interface; see ip-sysctl in the kernel's documentation.
func (i *Interface) sysctl(name, value string) (done bool) {
	file := "sys/net/ipv6/conf/" + i.Name + "/" + name
	err := writeAt(unix.AT_FDCWD, "/proc/"+file, value)
	if err == unix.EROFS { // /proc/sys is read-only for the workload, in the mount namespace that is ours too
		var proc int
		if proc, err = sysfile.OpenProc(); err == nil {
			defer unix.Close(proc)
			err = writeAt(proc, file, value)
		}
	}
	return err == nil
}

func writeAt(dir int, file, value string) error {
	fd, err := unix.Openat(dir, file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}

// startIPv6 listens to routers, and asks them to speak: the kernel asks when it has an address, which may be long ago.
func (i *Interface) startIPv6() (err error) {
	if !i.network.cfg.IPv6 || !i.started() || i.v6.advertisements != nil {
		return nil
	}
	i.v6.advertisements, err = ndp.OpenSocket(i.link.Index)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		i.network.cfg.IPv6 = false // the kernel has none
		return nil
	}
	if err != nil {
		return fmt.Errorf("IPv6 on %s: %w", i.Name, err)
	}
	if !i.network.cfg.OfferOnly {
		err = i.skipDetection()
	}
	i.v6.solicit(firstSolicitPause)
	return err
}

// Pauses after router solicitations. They are doubled until they are as long as the kernel's, which asks too: that is too
// long for a workload that waits. What is lost is, most of all, the first advertisement: a device that filters multicast
// frames may do so for some time after the interface has joined a group.
const (
	firstSolicitPause = 100 * time.Millisecond
	lastSolicitPause  = 4 * time.Second
)

// solicit asks the routers to speak, and will do so again after a pause unless one does.
func (v *ipv6) solicit(pause time.Duration) {
	v.solicitAt, v.solicitPause = 0, pause
	if pause < lastSolicitPause {
		v.solicitAt = loop.Now() + pause
	}
	// As long as there is no address of ours there is nothing to ask from; the kernel will ask when there is.
	_ = v.advertisements.Solicit()
}

// reconnectIPv6 asks the routers again when there is a carrier again, and has their answers start DHCPv6 anew.
func (i *Interface) reconnectIPv6() {
	v := &i.v6
	if v.advertisements == nil {
		return
	}
	v.closeSocket()
	v.client, v.offer = nil, nil
	v.solicit(firstSolicitPause)
}

func (v *ipv6) poll(fds []unix.PollFd, now time.Duration) ([]unix.PollFd, time.Duration) {
	if v.advertisements == nil {
		return fds, loop.Forever
	}
	fds = append(fds, unix.PollFd{Fd: int32(v.advertisements.FD()), Events: unix.POLLIN})
	wait := loop.Forever
	if at, ok := v.routers.Deadline(); ok {
		wait = max(at-now, 0)
	}
	if v.solicitAt != 0 && (wait < 0 || v.solicitAt-now < wait) {
		wait = max(v.solicitAt-now, 0)
	}
	if v.client != nil {
		if v.socket != nil {
			fds = append(fds, unix.PollFd{Fd: int32(v.socket.FD()), Events: unix.POLLIN})
		}
		if at, ok := v.client.Deadline(); ok && (wait < 0 || at-now < wait) {
			wait = max(at-now, 0)
		}
	}
	return fds, wait
}

// collectAfter is how many advertisements make it worth to collect the garbage that they leave. Of a flood of them the runtime
// would let 4 MiB pile up first; without one it takes routers hours to send so many.
const collectAfter = 64

func (i *Interface) runIPv6(now time.Duration) {
	v := &i.v6
	if v.advertisements == nil {
		return
	}
	if i.buf == nil {
		i.buf = make([]byte, 2048)
	}
	changed := false
	for range mostPackets {
		a, err := v.advertisements.Receive(i.buf)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			continue // the interface went down
		}
		if i.network.cfg.Trace != nil {
			i.network.trace(i.Name, " router advertisement from ", a.Router.String())
		}
		v.heard, changed = true, true
		if v.uncollected++; v.uncollected == collectAfter {
			v.uncollected = 0
			runtime.GC()
		}
		v.solicitAt = 0
		v.routers.Update(now, a)
	}
	if v.solicitAt != 0 && now >= v.solicitAt {
		v.solicit(2 * v.solicitPause)
	}
	if at, ok := v.routers.Deadline(); ok && now >= at {
		v.routers.Expire(now)
		changed = true
	}
	if changed {
		i.followFlags(now)
		i.network.updateResolvConf()
	}
	if v.client == nil {
		return
	}
	for k := 0; k < mostPackets && v.socket != nil; k++ {
		d, err := v.socket.Receive(i.buf)
		if err != nil {
			break
		}
		if i.network.cfg.Trace != nil {
			i.network.trace(i.Name, " received from ", d.Source.String(), ": ", dhcp6.Summary(d.Payload))
		}
		i.do6(v.client.Receive(now, d))
	}
	if at, ok := v.client.Deadline(); ok && now >= at {
		i.do6(v.client.Tick(now))
	}
}

// followFlags starts DHCPv6 when the routers ask for it, and starts it anew if they want addresses to come from there that
// did not before.
func (i *Interface) followFlags(now time.Duration) {
	v := &i.v6
	managed, other := v.routers.Managed(), v.routers.Other()
	if !managed && !other || v.client != nil && (v.config.Stateful || !managed) {
		return
	}
	v.config = dhcp6.Config{
		DUID:      dhcp6.DUIDLinkLayer(i.link.HardwareAddr),
		IAID:      uint32(i.link.Index),
		Random:    random,
		Stateful:  managed,
		OfferOnly: i.network.cfg.OfferOnly,
	}
	v.client = dhcp6.NewClient(v.config)
	i.do6(v.client.Start(now))
}

// do6 carries out what the DHCPv6 client wants.
func (i *Interface) do6(a dhcp6.Action) {
	v := &i.v6
	switch a.Event {
	case dhcp6.Offered:
		v.offer = v.client.Lease()
	case dhcp6.Acquired, dhcp6.Renewed, dhcp6.Lost:
		i.network.warn(i.apply6(v.client.Lease()))
		i.network.updateResolvConf()
	}
	if a.Send != nil {
		i.network.warn(i.send6(a.Send))
	}
	if !v.client.Listening() {
		v.closeSocket()
	}
}

func (v *ipv6) closeSocket() {
	if v.socket != nil {
		v.socket.Close()
		v.socket = nil
	}
}

func (i *Interface) send6(message []byte) (err error) {
	v := &i.v6
	if v.socket == nil {
		if v.socket, err = dhcp6.OpenSocket(i.link.Index, i.Name); err != nil {
			return fmt.Errorf("DHCPv6 on %s: %w", i.Name, err)
		}
	}
	if i.network.cfg.Trace != nil {
		i.network.trace(i.Name, " sent: ", dhcp6.Summary(message))
	}
	_ = v.socket.Send(message) // what is lost is sent again
	return nil
}

// apply6 gives the interface the addresses of a lease, nil for none, and takes those of the one before that are not in it.
func (i *Interface) apply6(lease *dhcp6.Lease) error {
	var applied []netif.Config
	if lease != nil {
		for _, a := range lease.Addresses {
			applied = append(applied, netif.Config{
				Index:   i.link.Index,
				Address: inet.Prefix{Addr: a.Addr, Bits: 128},
				Valid:   a.Valid, Preferred: a.Preferred,
			})
		}
	}
	var errs []error
	for _, old := range i.v6.applied {
		if find(applied, old.Address) == nil {
			errs = append(errs, i.network.conn.Do(netif.Changes(&old, nil)...))
		}
	}
	for _, c := range applied {
		errs = append(errs, i.network.conn.Do(netif.Changes(find(i.v6.applied, c.Address), &c)...))
	}
	i.v6.applied = applied
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("configure %s: %w", i.Name, err)
	}
	return nil
}

func find(configs []netif.Config, address inet.Prefix) *netif.Config {
	for k := range configs {
		if configs[k].Address == address {
			return &configs[k]
		}
	}
	return nil
}

// resolvers returns the name servers that routers and the DHCPv6 server have named, routers first.
func (v *ipv6) resolvers(name string) resolvconf.Config {
	var c resolvconf.Config
	if !v.heard {
		return c
	}
	now := loop.Now()
	servers := v.routers.Servers(now)
	c.Search = v.routers.Search(now)
	if v.client != nil {
		if lease := v.client.Lease(); lease != nil {
			servers = append(servers, lease.DNS...)
			c.Search = append(c.Search, lease.Search...)
		}
	}
	for _, addr := range servers {
		s := resolvconf.Server{Addr: addr}
		if addr.IsLinkLocal() {
			s.Zone = name
		}
		c.Servers = append(c.Servers, s)
	}
	return c
}

// status adds what is known of IPv6.
func (v *ipv6) status(s *Status) {
	if !v.heard {
		return
	}
	now := loop.Now()
	s.Routers, s.DNS, s.Search = v.routers.Routers(now), v.routers.Servers(now), v.routers.Search(now)
	s.Lease6 = v.offer
	if v.client != nil && s.Lease6 == nil {
		s.Lease6 = v.client.Lease()
	}
}

// waiting6 tells whether more of IPv6 may still come.
func (i *Interface) waiting6() bool {
	v := &i.v6
	if !i.network.cfg.IPv6 || !i.started() {
		return false
	}
	return !v.heard || v.client != nil && v.client.Lease() == nil && v.offer == nil
}
