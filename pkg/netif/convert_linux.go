package netif

import (
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netlink returns the address in the form of package netlink.
func (a IfAddr) netlink() *netlink.Addr {
	addr := &netlink.Addr{
		IPNet:       ipNet(a.Prefix),
		Broadcast:   a.Broadcast.AsSlice(),
		ValidLft:    int(seconds(a.Valid)),
		PreferedLft: int(seconds(a.Preferred)),
	}
	if a.Prefix.Addr().Is6() {
		// The kernel would not delete its route to the prefix with the address.
		addr.Flags = unix.IFA_F_NOPREFIXROUTE
	}
	return addr
}

// newIfAddr returns an address that the kernel listed.
func newIfAddr(a netlink.Addr) IfAddr {
	return IfAddr{
		Prefix:    fromIPNet(a.IPNet),
		Broadcast: fromIP(a.Broadcast),
		Valid:     lifetime(uint32(a.ValidLft)),
		Preferred: lifetime(uint32(a.PreferedLft)),
		Flags:     uint32(a.Flags),
	}
}

// netlink returns the route, through the interface with the given index, in the form of package
// netlink.
func (r Route) netlink(index int) *netlink.Route {
	route := &netlink.Route{
		LinkIndex: index,
		Dst:       ipNet(r.Destination),
		Gw:        r.Gateway.AsSlice(),
		Src:       r.Source.AsSlice(),
		Priority:  int(r.Metric),
		Protocol:  netlink.RouteProtocol(r.Protocol),
		Type:      unix.RTN_UNICAST,
	}
	if !r.Gateway.IsValid() && r.Destination.Addr().Is4() {
		route.Scope = netlink.SCOPE_LINK
	}
	return route
}

// newRoute returns a route that the kernel listed.
func newRoute(r netlink.Route) Route {
	return Route{
		Destination: fromIPNet(r.Dst),
		Gateway:     fromIP(r.Gw),
		Source:      fromIP(r.Src),
		Metric:      uint32(r.Priority),
		Protocol:    uint8(r.Protocol),
	}
}

// ipNet returns p in the form of package net.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}
}

// fromIPNet is the inverse of ipNet. It also accepts IPv4 addresses of 16 bytes.
func fromIPNet(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a := fromIP(n.IP)
	bits, size := n.Mask.Size()
	if size == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, bits)
}

// fromIP returns ip in the form of package netip, or the zero Addr if it is not an address.
func fromIP(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a
}

// infiniteSeconds is a lifetime without an end in the kernel's encoding: INFINITY_LIFE_TIME.
const infiniteSeconds = math.MaxUint32

// seconds returns a lifetime in the kernel's encoding: whole seconds, rounded up.
func seconds(d time.Duration) uint32 {
	return uint32(min(max(math.Ceil(d.Seconds()), 0), infiniteSeconds))
}

// lifetime is the inverse of seconds.
func lifetime(seconds uint32) time.Duration {
	if seconds == infiniteSeconds {
		return Infinite
	}
	return time.Duration(seconds) * time.Second
}
