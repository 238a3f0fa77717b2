package dhcp6

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/krunbox/krunbox/pkg/dnsname"
)

// Infinite is a lifetime that does not end. As a time, it is one that never comes.
const Infinite time.Duration = 1<<63 - 1

// Information refresh times: section 7.6.
const (
	defaultRefresh = 24 * time.Hour
	minRefresh     = 600 * time.Second
)

// maxAddresses is the maximum number of addresses in a lease. With more, the client's messages
// could exceed the minimum MTU of IPv6.
const maxAddresses = 32

// Lease is what a server grants: addresses, unless the client is stateless, and parameters. Its
// contents are checked: addresses are usable by hosts, and names are safe in a configuration file.
type Lease struct {
	// Addresses are the granted addresses without duplicates: at least one if the client is
	// stateful, else none.
	Addresses  []Address
	DNS        []netip.Addr // name servers (option 23), possibly link-local, without ::1
	Search     []string     // search list (option 24) without malformed names
	Server     []byte       // DUID of the server
	ServerAddr netip.Addr   // source address of the server's message
	// T1 and T2 are the times until a stateful client renews and rebinds the lease, 0 < T1 <= T2.
	// Unless the server sends usable ones, they are 0.5 and 0.8 of the shortest preferred lifetime.
	T1, T2 time.Duration
	// Refresh is the time until a stateless client asks again (option 32): at least 10 minutes, 24
	// hours if the server sends none, possibly Infinite.
	Refresh time.Duration
}

// Address is an address in a lease. Its lifetimes count from the arrival of the message:
// 0 <= Preferred <= Valid <= Infinite and 0 < Valid.
type Address struct {
	Addr             netip.Addr
	Preferred, Valid time.Duration
}

// newLease returns the parameters in a message from a server as a lease without addresses.
func newLease(m *dhcpv6.Message, server []byte, source netip.Addr) *Lease {
	search, _ := dnsname.Parse(value(m, dhcpv6.OptionDomainSearchList), false)
	return &Lease{
		DNS:        nameServers(m),
		Search:     search,
		Server:     bytes.Clone(server),
		ServerAddr: source,
	}
}

// setAddresses sets the lease's addresses to those of an IA_NA, and T1 and T2 accordingly.
func (l *Lease) setAddresses(ia *dhcpv6.OptIANA) {
	for _, o := range ia.Options.Addresses() {
		a, ok := usable(o)
		if ok && a.Valid > 0 && !l.has(a.Addr) && len(l.Addresses) < maxAddresses {
			l.Addresses = append(l.Addresses, a)
		}
	}
	if len(l.Addresses) > 0 {
		l.setTimes(lifetime(ia.T1), lifetime(ia.T2))
	}
}

// setTimes sets T1 and T2 to the server's values. It replaces values that are 0 or unusable by
// fractions of the shortest preferred lifetime (sections 14.2 and 21.4).
func (l *Lease) setTimes(t1, t2 time.Duration) {
	base := Infinite // the shortest preferred lifetime; for a deprecated address, the valid lifetime
	for _, a := range l.Addresses {
		base = min(base, cmp.Or(a.Preferred, a.Valid))
	}
	l.T1, l.T2 = base, base
	if base != Infinite {
		l.T1, l.T2 = base/2, base/5*4
	}
	switch end := l.valid(); {
	case t2 != 0 && t2 >= end && end != Infinite: // the lease would end before T2
	case t1 != 0 && t2 != 0:
		l.T1, l.T2 = t1, t2
	case t2 != 0:
		l.T1, l.T2 = min(l.T1, t2), t2
	case t1 != 0 && (t1 < end || end == Infinite):
		l.T1, l.T2 = t1, max(l.T2, t1)
	}
}

// valid returns the longest valid lifetime.
func (l *Lease) valid() (longest time.Duration) {
	for _, a := range l.Addresses {
		longest = max(longest, a.Valid)
	}
	return longest
}

// has reports whether the lease includes an address.
func (l *Lease) has(addr netip.Addr) bool {
	return slices.ContainsFunc(l.Addresses, func(a Address) bool { return a.Addr == addr })
}

// sameAddresses reports whether two leases have the same addresses.
func sameAddresses(a, b *Lease) bool {
	missing := func(address Address) bool { return !b.has(address.Addr) }
	return len(a.Addresses) == len(b.Addresses) && !slices.ContainsFunc(a.Addresses, missing)
}

// withdraws reports whether an IA_NA gives an address of the lease a valid lifetime of 0.
func withdraws(ia *dhcpv6.OptIANA, l *Lease) bool {
	return slices.ContainsFunc(ia.Options.Addresses(), func(o *dhcpv6.OptIAAddress) bool {
		a, ok := usable(o)
		return ok && a.Valid == 0 && l.has(a.Addr)
	})
}

// DUIDLinkLayer returns the DUID-LL (type 3, section 11.4) of an Ethernet address. Unlike other
// types of DUID, it is the same in every boot without being stored on a disk.
func DUIDLinkLayer(hardwareAddr []byte) []byte {
	return dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: hardwareAddr}.ToBytes()
}
