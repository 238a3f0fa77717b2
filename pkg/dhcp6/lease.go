package dhcp6

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/krunbox/krunbox/pkg/inet"
)

// Infinite is a lifetime that does not end.
const Infinite time.Duration = 1<<63 - 1

// Information refresh times, section 7.6.
const (
	defaultRefresh = 24 * time.Hour
	minRefresh     = 600 * time.Second
)

// mostAddresses is the number of addresses that a lease can have: as many as still fit into a message of ours. All servers
// that a guest meets give one.
const mostAddresses = 32

// Lease is what a server grants, and the parameters that come with it; of a stateless client only those. Everything in it
// has been checked for what it is used for: addresses are those of hosts, names can go into a configuration file.
type Lease struct {
	// Addresses are ours, each once; at least one if the client is stateful, else none.
	Addresses []Address
	// DNS are the name servers (option 23), some maybe link-local. ::1 is none: it would be the guest itself.
	DNS        []inet.Addr
	Search     []string  // option 24, without what is not a name
	Server     []byte    // its DUID
	ServerAddr inet.Addr // where its message came from
	// T1 and T2 are when to renew and to rebind a stateful client's lease, 0 < T1 <= T2, Infinite for never. Where the
	// server does not say so, or says what makes no sense, that is after 0.5 and 0.8 of the shortest preferred lifetime.
	T1, T2 time.Duration
	// Refresh is when a stateless client asks again (option 32): at least 10 minutes, a day without the option, or Infinite.
	Refresh time.Duration
}

// Address is an address in a lease. Its lifetimes, 0 <= Preferred <= Valid and 0 < Valid, count from when the message
// arrived, and are maybe Infinite.
type Address struct {
	Addr             inet.Addr
	Preferred, Valid time.Duration
}

// newLease returns the lease in a message from a server. Its Addresses are those of the IA_NA that fits, maybe none.
func newLease(m *message, server []byte, source inet.Addr) *Lease {
	l := &Lease{
		DNS:        m.hosts(optDNS),
		Server:     bytes.Clone(server),
		ServerAddr: source,
	}
	l.Search, _ = inet.ParseNames(m.find(optSearch), false)
	return l
}

// setAddresses takes the addresses of an IA_NA, and sets the times to extend them.
func (l *Lease) setAddresses(ia identity) {
	for o := ia.options; len(l.Addresses) < mostAddresses; {
		code, value, rest, ok := o.cut()
		if !ok {
			break
		}
		o = rest
		if a, ok := parseAddress(code, value); ok && a.Valid > 0 && !l.has(a.Addr) {
			l.Addresses = append(l.Addresses, a)
		}
	}
	if len(l.Addresses) > 0 {
		l.setTimes(ia.t1, ia.t2)
	}
}

// setTimes sets T1 and T2 to the server's, or where these are 0 or make no sense to times of our choice (section 14.2).
func (l *Lease) setTimes(t1, t2 time.Duration) {
	base := Infinite // the shortest preferred lifetime, or valid one of an address that is deprecated already
	for _, a := range l.Addresses {
		if a.Preferred > 0 {
			base = min(base, a.Preferred)
		} else {
			base = min(base, a.Valid)
		}
	}
	l.T1, l.T2 = base, base
	if base != Infinite {
		l.T1, l.T2 = base/2, base/5*4
	}
	switch end := l.valid(); {
	case t2 != 0 && t2 >= end && end != Infinite: // it would be lost before
	case t1 != 0 && t2 != 0:
		l.T1, l.T2 = t1, t2
	case t2 != 0:
		l.T1, l.T2 = min(l.T1, t2), t2
	case t1 != 0 && (t1 < end || end == Infinite):
		l.T1, l.T2 = t1, max(l.T2, t1)
	}
}

// setRefresh sets the time after which a stateless client asks again (section 21.23).
func (l *Lease) setRefresh(m *message) {
	l.Refresh = defaultRefresh
	if refresh, ok := m.seconds(optRefresh); ok {
		l.Refresh = max(refresh, minRefresh)
	}
}

// valid returns the longest valid lifetime.
func (l *Lease) valid() (longest time.Duration) {
	for _, a := range l.Addresses {
		longest = max(longest, a.Valid)
	}
	return longest
}

// has tells whether the lease is of an address.
func (l *Lease) has(addr inet.Addr) bool {
	for _, a := range l.Addresses {
		if a.Addr == addr {
			return true
		}
	}
	return false
}

// sameAddresses tells whether two leases are of the same addresses.
func sameAddresses(a, b *Lease) bool {
	if len(a.Addresses) != len(b.Addresses) {
		return false
	}
	for _, address := range a.Addresses {
		if !b.has(address.Addr) {
			return false
		}
	}
	return true
}

// withdraws tells whether an IA_NA ends, by a lifetime of 0, an address of the lease.
func (ia identity) withdraws(l *Lease) bool {
	for o := ia.options; ; {
		code, value, rest, ok := o.cut()
		if !ok {
			return false
		}
		o = rest
		if a, ok := parseAddress(code, value); ok && a.Valid == 0 && l.has(a.Addr) {
			return true
		}
	}
}

// parseAddress parses an IA Address option. It is false for any other option, and for an address that can't be had: with a
// status that says so, not one for others to reach, or preferred for longer than it is valid (section 21.6).
func parseAddress(code uint16, value []byte) (a Address, ok bool) {
	if code != optIAAddress || len(value) < iaAddressSize {
		return Address{}, false
	}
	a = Address{inet.AddrFrom(value[:16]), seconds(value[16:]), seconds(value[20:])}
	inside := options(value[iaAddressSize:])
	return a, a.Addr.IsHost() && !a.Addr.IsLinkLocal() && a.Preferred <= a.Valid &&
		inside.wellFormed() && inside.status() == statusSuccess
}

// hosts returns the addresses of an option that can be a host's.
func (o options) hosts(code uint16) (list []inet.Addr) {
	v := o.find(code)
	if len(v)%16 != 0 {
		return nil
	}
	for ; len(v) > 0; v = v[16:] {
		if a := inet.AddrFrom(v[:16]); a.IsHost() {
			list = append(list, a)
		}
	}
	return list
}

// DUIDLinkLayer returns the DUID of type 3 (DUID-LL, section 11.4) that is made of an Ethernet address. It stays as long as
// that does, without a disk to keep it on.
func DUIDLinkLayer(hardwareAddr []byte) []byte {
	const typeLinkLayer, hardwareEthernet = 3, 1
	b := binary.BigEndian.AppendUint16(nil, typeLinkLayer)
	b = binary.BigEndian.AppendUint16(b, hardwareEthernet)
	return append(b, hardwareAddr...)
}
