package netif

import (
	"bytes"
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/inet"
)

// skipStats is RTEXT_FILTER_SKIP_STATS: nobody here reads the counters that make up a third of the answer about a link.
const skipStats = 1 << 3

// A batch is a sequence of requests, encoded one after the other as the kernel takes them in one call.
type batch struct {
	bytes []byte
	last  int    // where the last request begins
	first uint32 // sequence number of the first request; the others count up from it
	count int
}

// reset makes the batch empty. Sequence numbers go on, so that no late answer is taken for one to what comes.
func (b *batch) reset() {
	b.bytes, b.first, b.count = b.bytes[:0], b.first+uint32(b.count), 0
}

// request begins a request: nlmsghdr of netlink(7) and a header, of a length that is a multiple of 4, of rtnetlink(7).
func (b *batch) request(kind, flags uint16, header ...byte) {
	b.last = len(b.bytes)
	b.bytes = binary.NativeEndian.AppendUint32(b.bytes, uint32(unix.SizeofNlMsghdr+len(header)))
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, kind)
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, unix.NLM_F_REQUEST|flags)
	b.bytes = binary.NativeEndian.AppendUint32(b.bytes, b.first+uint32(b.count))
	b.bytes = append(b.bytes, 0, 0, 0, 0) // port: the kernel knows
	b.bytes = append(b.bytes, header...)
	b.count++
}

// attr adds an attribute to the last request.
func (b *batch) attr(kind uint16, value []byte) {
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, uint16(unix.SizeofNlAttr+len(value)))
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, kind)
	b.bytes = append(b.bytes, value...)
	b.bytes = append(b.bytes, make([]byte, -len(value)&3)...)
	binary.NativeEndian.PutUint32(b.bytes[b.last:], uint32(len(b.bytes)-b.last))
}

func (b *batch) attr32(kind uint16, value uint32) {
	var v [4]byte
	binary.NativeEndian.PutUint32(v[:], value)
	b.attr(kind, v[:])
}

// attrAddr adds an address, if it is one.
func (b *batch) attrAddr(kind uint16, a inet.Addr) {
	if a.IsValid() {
		b.attr(kind, a.Bytes())
	}
}

// acknowledge asks for an answer to the last request even if it does not fail. The kernel works through a batch in order,
// so with this answer there are those of all requests that failed.
func (b *batch) acknowledge() {
	flags := b.bytes[b.last+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
}

// link begins a request about a link, by index, or by a name that is to follow if index is 0; flags of change are set to up.
func (b *batch) link(kind, flags uint16, index int, up, change uint32) {
	var h [unix.SizeofIfInfomsg]byte
	binary.NativeEndian.PutUint32(h[4:], uint32(index))
	binary.NativeEndian.PutUint32(h[8:], up)
	binary.NativeEndian.PutUint32(h[12:], change)
	b.request(kind, flags, h[:]...)
}

// setUp sets a link up.
func (b *batch) setUp(name string) {
	b.link(unix.RTM_NEWLINK, 0, 0, unix.IFF_UP, unix.IFF_UP)
	b.attr(unix.IFLA_IFNAME, append([]byte(name), 0))
}

// getLink asks for a link.
func (b *batch) getLink(name string) {
	b.link(unix.RTM_GETLINK, 0, 0, 0, 0)
	b.attr(unix.IFLA_IFNAME, append([]byte(name), 0))
	b.attr32(unix.IFLA_EXT_MASK, skipStats)
}

// change is the request that c stands for.
func (b *batch) change(c Change) {
	const set = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	switch c.Kind {
	case SetMTU:
		b.link(unix.RTM_NEWLINK, 0, c.Index, 0, 0)
		b.attr32(unix.IFLA_MTU, c.MTU)
	case SetAddress:
		b.address(unix.RTM_NEWADDR, set, c.Index, c.Address)
		b.attrAddr(unix.IFA_BROADCAST, c.Address.Broadcast)
		var lifetimes [unix.SizeofIfaCacheinfo]byte
		binary.NativeEndian.PutUint32(lifetimes[0:], seconds(c.Address.Preferred))
		binary.NativeEndian.PutUint32(lifetimes[4:], seconds(c.Address.Valid))
		b.attr(unix.IFA_CACHEINFO, lifetimes[:])
		if c.Address.Prefix.Addr.Is6() {
			// No route to the prefix: it would not be deleted with the address.
			b.attr32(unix.IFA_FLAGS, unix.IFA_F_NOPREFIXROUTE)
		}
	case DeleteAddress:
		b.address(unix.RTM_DELADDR, 0, c.Index, c.Address)
	case SetRoute:
		b.route(unix.RTM_NEWROUTE, set, c.Index, c.Route)
	case DeleteRoute:
		b.route(unix.RTM_DELROUTE, 0, c.Index, c.Route)
	}
}

func (b *batch) address(kind, flags uint16, index int, a IfAddr) {
	h := [unix.SizeofIfAddrmsg]byte{family(a.Prefix.Addr), byte(a.Prefix.Bits), 0, unix.RT_SCOPE_UNIVERSE}
	binary.NativeEndian.PutUint32(h[4:], uint32(index))
	b.request(kind, flags, h[:]...)
	b.attr(unix.IFA_LOCAL, a.Prefix.Addr.Bytes())
}

func (b *batch) route(kind, flags uint16, index int, r Route) {
	scope := byte(unix.RT_SCOPE_UNIVERSE)
	if !r.Gateway.IsValid() && r.Destination.Addr.Is4() {
		scope = unix.RT_SCOPE_LINK
	}
	b.request(kind, flags, family(r.Destination.Addr), byte(r.Destination.Bits), 0, 0,
		unix.RT_TABLE_MAIN, r.Protocol, scope, unix.RTN_UNICAST, 0, 0, 0, 0)
	b.attr(unix.RTA_DST, r.Destination.Addr.Bytes())
	b.attr32(unix.RTA_OIF, uint32(index))
	b.attr32(unix.RTA_PRIORITY, r.Metric)
	b.attrAddr(unix.RTA_GATEWAY, r.Gateway)
	b.attrAddr(unix.RTA_PREFSRC, r.Source)
}

func family(a inet.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// forever is a lifetime without an end as the kernel writes it, INFINITY_LIFE_TIME.
const forever = 0xffffffff

// seconds returns a lifetime as the kernel writes it.
func seconds(d time.Duration) uint32 {
	s := d / time.Second
	if d%time.Second > 0 {
		s++
	}
	return uint32(min(max(s, 0), forever))
}

// lifetime is the reverse of seconds.
func lifetime(seconds uint32) time.Duration {
	if seconds == forever {
		return Forever
	}
	return time.Duration(seconds) * time.Second
}

// A message is what the kernel sends. Its body shares memory with what it was taken from.
type message struct {
	kind, flags uint16
	seq         uint32
	body        []byte
}

// nextMessage takes the first message from b.
func nextMessage(b []byte) (m message, rest []byte, ok bool) {
	if len(b) < unix.SizeofNlMsghdr {
		return message{}, nil, false
	}
	length := binary.NativeEndian.Uint32(b)
	if length < unix.SizeofNlMsghdr || uint64(length) > uint64(len(b)) {
		return message{}, nil, false
	}
	m = message{
		kind:  binary.NativeEndian.Uint16(b[4:]),
		flags: binary.NativeEndian.Uint16(b[6:]),
		seq:   binary.NativeEndian.Uint32(b[8:]),
		body:  b[unix.SizeofNlMsghdr:length],
	}
	return m, b[min(int(length+3)&^3, len(b)):], true
}

// ends tells whether m is the last message of an answer.
func (m message) ends() bool {
	return m.kind == unix.NLMSG_ERROR || m.kind == unix.NLMSG_DONE || m.flags&unix.NLM_F_MULTI == 0
}

// errno returns the error that m reports, 0 if none.
func (m message) errno() unix.Errno {
	if m.kind != unix.NLMSG_ERROR && m.kind != unix.NLMSG_DONE {
		return 0
	}
	return unix.Errno(-int32(uint32At(m.body)))
}

// nextAttr takes the first attribute from b; ok is false at the end, and where b makes no sense.
func nextAttr(b []byte) (kind uint16, value, rest []byte, ok bool) {
	if len(b) < unix.SizeofNlAttr {
		return 0, nil, nil, false
	}
	length := int(binary.NativeEndian.Uint16(b))
	if length < unix.SizeofNlAttr || length > len(b) {
		return 0, nil, nil, false
	}
	return binary.NativeEndian.Uint16(b[2:]), b[unix.SizeofNlAttr:length], b[min((length+3)&^3, len(b)):], true
}

// uint32At returns the number at the start of b, 0 if b is too short.
func uint32At(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// parseLink reads what an RTM_NEWLINK says.
func parseLink(m message) (l Link, ok bool) {
	if m.kind != unix.RTM_NEWLINK || len(m.body) < unix.SizeofIfInfomsg {
		return Link{}, false
	}
	l.Type = binary.NativeEndian.Uint16(m.body[2:])
	l.Index = int(binary.NativeEndian.Uint32(m.body[4:]))
	l.Flags = binary.NativeEndian.Uint32(m.body[8:])
	l.Up, l.Carrier = l.Flags&unix.IFF_UP != 0, l.Flags&unix.IFF_LOWER_UP != 0
	for kind, value, rest, ok := nextAttr(m.body[unix.SizeofIfInfomsg:]); ok; kind, value, rest, ok = nextAttr(rest) {
		switch kind {
		case unix.IFLA_IFNAME:
			name, _, _ := bytes.Cut(value, []byte{0})
			l.Name = string(name)
		case unix.IFLA_ADDRESS:
			l.HardwareAddr = bytes.Clone(value)
		case unix.IFLA_MTU:
			l.MTU = uint32At(value)
		case unix.IFLA_MAX_MTU:
			l.MaxMTU = uint32At(value)
		}
	}
	return l, true
}

// parseIfAddr reads what an RTM_NEWADDR says, and the index of the interface.
func parseIfAddr(m message) (index int, a IfAddr, ok bool) {
	if m.kind != unix.RTM_NEWADDR || len(m.body) < unix.SizeofIfAddrmsg {
		return 0, IfAddr{}, false
	}
	a.Flags = uint32(m.body[2])
	a.Valid, a.Preferred = Forever, Forever
	var local, address inet.Addr
	for kind, value, rest, ok := nextAttr(m.body[unix.SizeofIfAddrmsg:]); ok; kind, value, rest, ok = nextAttr(rest) {
		switch kind {
		case unix.IFA_LOCAL:
			local = inet.AddrFrom(value)
		case unix.IFA_ADDRESS:
			address = inet.AddrFrom(value)
		case unix.IFA_BROADCAST:
			a.Broadcast = inet.AddrFrom(value)
		case unix.IFA_FLAGS:
			a.Flags = uint32At(value)
		case unix.IFA_CACHEINFO:
			if len(value) >= 8 {
				a.Preferred, a.Valid = lifetime(uint32At(value)), lifetime(uint32At(value[4:]))
			}
		}
	}
	if !local.IsValid() {
		local = address // IPv6 has the local one only where there is a peer
	}
	a.Prefix = inet.Prefix{Addr: local, Bits: int(m.body[1])}
	return int(binary.NativeEndian.Uint32(m.body[4:])), a, a.Prefix.IsValid()
}

// parseRoute reads what an RTM_NEWROUTE says, and the index of the interface. ok is false for those that are not unicast
// routes of the main table through one interface.
func parseRoute(m message) (index int, r Route, ok bool) {
	if m.kind != unix.RTM_NEWROUTE || len(m.body) < unix.SizeofRtMsg {
		return 0, Route{}, false
	}
	table, flags := m.body[4], binary.NativeEndian.Uint32(m.body[8:])
	if table != unix.RT_TABLE_MAIN || m.body[7] != unix.RTN_UNICAST || flags&unix.RTM_F_CLONED != 0 {
		return 0, Route{}, false
	}
	r.Protocol = m.body[5]
	var destination inet.Addr
	switch m.body[0] { // a default route has no destination
	case unix.AF_INET:
		destination = inet.Addr4([4]byte{})
	case unix.AF_INET6:
		destination = inet.Addr6([16]byte{})
	}
	for kind, value, rest, ok := nextAttr(m.body[unix.SizeofRtMsg:]); ok; kind, value, rest, ok = nextAttr(rest) {
		switch kind {
		case unix.RTA_DST:
			destination = inet.AddrFrom(value)
		case unix.RTA_OIF:
			index = int(uint32At(value))
		case unix.RTA_GATEWAY:
			r.Gateway = inet.AddrFrom(value)
		case unix.RTA_PREFSRC:
			r.Source = inet.AddrFrom(value)
		case unix.RTA_PRIORITY:
			r.Metric = uint32At(value)
		}
	}
	r.Destination = inet.Prefix{Addr: destination, Bits: int(m.body[1])}
	return index, r, index != 0 && r.Destination.IsValid()
}
