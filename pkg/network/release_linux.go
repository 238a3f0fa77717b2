package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/netif"
)

// ErrNoAnswer is the error of Release when no server answers in time.
var ErrNoAnswer = errors.New("no server answered")

// Release returns the IPv4 lease of the first interface of cfg to its server. It removes the
// address, the routes and the name servers of the lease, and returns the address. The process that
// acquired the lease need not run: Release asks for an offer of the address to find the server. It
// returns ErrNoAnswer if there is no offer within limit.
func Release(cfg Config, limit time.Duration) (leased netip.Prefix, err error) {
	n := New(cfg)
	n.cfg.OfferOnly = true
	if n.conn, err = netif.Open(); err != nil {
		return leased, err
	}
	defer n.Close()
	i := n.add(cfg.Interfaces[0])
	link, err := n.conn.Link(i.Name)
	if err != nil {
		return leased, err
	}
	leased, undo, err := leasedConfig(n.conn, link)
	if err != nil {
		return leased, fmt.Errorf("%s: %w", i.Name, err)
	}
	v := &i.v4
	v.requested = leased.Addr()
	if err := i.start(); err != nil {
		return leased, err
	}
	l := loop.Loop{Tasks: []loop.Task{n}, Warn: cfg.Warn}
	deadline := loop.Now() + limit
	if err := wait(&l, limit, nil, func() bool { return v.lease != nil }); err != nil {
		return leased, err
	}
	if v.lease == nil {
		return leased, fmt.Errorf("%s: release %v: %w", i.Name, leased, ErrNoAnswer)
	}
	if v.lease.Address.Addr() != leased.Addr() {
		return leased, fmt.Errorf("%s: release %v: the server does not know it, it offers %v",
			i.Name, leased, v.lease.Address)
	}
	if err := v.send(dhcp4.Action{Send: v.client.Release(), To: v.lease.Server}); err != nil {
		return leased, err
	}
	v.socket.Flush(deadline - loop.Now())
	return leased, errors.Join(n.conn.Do(undo...), n.resolv.Adopt(), n.resolv.Remove())
}

// leasedConfig returns the IPv4 address that an interface has from a lease, and the changes that
// remove the configuration of the lease. The error wraps EADDRNOTAVAIL if there is no such address.
func leasedConfig(conn *netif.Conn, link netif.Link) (
	leased netip.Prefix, undo []netif.Change, err error,
) {
	routes, err := conn.Routes(link.Index)
	if err != nil {
		return leased, nil, err
	}
	addresses, err := conn.Addresses(link.Index)
	if err != nil {
		return leased, nil, err
	}
	for _, r := range routes {
		if r.Protocol == netif.ProtocolDHCP && r.Destination.Addr().Is4() {
			undo = append(undo, netif.Change{Kind: netif.DeleteRoute, Index: link.Index, Route: r})
		}
	}
	for _, a := range addresses {
		// An address comes from a lease if it expires or is the source of a route from DHCP.
		isSource := func(c netif.Change) bool { return c.Route.Source == a.Prefix.Addr() }
		fromLease := a.Valid != netif.Infinite || slices.ContainsFunc(undo, isSource)
		if a.Prefix.Addr().Is4() && fromLease {
			undo = append(undo,
				netif.Change{Kind: netif.DeleteAddress, Index: link.Index, Address: a})
			return a.Prefix, undo, nil
		}
	}
	return leased, nil, fmt.Errorf("no address from a lease: %w", unix.EADDRNOTAVAIL)
}
