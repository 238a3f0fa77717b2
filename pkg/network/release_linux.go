package network

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/netif"
)

// ErrNoAnswer says that no server has answered in time.
var ErrNoAnswer = errors.New("no server answered")

// Release gives the lease of the interface that cfg names back to its server, and removes what it brought: the address, its
// routes, and the name servers. The process that acquired the lease is not needed: the server is asked who it is.
func Release(cfg Config, limit time.Duration) (inet.Prefix, error) {
	n := New(cfg)
	n.cfg.OfferOnly = true
	if err := n.open(); err != nil {
		return inet.Prefix{}, err
	}
	defer n.Close()
	i := n.add(cfg.Interfaces[0])
	link, err := n.conn.Link(i.Name)
	if err != nil {
		return inet.Prefix{}, err
	}
	leased, undo, err := leasedConfig(n.conn, link)
	if err != nil {
		return inet.Prefix{}, fmt.Errorf("%s: %w", i.Name, err)
	}
	i.requested = leased.Addr
	if err := i.start(); err != nil {
		return inet.Prefix{}, err
	}
	l := loop.Loop{Tasks: []loop.Task{n}, Warn: cfg.Warn}
	deadline := loop.Now() + limit
	for i.lease == nil {
		left := deadline - loop.Now()
		if left <= 0 {
			return leased, fmt.Errorf("%s: release %v: %w", i.Name, leased, ErrNoAnswer)
		}
		if _, err := l.Step(-1, left); err != nil {
			return leased, err
		}
	}
	if i.lease.Address.Addr != leased.Addr {
		return leased, fmt.Errorf("%s: release %v: %w", i.Name, leased, errors.New("the server knows nothing of it, it offers "+i.lease.Address.String()))
	}
	if err := i.send(dhcp4.Action{Send: i.client.Release(), To: i.lease.Server}); err != nil {
		return leased, err
	}
	i.socket.Flush(deadline - loop.Now())
	return leased, errors.Join(n.conn.Do(undo...), n.resolv.Adopt(), n.resolv.Remove())
}

// leasedConfig returns the IPv4 address of a link that comes from a lease, and how to undo it.
func leasedConfig(conn *netif.Conn, link netif.Link) (leased inet.Prefix, undo []netif.Change, err error) {
	routes, err := conn.Routes(link.Index)
	if err != nil {
		return leased, nil, err
	}
	addresses, err := conn.Addresses(link.Index)
	if err != nil {
		return leased, nil, err
	}
	for _, r := range routes {
		if r.Protocol == netif.ProtocolDHCP && r.Destination.Addr.Is4() {
			undo = append(undo, netif.Change{Kind: netif.DeleteRoute, Index: link.Index, Route: r})
		}
	}
	for _, a := range addresses {
		// One that ends is from a lease; one that does not may be, and then a route of the lease names it.
		isSource := func(c netif.Change) bool { return c.Route.Source == a.Prefix.Addr }
		if a.Prefix.Addr.Is4() && (a.Valid != netif.Forever || slices.ContainsFunc(undo, isSource)) {
			return a.Prefix, append(undo, netif.Change{Kind: netif.DeleteAddress, Index: link.Index, Address: a}), nil
		}
	}
	return leased, nil, fmt.Errorf("no address from a lease: %w", unix.EADDRNOTAVAIL)
}
