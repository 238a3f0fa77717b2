package network

import (
	"net/netip"
	"slices"
	"time"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/dhcp6"
	"github.com/krunbox/krunbox/pkg/loop"
)

// Status is the state of an interface. With Config.OfferOnly, leases are offers.
type Status struct {
	Name    string
	Carrier bool   // the interface exists and is connected
	MTU     uint32 // bytes

	Lease   *dhcp4.Lease // nil if there is none
	Refused bool         // a server refused a lease
	Failed  bool         // the lease could not be applied

	Routers []netip.Addr // default routers of IPv6
	DNS     []netip.Addr // name servers that the routers advertise
	Search  []string     // domains that the routers advertise
	Lease6  *dhcp6.Lease // nil if there is none, or no router asked for DHCPv6
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
		if s.Lease6 = v.offer; v.offer == nil && v.client != nil {
			s.Lease6 = v.client.Lease()
		}
	}
	return s
}

// otherVersionTimeout limits the wait for one version of IP after the other is configured.
const otherVersionTimeout = time.Second

// WaitForAll waits until no interface expects anything more of IPv4 and IPv6, at most for limit.
// When each interface has one version of IP, it waits for the other one only a second longer. It
// runs the tasks of l, which should include the Network.
func (n *Network) WaitForAll(l *loop.Loop, limit time.Duration) error {
	deadline := loop.Now() + limit
	err := wait(l, limit, func() bool {
		return !slices.ContainsFunc(n.interfaces, func(i *Interface) bool {
			wait4, wait6 := i.v4.waiting(), i.v6.waiting()
			return (wait4 || wait6) && (wait4 || !n.cfg.IPv4) && (wait6 || !n.cfg.IPv6)
		})
	})
	if err != nil {
		return err
	}
	return wait(l, min(deadline-loop.Now(), otherVersionTimeout), func() bool {
		return !slices.ContainsFunc(n.interfaces, func(i *Interface) bool {
			return i.v4.waiting() || i.v6.waiting()
		})
	})
}
