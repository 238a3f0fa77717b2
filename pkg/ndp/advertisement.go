// Package ndp listens to router advertisements (RFC 4861) for what the kernel does not take from them: name servers and
// search lists (RFC 8106), and whether to ask a DHCPv6 server. Addresses and routes are the kernel's work.
//
// Parse takes an advertisement apart, Table knows what is valid at a time, Socket receives. The loop around them is the
// caller's:
//
//	for {
//		at, ok := table.Deadline() // not ok: nothing expires
//		// poll(2) the socket until at
//		if advertisement, err := recvmsg.Receive(buf); err == nil {
//			table.Update(now(), advertisement)
//		} else if now() >= at {
//			table.Expire(now())
//		}
//		// table.Servers and the others may have changed
//	}
//
// Time is the time since any fixed moment on a clock that goes on while the machine sleeps, such as CLOCK_BOOTTIME.
package ndp

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/krunbox/krunbox/pkg/inet"
)

// Infinite is a lifetime that does not end.
const Infinite time.Duration = 1<<63 - 1

// Advertisement is a router advertisement, RFC 4861 section 4.2. Everything in it has been checked for what it is used for:
// addresses are those of hosts, names can go into a configuration file.
type Advertisement struct {
	Router         inet.Addr     // who sent it: link-local
	RouterLifetime time.Duration // as default router; 0: it is none
	Managed        bool          // addresses, and all else, are to be had by DHCPv6
	Other          bool          // other things than addresses are
	Servers        []Server      // options 25, RDNSS, in their order; link-local ones maybe among them
	Search         []Domain      // options 31, DNSSL, in their order
}

// Server is a name server, and for how long it may be used: 0 is no longer, Infinite for ever.
type Server struct {
	Addr     inet.Addr
	Lifetime time.Duration
}

// Domain is an element of a search list, and for how long it may be used: 0 is no longer, Infinite for ever.
type Domain struct {
	Name     string
	Lifetime time.Duration
}

// ICMPv6 types and ND options, RFC 4861 sections 4.1, 4.2 and RFC 8106 sections 5.1, 5.2.
const (
	typeSolicitation  = 133
	typeAdvertisement = 134

	optServers = 25
	optSearch  = 31
)

// Sizes in bytes: of the part of an advertisement before its options, and of what precedes the list in either option.
const (
	fixedSize   = 16
	optListSize = 8
)

// optUnit is the unit of the length of options.
const optUnit = 8

// flags of an advertisement.
const (
	flagManaged = 0x80
	flagOther   = 0x40
)

// hopsOfNeighbor is the hop limit of what was not forwarded.
const hopsOfNeighbor = 255

var (
	errForwarded = errors.New("not a router advertisement from this link")
	errMalformed = errors.New("malformed router advertisement")
)

// Parse parses an advertisement: an ICMPv6 message without IPv6 header, with that header's source and hop limit. Its checksum
// is not looked at: sockets get none with a wrong one. The error says that the message is to be discarded, by RFC 4861 section
// 6.1.2. Options that are not well-formed in themselves are left out (RFC 8106 section 5.3.1), as are names and addresses of
// no use.
func Parse(b []byte, source inet.Addr, hopLimit int) (Advertisement, error) {
	if hopLimit != hopsOfNeighbor || !source.Is6() || !source.IsLinkLocal() {
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

func (a *Advertisement) addServers(option []byte) {
	list := option[optListSize:]
	if len(list)%16 != 0 {
		return
	}
	for ; len(list) > 0; list = list[16:] {
		if addr := inet.AddrFrom(list[:16]); addr.IsHost() {
			a.Servers = append(a.Servers, Server{addr, lifetime(option)})
		}
	}
}

func (a *Advertisement) addSearch(option []byte) {
	names, _ := inet.ParseNames(option[optListSize:], false) // none, if malformed
	for _, name := range names {
		a.Search = append(a.Search, Domain{name, lifetime(option)})
	}
}

// lifetime returns that of an option.
func lifetime(option []byte) time.Duration {
	if seconds := binary.BigEndian.Uint32(option[4:]); seconds != 0xffffffff {
		return time.Duration(seconds) * time.Second
	}
	return Infinite
}
