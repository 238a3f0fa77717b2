package network

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/dhcp6"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/netif"
)

// Interface is an interface of a Network.
type Interface struct {
	Name string

	network *Network
	metric  uint32
	// link is the last known state. Index is 0 if the interface does not exist. MTU is the MTU
	// before the lease.
	link netif.Link
	v4   ipv4
	v6   ipv6
}

// reset closes the sockets and forgets the state of the interface.
func (i *Interface) reset() {
	i.v4.close()
	i.v6.close()
	i.link, i.v4, i.v6 = netif.Link{}, ipv4{i: i}, ipv6{i: i}
}

// start sets the interface up and, if it has a carrier, sends the first messages. It returns nil if
// the interface does not exist.
func (i *Interface) start() (err error) {
	n := i.network
	if n.cfg.OfferOnly {
		i.link, err = n.conn.Link(i.Name)
		if err == nil && !i.link.Up {
			const hint = "the interface is down; to ask for offers does not set it up"
			return fmt.Errorf("%s: %s", i.Name, hint)
		}
	} else if i.link, err = n.setUp(i.Name); errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil || !i.link.Carrier {
		return err
	}
	return i.connected()
}

// connected starts IPv4 and IPv6, or confirms their configuration. It is called when the interface
// gets a carrier.
func (i *Interface) connected() error { return errors.Join(i.v4.start(), i.v6.start()) }

// confirm asks whether the configuration is still valid, after the machine slept.
func (i *Interface) confirm() error {
	var err error
	if i.v4.lease != nil {
		err = i.v4.start()
	}
	if i.v6.advertisements != nil {
		err = errors.Join(err, i.v6.start())
	}
	return err
}

// look reads the state of the interface from the kernel. It starts or forgets the interface if it
// has appeared or disappeared, and calls connected if it has got a carrier.
func (i *Interface) look() error {
	link, err := i.network.conn.Link(i.Name)
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return err
	}
	if i.link.Index != 0 && link.Index != i.link.Index {
		i.forget()
	}
	if link.Index == 0 {
		return nil
	}
	if i.link.Index == 0 {
		return i.start()
	}
	if !bytes.Equal(link.HardwareAddr, i.link.HardwareAddr) {
		i.forget() // to servers, the new address is another client
	}
	hadCarrier := i.link.Carrier
	if i.v4.applied != nil {
		link.MTU = i.link.MTU
	}
	i.link = link
	if hadCarrier || !link.Carrier {
		return nil
	}
	return i.connected()
}

// forget undoes the configuration of an interface that has disappeared or been renamed. It ignores
// errors, because the interface may not exist any more.
func (i *Interface) forget() {
	if i.v4.lease != nil {
		i.network.warn(fmt.Errorf("%s: %w", i.Name, errLost))
	}
	_ = i.v4.apply(nil)
	_ = i.v6.apply(nil)
	i.reset()
	i.network.updateResolvConf()
}

// do applies changes to the interface.
func (i *Interface) do(changes []netif.Change) error {
	if err := i.network.conn.Do(changes...); err != nil {
		return fmt.Errorf("configure %s: %w", i.Name, err)
	}
	return nil
}

// trace passes a line about a packet to Config.Trace, which must not be nil; see tracing.
func (i *Interface) trace(format string, args ...any) {
	i.network.cfg.Trace(i.Name + " " + fmt.Sprintf(format, args...))
}

// tracing reports whether packets are to be traced. Callers check it first, so that they do not
// describe packets in vain.
func (i *Interface) tracing() bool { return i.network.cfg.Trace != nil }

// Status is the state of an interface. With Config.OfferOnly, leases are offers.
type Status struct {
	Name    string
	State   string // in a few words; set only in a StatusFile
	Carrier bool   // the interface exists and is connected
	MTU     uint32 // bytes

	Lease   *dhcp4.Lease // nil if there is none
	Refused bool         // a server refused a lease
	Failed  bool         // the lease could not be applied

	Routers []netip.Addr // IPv6 default routers
	DNS     []netip.Addr // name servers that IPv6 routers advertise
	Search  []string     // search domains that IPv6 routers advertise
	Lease6  *dhcp6.Lease // nil if there is none
}

// Status returns the state of the interface.
func (i *Interface) Status() Status {
	s := Status{
		Name:    i.Name,
		Carrier: i.link.Carrier,
		MTU:     i.link.MTU,
		Lease:   i.v4.lease,
		Refused: i.v4.refused,
		Failed:  i.v4.failed,
	}
	if c := i.v4.applied; c != nil && c.MTU != 0 {
		s.MTU = c.MTU
	}
	if v := &i.v6; v.heard {
		now := loop.Now()
		s.Routers, s.DNS = v.routers.Routers(now), v.routers.Servers(now)
		s.Search = v.routers.Search(now)
		if v.client != nil {
			s.Lease6 = v.client.Lease()
		}
	}
	return s
}
