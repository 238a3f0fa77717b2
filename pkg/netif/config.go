// Package netif configures network interfaces. Loopback and the TSI interface, which every boot has, are set up by the
// ioctls of netdevice(7): one call is all that takes. What leases bring is done by rtnetlink(7), many changes in one call:
// Changes says what is to be done, and Conn does it.
package netif

import (
	"slices"
	"strconv"
	"time"

	"github.com/krunbox/krunbox/pkg/inet"
)

// Forever is a lifetime without an end.
const Forever time.Duration = 1<<63 - 1

// ProtocolDHCP says of a route where it comes from: RTPROT_DHCP of rtnetlink(7).
const ProtocolDHCP = 16

// minMTU is what every IPv4 host can receive, RFC 791.
const minMTU = 576

// ClampMTU returns the MTU to set when a server wants one: at least 576, and at most what the link can have, if that is
// known (not 0). 0 is no wish, and stays 0. Below 1280 the kernel takes IPv6 off the interface.
func ClampMTU(want, most uint32) uint32 {
	if want == 0 {
		return 0
	}
	want = max(want, minMTU)
	if most != 0 {
		want = min(want, most)
	}
	return want
}

// IfAddr is an address of an interface.
type IfAddr struct {
	Prefix    inet.Prefix
	Broadcast inet.Addr // IPv4 only, and not always there
	// Valid is how long the address lasts, more than 0: then the kernel removes it, and with it the routes that have it as
	// their source. Preferred is how long new connections use it, not more than Valid. The kernel counts whole seconds.
	Valid, Preferred time.Duration
	Flags            uint32 // IFA_F_*, tentative for one; only read, never set
}

// Route is a route of the main table through one interface.
type Route struct {
	Destination inet.Prefix
	Gateway     inet.Addr // none: the destination is on the link
	Source      inet.Addr // the source address to prefer, if any
	Metric      uint32
	Protocol    uint8 // RTPROT_*
}

// String returns destination and gateway.
func (r Route) String() string {
	if !r.Gateway.IsValid() {
		return r.Destination.String() + " on link"
	}
	return r.Destination.String() + " via " + r.Gateway.String()
}

// Kind is what a Change does.
type Kind uint8

// To set is to make or to replace: an address that is there gets new lifetimes, a route takes the place of that with the
// same destination and metric. To delete what is not there is no failure.
const (
	SetMTU Kind = iota
	SetAddress
	DeleteAddress
	SetRoute
	DeleteRoute
)

// Change is one change of an interface.
type Change struct {
	Kind  Kind
	Index int // of the interface

	// The one that Kind is about.
	MTU     uint32
	Address IfAddr
	Route   Route
}

// String says what the change does: "set route 0.0.0.0/0 via 10.0.2.2".
func (c Change) String() string {
	switch c.Kind {
	case SetMTU:
		return "set MTU " + strconv.FormatUint(uint64(c.MTU), 10)
	case SetAddress:
		return "set address " + c.Address.Prefix.String()
	case DeleteAddress:
		return "delete address " + c.Address.Prefix.String()
	case SetRoute:
		return "set route " + c.Route.String()
	default:
		return "delete route " + c.Route.String()
	}
}

// Config is what an interface has from one lease: an address and what belongs to it.
type Config struct {
	Index   int // of the interface
	Address inet.Prefix
	// Broadcast is that of an IPv4 address; none stands for that of its prefix.
	Broadcast inet.Addr
	// Lifetimes as in IfAddr. Preferred is IPv6's; that of an IPv4 address is the valid one.
	Valid, Preferred time.Duration
	// Routes in the order of preference: of those with the same destination the first is taken. Only destination and gateway
	// count. A gateway of none or 0.0.0.0 means that the destination is on the link.
	Routes []Route
	// Metric of all routes. Interfaces that can have the same destination need different ones, or they would take each
	// other's route.
	Metric uint32
	MTU    uint32 // 0: that of the link stays
	// LinkMTU is what the link has without a lease, and gets back after it. 0: unknown.
	LinkMTU uint32
}

// Changes returns what leads from one configuration of an interface to another, in an order in which nothing fails; nil is
// no configuration. Address and routes are set even where they stay the same, so that a renewal repairs them, and it does no
// harm to do it all twice. As long as the address stays the same, nothing is removed that its connections need.
func Changes(from, to *Config) []Change {
	if from != nil && to != nil && from.Index != to.Index {
		return append(Changes(from, nil), Changes(nil, to)...)
	}
	var setAddress, setRoutes, deleteRoutes, deleteAddress []Change
	var routes []Route // of to
	if to != nil {
		setAddress = []Change{{Kind: SetAddress, Index: to.Index, Address: to.ifAddr()}}
		routes = to.routes()
		for _, r := range routes {
			setRoutes = append(setRoutes, Change{Kind: SetRoute, Index: to.Index, Route: r})
		}
	}
	stays := from != nil && to != nil && from.canBecome(to)
	if from != nil {
		for _, r := range slices.Backward(from.routes()) {
			if !stays || !replaces(routes, r) {
				deleteRoutes = append(deleteRoutes, Change{Kind: DeleteRoute, Index: from.Index, Route: r})
			}
		}
		if !stays || from.Address != to.Address {
			deleteAddress = []Change{{Kind: DeleteAddress, Index: from.Index, Address: from.ifAddr()}}
		}
	}
	mtu := mtuChange(from, to)
	if stays {
		// Of an address with another prefix length, the broadcast address must be gone that could be a gateway now.
		return slices.Concat(mtu, setAddress, deleteAddress, setRoutes, deleteRoutes)
	}
	return slices.Concat(mtu, deleteRoutes, deleteAddress, setAddress, setRoutes)
}

// canBecome tells whether the address of to can be set while that of c is there. Otherwise, if they are in the same network,
// the new one would be secondary to the old one and removed with it; and an address that is there keeps its broadcast
// address.
func (c *Config) canBecome(to *Config) bool {
	return c.Address.Addr == to.Address.Addr && (c.Address.Bits != to.Address.Bits || c.broadcast() == to.broadcast())
}

// replaces tells whether one of routes takes the place of old when it is set.
func replaces(routes []Route, old Route) bool {
	return slices.ContainsFunc(routes, func(r Route) bool { return r.Destination == old.Destination && r.Metric == old.Metric })
}

// mtuChange returns the change of the MTU, or nothing.
func mtuChange(from, to *Config) []Change {
	var c Change
	var is uint32
	switch {
	case to == nil && from == nil:
		return nil
	case to == nil:
		is, c = from.mtu(), Change{Index: from.Index, MTU: from.LinkMTU}
	case from == nil:
		is, c = to.LinkMTU, Change{Index: to.Index, MTU: to.mtu()}
	default:
		is, c = from.mtu(), Change{Index: to.Index, MTU: to.mtu()}
	}
	if c.MTU == 0 || c.MTU == is {
		return nil
	}
	return []Change{c}
}

// mtu returns the MTU that the link has with c, 0 if that is unknown.
func (c *Config) mtu() uint32 {
	if c.MTU != 0 {
		return c.MTU
	}
	return c.LinkMTU
}

func (c *Config) ifAddr() IfAddr {
	a := IfAddr{Prefix: c.Address, Broadcast: c.broadcast(), Valid: c.Valid, Preferred: min(c.Preferred, c.Valid)}
	if c.Address.Addr.Is4() {
		a.Preferred = c.Valid
	}
	return a
}

func (c *Config) broadcast() inet.Addr {
	if !c.Broadcast.IsValid() && c.Address.Addr.Is4() && c.Address.Bits <= 30 {
		return c.Address.Broadcast()
	}
	return c.Broadcast
}

// routes returns the routes to set: complete, in an order in which every gateway can be reached, and without those that
// the kernel would refuse or has by the address itself. A gateway that no route on the link leads to gets one of its own:
// the address may be a /32 (RFC 3442 has no word for that, but servers and clients do it).
func (c *Config) routes() []Route {
	var onLink, via []Route
	for _, r := range c.Routes {
		if !r.Gateway.IsValid() || r.Gateway.IsUnspecified() {
			onLink = c.add(onLink, r.Destination, inet.Addr{})
		}
	}
	for _, r := range c.Routes {
		if !c.isGateway(r.Gateway) {
			continue
		}
		if !c.reaches(onLink, r.Gateway) {
			onLink = c.add(onLink, inet.Prefix{Addr: r.Gateway, Bits: 8 * len(r.Gateway.Bytes())}, inet.Addr{})
		}
		via = c.add(via, r.Destination, r.Gateway)
	}
	for _, r := range via {
		if !replaces(onLink, r) {
			onLink = append(onLink, r)
		}
	}
	return onLink
}

// add appends a route, unless it is invalid or there is one to the same destination.
func (c *Config) add(routes []Route, destination inet.Prefix, gateway inet.Addr) []Route {
	r := Route{Destination: destination.Masked(), Gateway: gateway, Metric: c.Metric, Protocol: ProtocolDHCP}
	if r.Destination.Addr.Is4() {
		r.Source = c.Address.Addr // one of IPv6 may not be usable yet, and the kernel would refuse it
	}
	if !destination.IsValid() || destination.Addr.Is4() != c.Address.Addr.Is4() ||
		c.isConnected() && r.Destination == c.Address.Masked() || replaces(routes, r) {
		return routes
	}
	return append(routes, r)
}

// isGateway tells whether a can be a gateway: another host.
func (c *Config) isGateway(a inet.Addr) bool {
	return a.IsHost() && a.Is4() == c.Address.Addr.Is4() && a != c.Address.Addr && a != c.broadcast() &&
		(c.Address.Bits > 30 || a != c.Address.Broadcast())
}

// reaches tells whether a is on the link, by the address or by one of routes.
func (c *Config) reaches(routes []Route, a inet.Addr) bool {
	return a.Is6() && a.IsLinkLocal() || c.isConnected() && c.Address.Contains(a) ||
		slices.ContainsFunc(routes, func(r Route) bool { return r.Destination.Contains(a) })
}

// isConnected tells whether the kernel makes a route to the network of the address. To 0.0.0.0 it does not, and of IPv6 only
// routers say what is on the link (RFC 5942).
func (c *Config) isConnected() bool {
	return c.Address.Addr.Is4() && !c.Address.Masked().Addr.IsUnspecified()
}
