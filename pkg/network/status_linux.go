package network

import (
	"fmt"
	"time"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/dhcp6"
	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/loop"
)

// Status is what is known of an interface.
type Status struct {
	Name    string
	Carrier bool   // the interface is there, and connected
	MTU     uint32 // what it has, bytes

	Lease   *dhcp4.Lease // nil: none
	Refused bool         // a server has refused one
	Failed  bool         // it could not be applied

	Routers []inet.Addr // of IPv6
	DNS     []inet.Addr // that routers have named
	Search  []string
	Lease6  *dhcp6.Lease // nil: none, or not asked for
}

// Status returns what is known of the interface. With Config.OfferOnly, leases are offers.
func (i *Interface) Status() Status {
	s := Status{
		Name:    i.Name,
		Carrier: i.link.Carrier,
		MTU:     i.link.MTU,
		Lease:   i.lease,
		Refused: i.refused,
		Failed:  i.failed,
	}
	if i.config != nil && i.config.MTU != 0 {
		s.MTU = i.config.MTU
	}
	i.v6.status(&s)
	return s
}

// patience is how long the other version of IP is waited for when one is there.
const patience = time.Second

// WaitForAll waits until each interface has what it can have of IPv4 and IPv6, but not longer than limit, and not much
// longer for one of them when the other is there. It runs the tasks of l, the network among them.
func (n *Network) WaitForAll(l *loop.Loop, limit time.Duration) error {
	deadline := loop.Now() + limit
	for {
		all, some := true, true
		for _, i := range n.interfaces {
			has4, has6 := !i.waiting(), !i.waiting6()
			all = all && has4 && has6
			some = some && (has4 && n.cfg.IPv4 || has6 && n.cfg.IPv6)
		}
		if some {
			deadline = min(deadline, loop.Now()+patience)
		}
		left := deadline - loop.Now()
		if all || left <= 0 {
			return nil
		}
		if _, err := l.Step(-1, left); err != nil {
			return fmt.Errorf("wait for leases: %w", err)
		}
	}
}
