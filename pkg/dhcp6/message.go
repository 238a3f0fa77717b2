package dhcp6

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/krunbox/krunbox/pkg/inet"
)

// Sizes of fixed parts: of a message (section 8), an option (21.1), an IA_NA (21.4) and an IA Address (21.6).
const (
	headerSize    = 4
	optHeaderSize = 4
	identitySize  = 12
	iaAddressSize = 24
)

// maxDUID is the size of the longest DUID, section 11.1.
const maxDUID = 2 + 128

// Message types, section 7.3.
const (
	msgSolicit = 1 + iota
	msgAdvertise
	msgRequest
	msgConfirm
	msgRenew
	msgRebind
	msgReply
	msgRelease
	msgDecline
	msgReconfigure
	msgInformationRequest
)

// Option codes: section 21; 23 and 24 are of RFC 3646.
const (
	optClientID    = 1
	optServerID    = 2
	optIANA        = 3
	optIAAddress   = 5
	optRequest     = 6
	optElapsed     = 8
	optStatus      = 13
	optRapidCommit = 14
	optDNS         = 23
	optSearch      = 24
	optRefresh     = 32
	optSolMaxRT    = 82
	optInfMaxRT    = 83
)

// Status codes, section 21.13.
const (
	statusSuccess = iota
	statusUnspecFail
	statusNoAddrsAvail
	statusNoBinding
	statusNotOnLink
	statusUseMulticast
)

// appendHeader appends the fixed part of a message.
func appendHeader(b []byte, kind byte, xid uint32) []byte {
	return append(b, kind, byte(xid>>16), byte(xid>>8), byte(xid))
}

// appendOption appends an option. One of more than 65535 bytes has no encoding and is left out.
func appendOption(b []byte, code uint16, value ...byte) []byte {
	if len(value) > 0xffff {
		return b
	}
	b = binary.BigEndian.AppendUint16(b, code)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}

// appendIdentity appends an IA_NA with addresses. All times in it are 0: they are the server's to say (sections 21.4, 21.6).
func appendIdentity(b []byte, iaid uint32, addresses []Address) []byte {
	const perAddress = optHeaderSize + iaAddressSize
	b = binary.BigEndian.AppendUint16(b, optIANA)
	b = binary.BigEndian.AppendUint16(b, uint16(identitySize+perAddress*len(addresses)))
	b = binary.BigEndian.AppendUint32(b, iaid)
	b = append(b, make([]byte, identitySize-4)...)
	for _, a := range addresses {
		value := [iaAddressSize]byte{}
		copy(value[:], a.Addr.Bytes())
		b = appendOption(b, optIAAddress, value[:]...)
	}
	return b
}

// options are options one after the other: those of a message, or those inside another option.
type options []byte

// cut returns the first option, and what comes after it. It is false if there is no whole one.
func (o options) cut() (code uint16, value []byte, rest options, ok bool) {
	if len(o) < optHeaderSize {
		return 0, nil, nil, false
	}
	end := optHeaderSize + int(binary.BigEndian.Uint16(o[2:]))
	if len(o) < end {
		return 0, nil, nil, false
	}
	return binary.BigEndian.Uint16(o), o[optHeaderSize:end:end], o[end:], true
}

// wellFormed tells whether o is whole options and nothing else.
func (o options) wellFormed() bool {
	for len(o) > 0 {
		var ok bool
		if _, _, o, ok = o.cut(); !ok {
			return false
		}
	}
	return true
}

// find returns the value of the first option with that code, nil if there is none: but where the RFC says so, an option
// must not occur twice.
func (o options) find(code uint16) []byte {
	for {
		c, value, rest, ok := o.cut()
		if !ok || c == code {
			return value
		}
		o = rest
	}
}

// status returns the status code; without one it is success.
func (o options) status() uint16 {
	if v := o.find(optStatus); len(v) >= 2 {
		return binary.BigEndian.Uint16(v)
	}
	return statusSuccess
}

// seconds returns the time that an option is; false if it is absent or of a wrong size.
func (o options) seconds(code uint16) (time.Duration, bool) {
	v := o.find(code)
	if len(v) != 4 {
		return 0, false
	}
	return seconds(v), true
}

// seconds returns the time in the first four bytes of b.
func seconds(b []byte) time.Duration {
	if n := binary.BigEndian.Uint32(b); n != 0xffffffff {
		return time.Duration(n) * time.Second
	}
	return Infinite
}

// message is a received message. It refers to the bytes it was parsed from.
type message struct {
	kind byte
	xid  uint32
	options
}

// parse takes a message apart. It is false for what is too short or has options that are not well-formed. Those inside of
// other options are checked where they are used.
func parse(b []byte) (m message, ok bool) {
	if len(b) < headerSize {
		return message{}, false
	}
	m = message{kind: b[0], xid: binary.BigEndian.Uint32(b) & 0xffffff, options: b[headerSize:]}
	return m, m.wellFormed()
}

// identity is an IA_NA.
type identity struct {
	t1, t2 time.Duration
	options
}

// identity returns the IA_NA with that IAID. It is false if the message has none, or one that is to be discarded: not
// well-formed, or with a T1 beyond T2 (section 21.4).
func (m *message) identity(iaid uint32) (ia identity, ok bool) {
	for o := m.options; ; {
		code, value, rest, ok := o.cut()
		if !ok {
			return identity{}, false
		}
		o = rest
		if code != optIANA || len(value) < identitySize || binary.BigEndian.Uint32(value) != iaid {
			continue
		}
		ia = identity{seconds(value[4:]), seconds(value[8:]), value[identitySize:]}
		return ia, ia.wellFormed() && (ia.t1 <= ia.t2 || ia.t2 == 0)
	}
}

// Summary describes a message, as a line for people. It describes anything.
func Summary(payload []byte) string {
	m, ok := parse(payload)
	if !ok {
		return "malformed message of " + strconv.Itoa(len(payload)) + " bytes"
	}
	names := [...]string{"", "SOLICIT", "ADVERTISE", "REQUEST", "CONFIRM", "RENEW", "REBIND", "REPLY", "RELEASE", "DECLINE",
		"RECONFIGURE", "INFORMATION-REQUEST"}
	var b []byte
	if kind := int(m.kind); kind > 0 && kind < len(names) {
		b = append(b, names[kind]...)
	} else {
		b = strconv.AppendInt(append(b, "type "...), int64(kind), 10)
	}
	b = strconv.AppendUint(append(b, " xid 0x"...), uint64(m.xid), 16)
	if server := m.find(optServerID); server != nil {
		b = appendHex(append(b, " server "...), server[:min(len(server), maxDUID)])
	}
	b = appendStatus(b, m.options)
	for o := m.options; ; {
		code, value, rest, ok := o.cut()
		if !ok {
			break
		}
		o = rest
		if code == optIANA && len(value) >= identitySize {
			b = appendAddresses(b, value[identitySize:])
		}
	}
	for _, a := range m.hosts(optDNS) {
		b = append(b, " dns "+a.String()...)
	}
	if m.find(optRapidCommit) != nil {
		b = append(b, " rapid commit"...)
	}
	return string(b)
}

// appendAddresses describes what is in an IA_NA.
func appendAddresses(b []byte, o options) []byte {
	b = appendStatus(b, o)
	for {
		code, value, rest, ok := o.cut()
		if !ok {
			return b
		}
		o = rest
		if code != optIAAddress || len(value) < iaAddressSize {
			continue
		}
		b = append(b, " address "+inet.AddrFrom(value[:16]).String()...)
		switch valid := seconds(value[20:]); valid {
		case 0:
		case Infinite:
			b = append(b, " valid infinite"...)
		default:
			b = append(b, " valid "+valid.String()...)
		}
		b = appendStatus(b, value[iaAddressSize:])
	}
}

// appendStatus describes a status other than success.
func appendStatus(b []byte, o options) []byte {
	status := o.status()
	if status == statusSuccess {
		return b
	}
	names := [...]string{"Success", "UnspecFail", "NoAddrsAvail", "NoBinding", "NotOnLink", "UseMulticast"}
	b = append(b, " status "...)
	if int(status) < len(names) {
		b = append(b, names[status]...)
	} else {
		b = strconv.AppendUint(b, uint64(status), 10)
	}
	if text := o.find(optStatus)[2:]; len(text) > 0 {
		b = strconv.AppendQuote(append(b, ' '), string(text))
	}
	return b
}

func appendHex(b, data []byte) []byte {
	const digits = "0123456789abcdef"
	for _, c := range data {
		b = append(b, digits[c>>4], digits[c&0xf])
	}
	return b
}
