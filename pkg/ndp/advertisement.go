// Package ndp receives router advertisements (RFC 4861) for the contents that the Linux kernel does
// not use: name servers and search lists (RFC 8106), and the flags that refer hosts to a DHCPv6
// server. The kernel itself configures addresses and routes.
//
// [Socket] receives advertisements, [Parse] parses them, and [Table] keeps their contents while
// they are valid. The example of Socket shows the loop that connects them.
//
// Times are durations since a fixed moment, on a clock that continues while the machine is
// suspended, such as CLOCK_BOOTTIME.
package ndp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/krunbox/krunbox/pkg/dnsname"
)

// Infinite is a lifetime that does not end. As a time, it is one that never comes.
const Infinite time.Duration = 1<<63 - 1

// Advertisement is a router advertisement: RFC 4861 section 4.2. Its contents are checked:
// addresses are usable by hosts, and names are safe in a configuration file.
type Advertisement struct {
	Router         netip.Addr    // link-local source address
	RouterLifetime time.Duration // as a default router; 0: not a default router
	Managed        bool          // DHCPv6 provides addresses and parameters
	Other          bool          // DHCPv6 provides parameters other than addresses
	Servers        []Server      // from RDNSS options (25), in their order; may be link-local
	Search         []Domain      // from DNSSL options (31), in their order
}

// Server is a name server. A Lifetime of 0 withdraws it.
type Server struct {
	Addr     netip.Addr
	Lifetime time.Duration
}

// Domain is an element of a search list. A Lifetime of 0 withdraws it.
type Domain struct {
	Name     string
	Lifetime time.Duration
}

// ICMPv6 types: RFC 4861 sections 4.1 and 4.2. Options: RFC 8106 sections 5.1 and 5.2.
const (
	typeSolicitation  = 133
	typeAdvertisement = 134

	optServers = 25
	optSearch  = 31
)

// Sizes in bytes.
const (
	fixedSize   = 16 // of an advertisement without its options
	optUnit     = 8  // the unit of an option's length field
	optListSize = 8  // of an RDNSS or DNSSL option without its list
)

// Flags of an advertisement.
const (
	flagManaged = 0x80
	flagOther   = 0x40
)

// neighborHopLimit is the hop limit of a packet that no router has forwarded.
const neighborHopLimit = 255

var (
	errForwarded = errors.New("not a router advertisement from this link")
	errMalformed = errors.New("malformed router advertisement")
)

// Parse parses an advertisement. b is the ICMPv6 message without the IPv6 header; source and
// hopLimit are from the IPv6 header. Parse fails if RFC 4861 section 6.1.2 requires hosts to
// discard the message, except that it does not verify the checksum, which the kernel has verified.
// It skips malformed RDNSS and DNSSL options (RFC 8106 section 5.3.1) and unusable addresses and
// names.
func Parse(b []byte, source netip.Addr, hopLimit int) (Advertisement, error) {
	linkLocal := source.Is6() && !source.Is4In6() && source.IsLinkLocalUnicast()
	if hopLimit != neighborHopLimit || !linkLocal {
		return Advertisement{}, errForwarded
	}
	if len(b) < fixedSize || b[0] != typeAdvertisement || b[1] != 0 {
		return Advertisement{}, errMalformed
	}
	a := Advertisement{
		Router:         source,
		RouterLifetime: time.Duration(binary.BigEndian.Uint16(b[6:])) * time.Second,
		Managed:        b[5]&flagManaged != 0,
		Other:          b[5]&flagOther != 0,
	}
	for b = b[fixedSize:]; len(b) > 0; {
		if len(b) < optUnit || b[1] == 0 || len(b) < optUnit*int(b[1]) {
			return Advertisement{}, errMalformed
		}
		option := b[:optUnit*int(b[1])]
		b = b[len(option):]
		switch option[0] {
		case optServers:
			a.addServers(option)
		case optSearch:
			a.addSearch(option)
		}
	}
	return a, nil
}

// addServers adds the name servers of an RDNSS option.
func (a *Advertisement) addServers(option []byte) {
	list := option[optListSize:]
	if len(list)%16 != 0 {
		return
	}
	for ; len(list) > 0; list = list[16:] {
		addr := netip.AddrFrom16([16]byte(list))
		if addr.IsGlobalUnicast() || addr.IsLinkLocalUnicast() {
			a.Servers = append(a.Servers, Server{addr, lifetime(option)})
		}
	}
}

// addSearch adds the domains of a DNSSL option.
func (a *Advertisement) addSearch(option []byte) {
	names, _ := dnsname.Parse(option[optListSize:], false) // nil if malformed
	for _, name := range names {
		a.Search = append(a.Search, Domain{name, lifetime(option)})
	}
}

// lifetime returns the lifetime of an RDNSS or DNSSL option.
func lifetime(option []byte) time.Duration {
	seconds := binary.BigEndian.Uint32(option[4:])
	if seconds == 0xffffffff {
		return Infinite
	}
	return time.Duration(seconds) * time.Second
}
