package dhcp4

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/krunbox/krunbox/pkg/inet"
)

// Infinite is the duration of a lease that does not end.
const Infinite time.Duration = 1<<63 - 1

// minMTU is the least MTU of IPv4, RFC 791.
const minMTU = 68

// Lease is what a server grants, and the parameters that come with it. Everything in it has been checked for what it is
// used for: addresses are those of hosts, names can go into a configuration file.
type Lease struct {
	// Address is ours, in its subnet (option 1). Without a mask it has the length of its class; with one that is no mask,
	// or 0.0.0.0, it is a /32.
	Address   inet.Prefix
	Server    inet.Addr   // option 54
	Broadcast inet.Addr   // option 28; not valid if absent or 0.0.0.0
	Routers   []inet.Addr // option 3
	Routes    []Route     // options 121, 249, 3: which of them counts is decided already
	// DNS are the name servers (option 6). A loopback address is none: it would be the guest itself, and who runs a name
	// server there needs no DHCP to know.
	DNS      []inet.Addr
	Domain   string   // option 15; "" if absent or not a name
	Search   []string // option 119, without what is not a name
	Hostname string   // option 12; "" if absent or not a name
	MTU      int      // option 26, bytes; 0 if absent or below 68. What the link can have is up to the caller.
	// Duration is from the request on; 0 if absent, which no server may do, or Infinite. The lease is to be renewed after
	// T1 and rebound after T2, 0 < T1 < T2 < Duration. Where the server does not say so, or says otherwise, that is after
	// 1/2 and 7/8 of Duration (RFC 2131 section 4.4.5). All three are Infinite if Duration is.
	Duration, T1, T2 time.Duration
}

// Route is a way to a destination, by a gateway or, if Gateway is not valid, on the link itself.
type Route struct {
	Destination inet.Prefix
	Gateway     inet.Addr
}

// NewLease returns the lease in an OFFER or ACK, given without UDP and IP headers.
func NewLease(payload []byte) (*Lease, error) {
	m, ok := parse(payload)
	if !ok || m.fixed[0] != bootReply {
		return nil, errors.New("malformed DHCP message")
	}
	if kind := m.kind(); kind != dhcpOffer && kind != dhcpAck {
		return nil, errors.New("DHCP message is neither an OFFER nor an ACK")
	}
	lease := newLease(&m)
	if lease == nil {
		return nil, errors.New("DHCP message without the address of a host or of a server")
	}
	return lease, nil
}

// newLease returns nil if the message lacks a usable address, or says nothing of the server.
func newLease(m *message) *Lease {
	address, server := m.address(), m.addr(optServer)
	if !address.IsHost() || !server.IsHost() {
		return nil
	}
	l := &Lease{
		Address:  inet.Prefix{Addr: address, Bits: m.prefixLength()},
		Server:   server,
		Domain:   m.name(optDomain),
		Hostname: m.name(optHostname),
		Routers:  m.hosts(optRouter),
		DNS:      m.hosts(optDNS),
		Duration: m.duration(optLeaseTime),
		T1:       m.duration(optT1),
		T2:       m.duration(optT2),
	}
	if a := m.addr(optBroadcast); !a.IsUnspecified() {
		l.Broadcast = a
	}
	if v := m.option(optMTU); len(v) == 2 {
		if mtu := int(binary.BigEndian.Uint16(v)); mtu >= minMTU {
			l.MTU = mtu
		}
	}
	l.Search, _ = inet.ParseNames(m.option(optSearch), true)
	l.Routes = m.routes(l.Routers)
	l.setTimes()
	return l
}

// setTimes replaces renewal times that are absent or make no sense.
func (l *Lease) setTimes() {
	if l.Duration == Infinite {
		l.T1, l.T2 = Infinite, Infinite
		return
	}
	t1, t2 := l.Duration/2, l.Duration/8*7
	if l.T1 == 0 {
		l.T1 = t1
	}
	if l.T2 == 0 {
		l.T2 = t2
	}
	if l.T1 >= l.T2 || l.T2 >= l.Duration {
		l.T1, l.T2 = t1, t2
	}
}

// address returns yiaddr.
func (m *message) address() inet.Addr { return inet.AddrFrom(m.fixed[offYIAddr:][:4]) }

// prefixLength returns the length that belongs to yiaddr.
func (m *message) prefixLength() int {
	mask := m.option(optMask)
	if mask == nil {
		switch first := m.fixed[offYIAddr]; {
		case first < 128:
			return 8
		case first < 192:
			return 16
		default:
			return 24
		}
	}
	if len(mask) == 4 {
		if bits, ok := inet.MaskBits([4]byte(mask)); ok && bits > 0 {
			return bits
		}
	}
	return 32
}

// routes returns the classless routes or, where there are none, a default route by the first router. RFC 3442: a client
// that gets option 121 ignores the routers.
func (m *message) routes(routers []inet.Addr) []Route {
	for _, code := range [...]byte{optRoutes, optRoutesPrivate} {
		if routes, ok := parseRoutes(m.option(code)); ok {
			return routes
		}
	}
	if len(routers) == 0 {
		return nil
	}
	return []Route{{Destination: inet.Prefix{Addr: inet.Addr4([4]byte{})}, Gateway: routers[0]}}
}

// parseRoutes parses option 121. It is false if that is absent or malformed. Routes by a gateway that can't be one are left
// out, and bits of a destination beyond its prefix are cleared.
func parseRoutes(b []byte) (routes []Route, ok bool) {
	if len(b) == 0 {
		return nil, false
	}
	for len(b) > 0 {
		bits := int(b[0])
		significant := (bits + 7) / 8
		if bits > 32 || len(b) < 1+significant+4 {
			return nil, false
		}
		var destination [4]byte
		copy(destination[:], b[1:1+significant])
		r := Route{Destination: inet.Prefix{Addr: inet.Addr4(destination), Bits: bits}.Masked()}
		gateway := inet.AddrFrom(b[1+significant:][:4])
		if gateway.IsHost() {
			r.Gateway = gateway
		}
		if gateway.IsHost() || gateway.IsUnspecified() {
			routes = append(routes, r)
		}
		b = b[1+significant+4:]
	}
	return routes, true
}
