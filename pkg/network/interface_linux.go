package network

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/resolvconf"
)

// mostPackets is how many packets of one interface are looked at in a row: others want their turn too.
const mostPackets = 64

// Interface is an interface of a Network.
type Interface struct {
	Name string

	network *Network
	link    netif.Link // that of index 0 is not there yet
	metric  uint32
	buf     []byte

	requested inet.Addr // the address to ask for, if valid

	// IPv4
	client   *dhcp4.Client
	socket   *dhcp4.Socket
	lease    *dhcp4.Lease  // held or, with OfferOnly, offered
	acquired time.Duration // when the lease was
	config   *netif.Config // what the interface has from the lease; nil: nothing
	refused  bool
	failed   bool // the lease could not be applied

	v6 ipv6
}

// started tells whether the interface was there, with a carrier.
func (i *Interface) started() bool { return i.link.Carrier }

// start sets the interface up and sends the first message if it has a carrier.
func (i *Interface) start() (err error) {
	n := i.network
	if n.cfg.OfferOnly {
		i.link, err = n.conn.Link(i.Name)
		if err == nil && !i.link.Up {
			return fmt.Errorf("%s: %w", i.Name, errors.New("the interface is down; to ask for offers does not set it up"))
		}
	} else {
		i.link, err = n.setUp(i.Name)
	}
	if isMissing(err) && !n.cfg.OfferOnly {
		return nil
	}
	if err != nil || !i.link.Carrier {
		return err
	}
	return i.connected()
}

// look finds out whether the interface has come, gone or been connected since the last time.
func (i *Interface) look() error {
	link, err := i.network.conn.Link(i.Name)
	if err != nil && !isMissing(err) {
		return err
	}
	if i.link.Index != 0 && link.Index != i.link.Index {
		i.forget()
	}
	if link.Index == 0 {
		return nil
	}
	if i.link.Index == 0 {
		return errors.Join(i.start(), i.startIPv6())
	}
	if !bytes.Equal(link.HardwareAddr, i.link.HardwareAddr) {
		i.forget() // to servers it is another one
	}
	connected := link.Carrier && !i.link.Carrier
	if i.config != nil {
		link.MTU = i.link.MTU // that of the time before the lease
	}
	i.link = link
	if !connected {
		return nil
	}
	i.reconnectIPv6()
	return errors.Join(i.connected(), i.startIPv6())
}

// forget is for an interface that is gone, or has another name now. That nothing can be taken off one that is gone is no
// failure.
func (i *Interface) forget() {
	if i.lease != nil {
		i.network.warn(fmt.Errorf("%s: %w", i.Name, errLost))
	}
	_ = i.apply(nil)
	_ = i.apply6(nil)
	i.close()
	*i = Interface{Name: i.Name, network: i.network, metric: i.metric}
	i.network.updateResolvConf()
}

// connected asks for a lease or, when one is held, whether that is good for the network at the other end.
func (i *Interface) connected() error {
	if !i.network.cfg.IPv4 {
		return nil
	}
	if len(i.link.HardwareAddr) != 6 {
		return fmt.Errorf("DHCP on %s: %w", i.Name, unix.EAFNOSUPPORT)
	}
	if i.lease != nil {
		return i.do(i.client.Confirm(loop.Now()))
	}
	i.newClient()
	return i.do(i.client.Start(loop.Now()))
}

func (i *Interface) newClient() {
	i.client = dhcp4.NewClient(dhcp4.Config{
		HardwareAddr: [6]byte(i.link.HardwareAddr),
		Hostname:     i.network.cfg.Hostname,
		Random:       random,
		OfferOnly:    i.network.cfg.OfferOnly,
		Requested:    i.requested,
	})
}

// waiting tells whether a lease may still come.
func (i *Interface) waiting() bool {
	return i.client != nil && i.lease == nil
}

// poll returns the descriptors to wait for with fds, and how long at most.
func (i *Interface) poll(fds []unix.PollFd, now time.Duration) ([]unix.PollFd, time.Duration) {
	wait := loop.Forever
	if i.client != nil {
		if i.socket != nil && !i.client.Listening() {
			// It would look at all that the interface receives. It is closed here, where there is time, for the kernel takes
			// some milliseconds until nobody uses it any more.
			i.socket.Close()
			i.socket = nil
		}
		if i.socket != nil {
			fds = append(fds, unix.PollFd{Fd: int32(i.socket.FD()), Events: unix.POLLIN})
		}
		if at, ok := i.client.Deadline(); ok {
			wait = max(at-now, 0)
		}
	}
	fds, until := i.v6.poll(fds, now)
	if until >= 0 && (wait < 0 || until < wait) {
		wait = until
	}
	return fds, wait
}

// run does what is due.
func (i *Interface) run(now time.Duration) {
	if i.client != nil {
		i.receive(now)
		if at, ok := i.client.Deadline(); ok && now >= at {
			i.network.warn(i.do(i.client.Tick(now)))
		}
	}
	i.runIPv6(now)
}

// receive hands the client what has come.
func (i *Interface) receive(now time.Duration) {
	if i.buf == nil {
		i.buf = make([]byte, 2048)
	}
	for k := 0; k < mostPackets && i.socket != nil; k++ {
		d, err := i.socket.Receive(i.buf)
		if err != nil {
			// Nothing there; or the interface went down, of which a reader is told once.
			return
		}
		if i.network.cfg.Trace != nil {
			i.network.trace(i.Name, " received from ", d.Source.String(), ": ", dhcp4.Summary(d.Payload))
		}
		i.network.warn(i.do(i.client.Receive(now, d)))
	}
}

// do carries out what the client wants.
func (i *Interface) do(a dhcp4.Action) error {
	var errs []error
	if a.Event != dhcp4.NoEvent {
		errs = append(errs, i.handle(a.Event))
	}
	if a.Send != nil {
		errs = append(errs, i.send(a))
	}
	return errors.Join(errs...)
}

// listen opens the socket.
func (i *Interface) listen() (err error) {
	if i.socket == nil {
		i.socket, err = dhcp4.OpenSocket(i.link.Index)
	}
	if err != nil {
		return fmt.Errorf("DHCP on %s: %w", i.Name, err)
	}
	return nil
}

func (i *Interface) send(a dhcp4.Action) error {
	if err := i.listen(); err != nil {
		return err
	}
	if i.network.cfg.Trace != nil {
		i.network.trace(i.Name, " sent to ", a.To.String(), ": ", dhcp4.Summary(a.Send))
	}
	// What is lost is sent again. That a network is not reachable, or an interface down, may change.
	if err := i.socket.Send(a); err != nil {
		i.network.trace(i.Name, " not sent: ", err.Error())
	}
	return nil
}

// handle applies and undoes leases.
func (i *Interface) handle(event dhcp4.Event) error {
	n := i.network
	switch event {
	case dhcp4.Offered:
		i.lease = i.client.Lease()
	case dhcp4.Refused:
		i.refused = true
	case dhcp4.Acquired, dhcp4.Renewed:
		old := i.lease
		i.lease, i.acquired = i.client.Lease(), loop.Now()
		err := i.apply(i.configOf(i.lease))
		i.failed, i.refused = err != nil, false
		if name := i.lease.Hostname; name != "" && (old == nil || old.Hostname != name) && n.cfg.OnHostname != nil {
			n.cfg.OnHostname(name)
		}
		n.updateResolvConf() // last: who has waited for name servers finds all the rest
		return err
	case dhcp4.Lost:
		err := i.apply(nil)
		i.lease, i.failed = nil, false
		n.updateResolvConf()
		return errors.Join(fmt.Errorf("%s: %w", i.Name, errLost), err)
	}
	return nil
}

// errLost is a warning.
var errLost = errors.New("the address lease is lost; looking for a new one")

// configOf returns what the interface is to have from a lease.
func (i *Interface) configOf(l *dhcp4.Lease) *netif.Config {
	c := &netif.Config{
		Index:     i.link.Index,
		Address:   l.Address,
		Broadcast: l.Broadcast,
		MTU:       netif.ClampMTU(uint32(l.MTU), i.link.MaxMTU),
		Valid:     l.Duration,
		Metric:    i.metric,
		LinkMTU:   i.link.MTU,
	}
	for _, r := range l.Routes {
		c.Routes = append(c.Routes, netif.Route{Destination: r.Destination, Gateway: r.Gateway})
	}
	return c
}

// apply changes the interface to have what a configuration says, nil for nothing.
func (i *Interface) apply(to *netif.Config) error {
	err := i.network.conn.Do(netif.Changes(i.config, to)...)
	i.config = to
	if err != nil {
		return fmt.Errorf("configure %s: %w", i.Name, err)
	}
	return nil
}

// resolvers returns the name servers of the interface's leases and routers.
func (i *Interface) resolvers() []resolvconf.Config {
	var v4 resolvconf.Config
	if i.lease != nil {
		for _, addr := range i.lease.DNS {
			v4.Servers = append(v4.Servers, resolvconf.Server{Addr: addr})
		}
		v4.Search = i.lease.Search
		if len(v4.Search) == 0 && i.lease.Domain != "" {
			v4.Search = []string{i.lease.Domain}
		}
	}
	return []resolvconf.Config{v4, i.v6.resolvers(i.Name)}
}

func (i *Interface) close() {
	if i.socket != nil {
		i.socket.Close()
	}
	if i.v6.advertisements != nil {
		i.v6.advertisements.Close()
	}
	i.v6.closeSocket()
}
