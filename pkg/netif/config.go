// Package netif configures network interfaces. Changes computes the changes that an interface
// needs, and a Conn makes them by rtnetlink(7).
package netif

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"
)

// Infinite is the lifetime of an address that does not expire.
const Infinite time.Duration = 1<<63 - 1

// ProtocolDHCP is the protocol of routes that a DHCP server sent: RTPROT_DHCP of rtnetlink(7).
const ProtocolDHCP = 16

// minMTU is the size in bytes of a datagram that every IPv4 host can receive, RFC 791.
const minMTU = 576

// ClampMTU returns the MTU to set, in bytes, when a server sends the MTU want: at least 576, and at
// most limit, the largest MTU of the link, unless limit is 0. It returns 0 if want is 0.
func ClampMTU(want, limit uint32) uint32 {
	if want == 0 {
		return 0
	}
	return min(max(want, minMTU), cmp.Or(limit, math.MaxUint32))
}

// IfAddr is an address of an interface.
type IfAddr struct {
	Prefix    netip.Prefix // with the bits of the host
	Broadcast netip.Addr   // optional, IPv4 only
	// Valid is the lifetime of the address, greater than 0. When it ends, the kernel removes the
	// address and the routes that have the address as their source. Preferred, at most Valid, is
	// the time in which new connections use the address. The kernel counts whole seconds.
	Valid, Preferred time.Duration
	Flags            uint32 // IFA_F_*, such as IFA_F_TENTATIVE; read, but never set
}

// Route is a unicast route of the main table through one interface.
type Route struct {
	Destination netip.Prefix
	Gateway     netip.Addr // invalid: the destination is on the link
	Source      netip.Addr // the preferred source address, if valid
	Metric      uint32
	Protocol    uint8 // RTPROT_*
}

// String returns the destination and the gateway.
func (r Route) String() string {
	if !r.Gateway.IsValid() {
		return fmt.Sprintf("%v on link", r.Destination)
	}
	return fmt.Sprintf("%v via %v", r.Destination, r.Gateway)
}

// Kind is the kind of a Change.
type Kind uint8

// SetAddress adds an address, or gives an existing one new lifetimes. SetRoute adds a route, or
// replaces the one with the same destination and metric; AddRoute keeps that one. It is not an
// error if the address or route to delete does not exist.
const (
	SetMTU Kind = iota
	SetAddress
	DeleteAddress
	SetRoute
	AddRoute
	DeleteRoute
)

// Change is a change of an interface.
type Change struct {
	Kind  Kind
	Index int // of the interface

	// Only the field that belongs to Kind is used.
	MTU     uint32
	Address IfAddr
	Route   Route
}

// String describes the change, such as "set route 0.0.0.0/0 via 10.0.2.2".
func (c Change) String() string {
	switch c.Kind {
	case SetMTU:
		return fmt.Sprintf("set MTU %d", c.MTU)
	case SetAddress:
		return fmt.Sprintf("set address %v", c.Address.Prefix)
	case DeleteAddress:
		return fmt.Sprintf("delete address %v", c.Address.Prefix)
	case SetRoute:
		return fmt.Sprintf("set route %v", c.Route)
	case AddRoute:
		return fmt.Sprintf("add route %v", c.Route)
	default:
		return fmt.Sprintf("delete route %v", c.Route)
	}
}

// Config is what one lease configures on an interface.
type Config struct {
	Index   int          // of the interface
	Address netip.Prefix // with the bits of the host
	// Broadcast is the broadcast address of an IPv4 address; the zero Addr stands for the last
	// address of the prefix.
	Broadcast netip.Addr
	// Valid and Preferred are lifetimes as in IfAddr. For IPv4, Preferred is ignored.
	Valid, Preferred time.Duration
	// Routes have only a Destination and a Gateway. If the gateway is invalid or 0.0.0.0, the
	// destination is on the link. Of routes with the same destination, the first one is used.
	Routes  []Route
	Metric  uint32 // of all routes; different for each interface, to keep their routes apart
	MTU     uint32 // bytes; 0 leaves the MTU of the link
	LinkMTU uint32 // the MTU of the link before the lease, to restore it; 0 if unknown
}

// Changes returns the changes from one configuration of an interface to another, in an order in
// which none fails. nil stands for no configuration. An unchanged address is set again, and
// unchanged routes are added again, so that the renewal of a lease restores them if they were
// deleted. A route that has replaced one of them, such as that of a VPN, stays. Connections survive
// if the address is unchanged.
func Changes(from, to *Config) []Change {
	if from != nil && to != nil && from.Index != to.Index {
		return append(Changes(from, nil), Changes(nil, to)...)
	}
	var setAddress, setRoutes, deleteRoutes, deleteAddress []Change
	var routes []Route                                      // of to
	stays := from != nil && to != nil && from.canBecome(to) // the address stays
	if to != nil {
		setAddress = []Change{{Kind: SetAddress, Index: to.Index, Address: to.ifAddr()}}
		routes = to.routes()
		for _, r := range routes {
			c := Change{Kind: SetRoute, Index: to.Index, Route: r}
			if stays && slices.Contains(from.routes(), r) {
				c.Kind = AddRoute
			}
			setRoutes = append(setRoutes, c)
		}
	}
	if from != nil {
		for _, r := range slices.Backward(from.routes()) {
			if !stays || !replaces(routes, r) {
				c := Change{Kind: DeleteRoute, Index: from.Index, Route: r}
				deleteRoutes = append(deleteRoutes, c)
			}
		}
		if !stays || from.Address != to.Address {
			c := Change{Kind: DeleteAddress, Index: from.Index, Address: from.ifAddr()}
			deleteAddress = append(deleteAddress, c)
		}
	}
	mtu := changeMTU(from, to)
	if stays {
		// If the prefix length changes, the old broadcast address may be a gateway now: the old
		// address must be deleted before the routes are set.
		return slices.Concat(mtu, setAddress, deleteAddress, setRoutes, deleteRoutes)
	}
	return slices.Concat(mtu, deleteRoutes, deleteAddress, setAddress, setRoutes)
}

// canBecome reports whether the address of to can be set before the address of c is deleted. It
// cannot if the addresses differ, because one in the same network would become secondary to the
// existing one, and be deleted with it. It cannot if only the broadcast addresses differ, because
// an existing address keeps its broadcast address.
func (c *Config) canBecome(to *Config) bool {
	return c.Address.Addr() == to.Address.Addr() &&
		(c.Address.Bits() != to.Address.Bits() || c.broadcast() == to.broadcast())
}

// replaces reports whether one of the routes has the destination and metric of old, so that setting
// it replaces old.
func replaces(routes []Route, old Route) bool {
	return slices.ContainsFunc(routes, func(r Route) bool {
		return r.Destination == old.Destination && r.Metric == old.Metric
	})
}

// changeMTU returns the change of the MTU, or nil if the MTU stays.
func changeMTU(from, to *Config) []Change {
	c := cmp.Or(to, from)
	if c == nil {
		return nil
	}
	current, want := c.LinkMTU, c.LinkMTU
	if from != nil {
		current = cmp.Or(from.MTU, from.LinkMTU)
	}
	if to != nil {
		want = cmp.Or(to.MTU, to.LinkMTU)
	}
	if want == 0 || want == current {
		return nil
	}
	return []Change{{Kind: SetMTU, Index: c.Index, MTU: want}}
}

// ifAddr returns the address of the configuration.
func (c *Config) ifAddr() IfAddr {
	a := IfAddr{Prefix: c.Address, Broadcast: c.broadcast(), Valid: c.Valid}
	a.Preferred = min(c.Preferred, c.Valid)
	if c.Address.Addr().Is4() {
		a.Preferred = c.Valid
	}
	return a
}

// broadcast returns the broadcast address, or the zero Addr if there is none.
func (c *Config) broadcast() netip.Addr {
	if !c.Broadcast.IsValid() && c.Address.Addr().Is4() && c.Address.Bits() <= 30 {
		return lastAddr(c.Address)
	}
	return c.Broadcast
}

// lastAddr returns the address of an IPv4 network with all bits of the host set.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	n := binary.BigEndian.Uint32(b[:]) | uint32(1<<(32-p.Bits())-1)
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

// routes returns the routes to set, in an order in which every gateway is reachable. It omits
// routes that the kernel would refuse, and those that the kernel adds with the address. It adds a
// route to each gateway that is not on the link, because servers send such gateways with a /32
// address.
func (c *Config) routes() []Route {
	var onLink, via []Route
	for _, r := range c.Routes {
		if !r.Gateway.IsValid() || r.Gateway.IsUnspecified() {
			onLink = c.add(onLink, r.Destination, netip.Addr{})
		}
	}
	for _, r := range c.Routes {
		if !c.isGateway(r.Gateway) {
			continue
		}
		if !c.reaches(onLink, r.Gateway) {
			onLink = c.add(onLink, netip.PrefixFrom(r.Gateway, r.Gateway.BitLen()), netip.Addr{})
		}
		via = c.add(via, r.Destination, r.Gateway)
	}
	via = slices.DeleteFunc(via, func(r Route) bool { return replaces(onLink, r) })
	return append(onLink, via...)
}

// add appends a route, unless the route is invalid, the kernel adds it with the address, or routes
// has one to the same destination.
func (c *Config) add(routes []Route, destination netip.Prefix, gateway netip.Addr) []Route {
	r := Route{
		Destination: destination.Masked(), Gateway: gateway,
		Metric: c.Metric, Protocol: ProtocolDHCP,
	}
	if r.Destination.Addr().Is4() {
		// The kernel refuses an IPv6 source address that is still tentative.
		r.Source = c.Address.Addr()
	}
	if !destination.IsValid() || destination.Addr().Is4() != c.Address.Addr().Is4() ||
		c.isConnected() && r.Destination == c.Address.Masked() || replaces(routes, r) {
		return routes
	}
	return append(routes, r)
}

// isGateway reports whether a can be a gateway: the unicast address of another host.
func (c *Config) isGateway(a netip.Addr) bool {
	own := c.Address.Addr()
	return (a.IsGlobalUnicast() || a.IsLinkLocalUnicast()) && a.Is4() == own.Is4() &&
		a != own && a != c.broadcast() &&
		(!own.Is4() || c.Address.Bits() > 30 || a != lastAddr(c.Address))
}

// reaches reports whether a is on the link, because of the address or of one of the routes.
func (c *Config) reaches(routes []Route, a netip.Addr) bool {
	return a.Is6() && a.IsLinkLocalUnicast() || c.isConnected() && c.Address.Contains(a) ||
		slices.ContainsFunc(routes, func(r Route) bool { return r.Destination.Contains(a) })
}

// isConnected reports whether the kernel adds a route to the network of the address. It adds none
// to network 0.0.0.0. For IPv6, only routers announce which prefixes are on the link (RFC 5942).
func (c *Config) isConnected() bool {
	return c.Address.Addr().Is4() && !c.Address.Masked().Addr().IsUnspecified()
}
