package dhcp4

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/krunbox/krunbox/pkg/dnsname"
)

// Infinite is the duration of a lease that does not expire. As a time, it is one that never comes.
const Infinite time.Duration = 1<<63 - 1

// minMTU is the smallest MTU of IPv4 in bytes, RFC 791.
const minMTU = 68

// Lease is a lease and the parameters that the server sent with it. NewLease has checked them:
// Address, Server, Routers, DNS and gateways are unicast addresses that a host can have, and names
// are valid in the sense of dnsname.Valid.
type Lease struct {
	// Address is the client's address. Its prefix length is that of the subnet mask (option 1), of
	// the address's class if there is no mask, and 32 if the mask is malformed or 0.0.0.0.
	Address   netip.Prefix
	Server    netip.Addr   // option 54
	Broadcast netip.Addr   // option 28; the zero Addr if absent or 0.0.0.0
	Routers   []netip.Addr // option 3
	// Routes are those of option 121, else those of option 249, else a default route via the first
	// of Routers.
	Routes   []Route
	DNS      []netip.Addr // the name servers (option 6), without loopback addresses
	Domain   string       // option 15; "" if absent or invalid
	Search   []string     // option 119, without invalid names
	Hostname string       // option 12; "" if absent or invalid
	MTU      int          // option 26 in bytes, 68 to 65535; 0 if absent or smaller
	// Duration is the time from the request until the lease expires, or Infinite. It is 0 in an
	// OFFER without a lease time.
	Duration time.Duration
	// T1 and T2 are the times from the request until the lease is to be renewed and rebound,
	// 0 < T1 < T2 < Duration. If the server sends no such times, they are 1/2 and 7/8 of Duration
	// (RFC 2131 section 4.4.5). They are equal to Duration if that is 0 or Infinite.
	T1, T2 time.Duration
}

// Route is a route to Destination via Gateway. If Gateway is the zero Addr, Destination is on the
// link.
type Route struct {
	Destination netip.Prefix
	Gateway     netip.Addr
}

// errMalformed is the error for a message that cannot be parsed.
var errMalformed = errors.New("malformed DHCP message")

// NewLease returns the lease in an OFFER or ACK. payload is the message without UDP and IP headers.
// NewLease fails if the message is malformed, has another type, or lacks a usable address of the
// client or server.
func NewLease(payload []byte) (*Lease, error) {
	m, ok := parse(payload)
	if !ok || m.bytes[0] != byte(dhcpv4.OpcodeBootReply) {
		return nil, errMalformed
	}
	if k := m.kind(); k != dhcpv4.MessageTypeOffer && k != dhcpv4.MessageTypeAck {
		return nil, errors.New("DHCP message is neither an OFFER nor an ACK")
	}
	return m.lease()
}

// lease returns the lease in the message.
func (m message) lease() (*Lease, error) {
	address, server := m.address(), m.server()
	if !isHost(address) || !isHost(server) {
		return nil, errors.New("DHCP message without a usable client or server address")
	}
	d, err := m.decode()
	if err != nil {
		return nil, errMalformed
	}
	l := &Lease{
		Address:  netip.PrefixFrom(address, prefixLength(d)),
		Server:   server,
		Routers:  hosts(d.Router()),
		DNS:      hosts(d.DNS()),
		Domain:   name(d.DomainName()),
		Hostname: hostname(d),
		Duration: leaseTime(d),
		T1:       d.IPAddressRenewalTime(0),
		T2:       d.IPAddressRebindingTime(0),
	}
	l.Routes = routes(d, l.Routers)
	if a := toAddr(d.BroadcastAddress()); !a.IsUnspecified() {
		l.Broadcast = a
	}
	mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, d.Options)
	if err == nil && mtu >= minMTU {
		l.MTU = int(mtu)
	}
	// A malformed list counts as absent. The library's DomainSearch rejects compression pointers to
	// names that end in a pointer, and accepts names without an end.
	l.Search, _ = dnsname.Parse(d.GetOneOption(dhcpv4.OptionDNSDomainSearchList), true)
	l.setTimes()
	return l, nil
}

// setTimes replaces T1 and T2 if they are absent or out of order.
func (l *Lease) setTimes() {
	if l.Duration == Infinite {
		l.T1, l.T2 = Infinite, Infinite
		return
	}
	t1, t2 := l.Duration/2, l.Duration/8*7
	l.T1, l.T2 = cmp.Or(l.T1, t1), cmp.Or(l.T2, t2)
	if l.T1 >= l.T2 || l.T2 >= l.Duration {
		l.T1, l.T2 = t1, t2
	}
}

// leaseTime returns the lease time of a message, 0 if it is absent or malformed.
func leaseTime(d *dhcpv4.DHCPv4) time.Duration {
	if t := d.IPAddressLeaseTime(0); t != dhcpv4.MaxLeaseTime {
		return t
	}
	return Infinite
}

// prefixLength returns the prefix length of the client's address; see Lease.Address.
func prefixLength(d *dhcpv4.DHCPv4) int {
	mask := d.SubnetMask()
	if !d.Options.Has(dhcpv4.OptionSubnetMask) {
		mask = d.YourIPAddr.DefaultMask()
	}
	if ones, _ := mask.Size(); ones > 0 {
		return ones
	}
	return 32
}

// hosts converts addresses. It omits those that a host cannot have.
func hosts(ips []net.IP) (list []netip.Addr) {
	for _, ip := range ips {
		if a := toAddr(ip); isHost(a) {
			list = append(list, a)
		}
	}
	return list
}

// name returns the domain name s, or "" if it is not valid.
func name(s string) string {
	// RFC 2132 section 2: the server may have ended the name with NUL.
	s = strings.TrimSuffix(strings.TrimRight(s, "\x00"), ".")
	if !dnsname.Valid(s) {
		return ""
	}
	return s
}

// hostname returns option 12, or "" if it is absent or invalid. If Linux does not accept a name of
// that length, hostname returns the first label.
func hostname(d *dhcpv4.DHCPv4) string {
	const maxHostname = 64 // HOST_NAME_MAX, sethostname(2)
	s := name(d.HostName())
	if len(s) > maxHostname {
		s, _, _ = strings.Cut(s, ".")
	}
	return s
}

// routes returns the routes of a lease. RFC 3442: a client that receives option 121 must ignore the
// routers of option 3.
func routes(d *dhcpv4.DHCPv4, routers []netip.Addr) []Route {
	classless := dhcpv4.OptionClasslessStaticRoute
	for _, code := range [...]dhcpv4.OptionCode{classless, optionPrivateRoutes} {
		var list dhcpv4.Routes
		if v := d.GetOneOption(code); len(v) > 0 && list.FromBytes(v) == nil {
			return convertRoutes(list)
		}
	}
	if len(routers) == 0 {
		return nil
	}
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	return []Route{{Destination: all, Gateway: routers[0]}}
}

// convertRoutes converts routes. It omits those with an unusable gateway, and clears the bits of a
// destination beyond its prefix.
func convertRoutes(list dhcpv4.Routes) (routes []Route) {
	for _, r := range list {
		ones, _ := r.Dest.Mask.Size()
		destination := netip.PrefixFrom(toAddr(r.Dest.IP), ones).Masked()
		switch gateway := toAddr(r.Router); {
		case isHost(gateway):
			routes = append(routes, Route{destination, gateway})
		case gateway.IsUnspecified():
			routes = append(routes, Route{Destination: destination})
		}
	}
	return routes
}
