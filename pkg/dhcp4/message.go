package dhcp4

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/krunbox/krunbox/pkg/inet"
)

// The fixed part of a message, RFC 2131 section 2: offsets of its fields, and its size up to and with the magic cookie.
const (
	offXID    = 4
	offSecs   = 8
	offFlags  = 10
	offCIAddr = 12
	offYIAddr = 16
	offCHAddr = 28
	offSName  = 44
	offFile   = 108
	offCookie = 236
	fixedSize = 240
)

// Values in the fixed part.
const (
	bootRequest   = 1
	bootReply     = 2
	htypeEthernet = 1
	flagBroadcast = 0x8000
	magicCookie   = 0x63825363
)

// minSize is the size of a BOOTP message without UDP and IP. Some relays and servers drop shorter ones.
const minSize = 300

// Message types, RFC 2132 section 9.6.
const (
	dhcpDiscover = 1 + iota
	dhcpOffer
	dhcpRequest
	dhcpDecline
	dhcpAck
	dhcpNak
	dhcpRelease
	dhcpInform
)

// Option codes: RFC 2132; 80 is of RFC 4039, 119 of RFC 3397, 121 of RFC 3442, and 249 is Microsoft's older 121.
const (
	optPad           = 0
	optMask          = 1
	optRouter        = 3
	optDNS           = 6
	optHostname      = 12
	optDomain        = 15
	optMTU           = 26
	optBroadcast     = 28
	optRequested     = 50
	optLeaseTime     = 51
	optOverload      = 52
	optMessageType   = 53
	optServer        = 54
	optParameters    = 55
	optText          = 56
	optMaxSize       = 57
	optT1            = 58
	optT2            = 59
	optClientID      = 61
	optRapidCommit   = 80
	optSearch        = 119
	optRoutes        = 121
	optRoutesPrivate = 249
	optEnd           = 255
)

// header is what differs in the fixed part of the messages that a client sends.
type header struct {
	xid       uint32
	secs      uint16
	broadcast bool
	ciaddr    inet.Addr // not valid: 0.0.0.0
	chaddr    [6]byte
}

// appendHeader appends the fixed part of a message.
func appendHeader(b []byte, h header) []byte {
	start := len(b)
	b = append(b, make([]byte, fixedSize)...)
	m := b[start:]
	m[0], m[1], m[2] = bootRequest, htypeEthernet, byte(len(h.chaddr))
	binary.BigEndian.PutUint32(m[offXID:], h.xid)
	binary.BigEndian.PutUint16(m[offSecs:], h.secs)
	if h.broadcast {
		binary.BigEndian.PutUint16(m[offFlags:], flagBroadcast)
	}
	ciaddr := h.ciaddr.As4()
	copy(m[offCIAddr:], ciaddr[:])
	copy(m[offCHAddr:], h.chaddr[:])
	binary.BigEndian.PutUint32(m[offCookie:], magicCookie)
	return b
}

// appendOption appends an option. One of more than 255 bytes has no encoding and is left out.
func appendOption(b []byte, code byte, value ...byte) []byte {
	if len(value) > 255 {
		return b
	}
	return append(append(b, code, byte(len(value))), value...)
}

// appendAddr appends an option that is an IPv4 address, where a is one.
func appendAddr(b []byte, code byte, a inet.Addr) []byte {
	if !a.Is4() {
		return b
	}
	value := a.As4()
	return appendOption(b, code, value[:]...)
}

// appendEnd ends the options and pads the message to its least size.
func appendEnd(b []byte) []byte {
	b = append(b, optEnd)
	if len(b) < minSize {
		b = append(b, make([]byte, minSize-len(b))...)
	}
	return b
}

// message is a received message. It refers to the bytes it was parsed from.
type message struct {
	fixed []byte
	// areas are the parts of the message that hold options, in the order of RFC 3396 section 5: the options field, and
	// where option 52 says so the fields file and sname.
	areas [3][]byte
}

// parse takes a message apart. It is false for what is too short, is no DHCP, or has options that are not well-formed.
func parse(b []byte) (m message, ok bool) {
	if len(b) < fixedSize || binary.BigEndian.Uint32(b[offCookie:]) != magicCookie {
		return message{}, false
	}
	m = message{fixed: b[:fixedSize]}
	m.areas[0] = b[fixedSize:]
	if overload := m.option(optOverload); overload != nil {
		if len(overload) != 1 || overload[0] == 0 || overload[0] > 3 {
			return message{}, false
		}
		if overload[0]&1 != 0 {
			m.areas[1] = b[offFile:offCookie]
		}
		if overload[0]&2 != 0 {
			m.areas[2] = b[offSName:offFile]
		}
	}
	for _, area := range m.areas {
		for code := byte(optPad); code != optEnd; {
			if code, _, area, ok = cutOption(area); !ok {
				return message{}, false
			}
		}
	}
	return m, true
}

// cutOption returns the first option of b, and what comes after it. Code optEnd means that there is none left; a missing
// end option is forgiven. It is false if the option is longer than b.
func cutOption(b []byte) (code byte, value, rest []byte, ok bool) {
	for len(b) > 0 && b[0] == optPad {
		b = b[1:]
	}
	if len(b) == 0 || b[0] == optEnd {
		return optEnd, nil, nil, true
	}
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return 0, nil, nil, false
	}
	end := 2 + int(b[1])
	return b[0], b[2:end:end], b[end:], true
}

// option returns the value of an option, nil if the message does not have it. An option that occurs several times is one
// that was split: its parts are put together (RFC 3396).
func (m *message) option(code byte) []byte {
	var value []byte
	for _, area := range m.areas {
		for {
			c, part, rest, ok := cutOption(area)
			if !ok || c == optEnd {
				break
			}
			area = rest
			switch {
			case c != code:
			case value == nil:
				value = part
			default:
				value = append(value, part...) // copies: part ends where its capacity does
			}
		}
	}
	return value
}

// kind returns the type of the message, 0 if it has none.
func (m *message) kind() byte {
	if v := m.option(optMessageType); len(v) == 1 {
		return v[0]
	}
	return 0
}

// addr returns the address that an option is, else none.
func (m *message) addr(code byte) inet.Addr {
	if v := m.option(code); len(v) == 4 {
		return inet.AddrFrom(v)
	}
	return inet.Addr{}
}

// hosts returns the addresses of an option that can be a host's.
func (m *message) hosts(code byte) (list []inet.Addr) {
	v := m.option(code)
	if len(v)%4 != 0 {
		return nil
	}
	for ; len(v) > 0; v = v[4:] {
		if a := inet.AddrFrom(v[:4]); a.IsHost() {
			list = append(list, a)
		}
	}
	return list
}

// duration returns the time that an option is, 0 if it is absent.
func (m *message) duration(code byte) time.Duration {
	v := m.option(code)
	if len(v) != 4 {
		return 0
	}
	if seconds := binary.BigEndian.Uint32(v); seconds != 0xffffffff {
		return time.Duration(seconds) * time.Second
	}
	return Infinite
}

// name returns the domain name that an option is as text, "" if it is absent or none to be trusted.
func (m *message) name(code byte) string {
	// RFC 2132 section 2: a receiver must be prepared for a NUL at the end.
	s := string(bytes.TrimSuffix(bytes.TrimRight(m.option(code), "\x00"), []byte(".")))
	if !inet.ValidName(s) {
		return ""
	}
	return s
}

// Summary describes a message, as a line for people. It describes anything.
func Summary(payload []byte) string {
	m, ok := parse(payload)
	if !ok {
		return "malformed message of " + strconv.Itoa(len(payload)) + " bytes"
	}
	names := [...]string{"BOOTP", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM"}
	kind := int(m.kind())
	var b []byte
	if kind < len(names) {
		b = append(b, names[kind]...)
	} else {
		b = strconv.AppendInt(append(b, "type "...), int64(kind), 10)
	}
	b = strconv.AppendUint(append(b, " xid 0x"...), uint64(binary.BigEndian.Uint32(m.fixed[offXID:])), 16)
	for _, field := range [...]struct {
		name string
		addr inet.Addr
	}{
		{"client", inet.AddrFrom(m.fixed[offCIAddr:][:4])},
		{"address", inet.AddrFrom(m.fixed[offYIAddr:][:4])},
		{"requested", m.addr(optRequested)},
		{"server", m.addr(optServer)},
		{"mask", m.addr(optMask)},
	} {
		if field.addr.IsValid() && !field.addr.IsUnspecified() {
			b = append(b, " "+field.name+" "+field.addr.String()...)
		}
	}
	switch lease := m.duration(optLeaseTime); lease {
	case 0:
	case Infinite:
		b = append(b, " lease infinite"...)
	default:
		b = append(b, " lease "+lease.String()...)
	}
	if m.option(optRapidCommit) != nil {
		b = append(b, " rapid commit"...)
	}
	if text := m.option(optText); len(text) > 0 {
		b = strconv.AppendQuote(append(b, ' '), string(text))
	}
	return string(b)
}
