package network

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/resolvconf"
)

// ipv4 configures an interface by DHCP.
type ipv4 struct {
	i         *Interface
	client    *dhcp4.Client // nil: not started
	socket    *dhcp4.Socket // nil: closed
	requested netip.Addr    // the address to ask for first, if valid
	lease     *dhcp4.Lease  // held or, with OfferOnly, offered; nil: none
	acquired  time.Duration // when the lease was acquired or renewed
	applied   *netif.Config // the configuration for the lease; nil: none
	refused   bool          // a server refused a lease
	failed    bool          // the lease could not be applied
}

var errLost = errors.New("the address lease is lost; looking for a new one")

// start asks for a lease. If a lease is held, start asks whether the lease is still valid: the
// interface may have been connected to another network.
func (v *ipv4) start() error {
	if !v.i.network.cfg.IPv4 {
		return nil
	}
	if v.lease != nil {
		return v.act(v.client.Confirm(loop.Now()))
	}
	if err := v.newClient(); err != nil {
		return err
	}
	return v.act(v.client.Start(loop.Now()))
}

// newClient sets v.client. The error wraps EAFNOSUPPORT if the interface has no Ethernet address.
func (v *ipv4) newClient() error {
	if len(v.i.link.HardwareAddr) != 6 {
		return fmt.Errorf("DHCP on %s: %w", v.i.Name, unix.EAFNOSUPPORT)
	}
	v.client = dhcp4.NewClient(dhcp4.Config{
		HardwareAddr: [6]byte(v.i.link.HardwareAddr),
		Hostname:     v.i.network.cfg.Hostname,
		Random:       rand.Uint32, // seeded by the kernel at the start of the process
		OfferOnly:    v.i.network.cfg.OfferOnly,
		Requested:    v.requested,
	})
	return nil
}

// waiting reports whether a lease is expected.
func (v *ipv4) waiting() bool { return v.client != nil && v.lease == nil }

// obstacle returns the reason why an expected lease has not arrived.
func (v *ipv4) obstacle() string {
	switch {
	case v.refused:
		return "a DHCP server refused a lease, and granted no other one"
	case v.client.State() == dhcp4.Requesting:
		return "a DHCP server offered an address, but did not confirm it"
	}
	return "no DHCP server answered"
}

// poll appends the descriptor to read from, and returns the time at which to call run.
func (v *ipv4) poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) {
	if v.client == nil {
		return fds, dhcp4.Infinite
	}
	if v.socket != nil && !v.client.Listening() {
		// An open packet socket would receive all packets of the interface. Closing it takes some
		// milliseconds, so it is closed here, when there is nothing else to do.
		v.close()
	}
	if v.socket != nil {
		fds = append(fds, unix.PollFd{Fd: int32(v.socket.FD()), Events: unix.POLLIN})
	}
	return fds, v.client.Deadline()
}

// run handles the packets that have arrived and the deadline of the client.
func (v *ipv4) run(now time.Duration) {
	if v.client == nil {
		return
	}
	if v.socket != nil {
		drain(v.i.network.buf[:], v.socket.Receive, func(d dhcp4.Datagram) {
			if v.i.tracing() {
				v.i.trace("received from %v: %s", d.Source, dhcp4.Summary(d.Payload))
			}
			v.i.network.warn(v.act(v.client.Receive(now, d)))
		})
	}
	v.i.network.warn(v.act(v.client.Tick(now)))
}

// act carries out an action of the client.
func (v *ipv4) act(a dhcp4.Action) error {
	err := v.handle(a.Event)
	if len(a.Send) == 0 {
		return err
	}
	return errors.Join(err, v.send(a))
}

// send sends the message of an action. It fails only if no socket can be opened.
func (v *ipv4) send(a dhcp4.Action) (err error) {
	if v.socket == nil {
		if v.socket, err = dhcp4.OpenSocket(v.i.link.Index); err != nil {
			return fmt.Errorf("DHCP on %s: %w", v.i.Name, err)
		}
	}
	v.i.network.changed = true // StatusFile has the time of the next message and the state
	if v.i.tracing() {
		v.i.trace("sent to %v: %s", a.To, dhcp4.Summary(a.Send))
	}
	// A failure is not an error: the client repeats its messages.
	if err := v.socket.Send(a); err != nil && v.i.tracing() {
		v.i.trace("not sent: %v", err)
	}
	return nil
}

// handle applies or removes a lease, as an event of the client requires.
func (v *ipv4) handle(event dhcp4.Event) error {
	n := v.i.network
	switch event {
	case dhcp4.Offered:
		v.lease = v.client.Lease()
	case dhcp4.Refused:
		v.refused = true
		n.changed = true
	case dhcp4.Acquired, dhcp4.Renewed:
		old := v.lease
		v.lease, v.acquired = v.client.Lease(), loop.Now()
		err := v.apply(v.configOf(v.lease))
		v.failed, v.refused = err != nil, false
		if n.cfg.OnAddress != nil && (old == nil || old.Address != v.lease.Address) {
			n.cfg.OnAddress()
		}
		name := v.lease.Hostname
		if name != "" && (old == nil || old.Hostname != name) && n.cfg.OnHostname != nil {
			n.cfg.OnHostname(name)
		}
		n.updateResolvConf() // last, because programs may wait for the file
		return err
	case dhcp4.Lost:
		err := v.apply(nil)
		v.lease, v.failed = nil, false
		n.updateResolvConf()
		return errors.Join(fmt.Errorf("%s: %w", v.i.Name, errLost), err)
	}
	return nil
}

// configOf returns the configuration of the interface for a lease.
func (v *ipv4) configOf(l *dhcp4.Lease) *netif.Config {
	c := &netif.Config{
		Index:     v.i.link.Index,
		Address:   l.Address,
		Broadcast: l.Broadcast,
		Valid:     l.Duration,
		Metric:    v.i.metric,
		LinkMTU:   v.i.link.MTU,
	}
	if l.MTU != 0 {
		c.MTU = netif.ClampMTU(uint32(l.MTU), v.i.link.MaxMTU)
	}
	for _, r := range l.Routes {
		c.Routes = append(c.Routes, netif.Route{Destination: r.Destination, Gateway: r.Gateway})
	}
	return c
}

// apply changes the configuration of the interface; nil removes it.
func (v *ipv4) apply(to *netif.Config) error {
	changes := netif.Changes(v.applied, to)
	v.applied = to
	return v.i.do(changes)
}

// resolvers returns the name servers and domains of the lease.
func (v *ipv4) resolvers() (c resolvconf.Config) {
	if v.lease == nil {
		return c
	}
	c.Servers, c.Search = v.lease.DNS, v.lease.Search
	if len(c.Search) == 0 && v.lease.Domain != "" {
		c.Search = []string{v.lease.Domain}
	}
	return c
}

// close closes the socket.
func (v *ipv4) close() {
	if v.socket != nil {
		v.socket.Close()
		v.socket = nil
	}
}

// ack returns the message that granted the lease, or nil.
func (v *ipv4) ack() []byte {
	if v.lease == nil {
		return nil
	}
	return v.client.Ack()
}
