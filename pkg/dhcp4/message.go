package dhcp4

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// Offsets of fields in a message (RFC 2131 section 2), and its size before the options.
const (
	offXID    = 4
	offSecs   = 8
	offCIAddr = 12
	offYIAddr = 16
	offCHAddr = 28
	offSName  = 44
	offFile   = 108
	offCookie = 236
	fixedSize = 240
)

const magicCookie = 0x63825363

// optionPrivateRoutes is Microsoft's option for classless routes, older than option 121.
const optionPrivateRoutes = dhcpv4.GenericOptionCode(249)

// message is a received message. Its methods, except decode and lease, do not allocate memory for
// messages without repeated options, so that a flood of ignored messages does not make the process
// grow.
type message struct {
	bytes []byte
	// options are the parts of the message that hold options, in the order of RFC 3396 section 5:
	// the options field and, if option 52 says so, the fields file and sname.
	options [3][]byte
}

// parse returns the message in b. It returns false if b is too short, is not DHCP, or has malformed
// options. The end option may be missing.
func parse(b []byte) (m message, ok bool) {
	if len(b) < fixedSize || binary.BigEndian.Uint32(b[offCookie:]) != magicCookie {
		return message{}, false
	}
	m = message{bytes: b, options: [3][]byte{b[fixedSize:]}}
	if overload := m.option(dhcpv4.OptionOptionOverload); overload != nil {
		if len(overload) != 1 || overload[0] == 0 || overload[0] > 3 {
			return message{}, false
		}
		if overload[0]&1 != 0 {
			m.options[1] = b[offFile:offCookie]
		}
		if overload[0]&2 != 0 {
			m.options[2] = b[offSName:offFile]
		}
	}
	for _, options := range m.options {
		for code := dhcpv4.OptionPad.Code(); code != dhcpv4.OptionEnd.Code(); {
			if code, _, options, ok = cutOption(options); !ok {
				return message{}, false
			}
		}
	}
	return m, true
}

// cutOption returns the code and value of the first option in b, and what follows it. At the end of
// the options the code is that of the end option. It returns false if b ends within the option.
func cutOption(b []byte) (code byte, value, rest []byte, ok bool) {
	for len(b) > 0 && b[0] == dhcpv4.OptionPad.Code() {
		b = b[1:]
	}
	if len(b) == 0 || b[0] == dhcpv4.OptionEnd.Code() {
		return dhcpv4.OptionEnd.Code(), nil, nil, true
	}
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return 0, nil, nil, false
	}
	end := 2 + int(b[1])
	return b[0], b[2:end:end], b[end:], true
}

// option returns the value of an option, or nil if the message does not have the option. It
// concatenates the values of an option that occurs more than once (RFC 3396).
func (m message) option(code dhcpv4.OptionCode) []byte {
	var value []byte
	for _, options := range m.options {
		for {
			c, part, rest, ok := cutOption(options)
			if !ok || c == dhcpv4.OptionEnd.Code() {
				break
			}
			options = rest
			switch {
			case c != code.Code():
			case value == nil:
				value = part
			default:
				value = append(value, part...) // part's capacity is its length: this copies
			}
		}
	}
	return value
}

// kind returns the message type, or MessageTypeNone if option 53 is missing or malformed.
func (m message) kind() dhcpv4.MessageType {
	if v := m.option(dhcpv4.OptionDHCPMessageType); len(v) == 1 {
		return dhcpv4.MessageType(v[0])
	}
	return dhcpv4.MessageTypeNone
}

// xid returns the transaction ID of the message b.
func xid(b []byte) uint32 { return binary.BigEndian.Uint32(b[offXID:]) }

// address returns the field yiaddr, the client's address.
func (m message) address() netip.Addr { return toAddr(m.bytes[offYIAddr:][:4]) }

// server returns the server identifier, or the zero Addr if option 54 is missing or malformed.
func (m message) server() netip.Addr {
	if v := m.option(dhcpv4.OptionServerIdentifier); len(v) == 4 {
		return toAddr(v)
	}
	return netip.Addr{}
}

// leaseSeconds returns the lease time, or 0 if option 51 is missing or malformed.
func (m message) leaseSeconds() uint32 {
	if v := m.option(dhcpv4.OptionIPAddressLeaseTime); len(v) == 4 {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

// decode returns all fields and options of the message.
func (m message) decode() (*dhcpv4.DHCPv4, error) {
	// FromBytes requires an end option and ignores option 52, so the options are parsed below.
	fixed := append(m.bytes[:fixedSize:fixedSize], dhcpv4.OptionEnd.Code())
	d, err := dhcpv4.FromBytes(fixed)
	if err != nil {
		return nil, err
	}
	for _, options := range m.options {
		if err := d.Options.FromBytes(options); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// newRequest returns a message to servers, with the options that all messages have.
func newRequest(c *Config, kind dhcpv4.MessageType, xid uint32) *dhcpv4.DHCPv4 {
	id := c.ClientID
	if len(id) == 0 {
		id = append([]byte{byte(iana.HWTypeEthernet)}, c.HardwareAddr[:]...)
	}
	d := &dhcpv4.DHCPv4{
		OpCode:       dhcpv4.OpcodeBootRequest,
		HWType:       iana.HWTypeEthernet,
		ClientHWAddr: c.HardwareAddr[:],
		Options: dhcpv4.OptionsFromList(
			dhcpv4.OptMessageType(kind),
			dhcpv4.OptGeneric(dhcpv4.OptionClientIdentifier, id),
		),
	}
	binary.BigEndian.PutUint32(d.TransactionID[:], xid)
	return d
}

// toAddr converts an address of package net. It returns the zero Addr for nil.
func toAddr(ip net.IP) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	return addr
}

// isHost reports whether a is an IPv4 address that a host on a network can have: not loopback,
// multicast or reserved (0.0.0.0/8, 240.0.0.0/4).
func isHost(a netip.Addr) bool {
	if !a.Is4() || a.IsLoopback() || a.IsMulticast() {
		return false
	}
	first := a.As4()[0]
	return first != 0 && first < 240
}

// Summary describes a message in one line of printable text. payload is the message without UDP and
// IP headers; it may be malformed.
func Summary(payload []byte) string {
	malformed := fmt.Sprintf("malformed message of %d bytes", len(payload))
	m, ok := parse(payload)
	if !ok {
		return malformed
	}
	d, err := m.decode()
	if err != nil {
		return malformed
	}
	var b strings.Builder
	switch kind := d.MessageType(); {
	case kind == dhcpv4.MessageTypeNone:
		b.WriteString("BOOTP")
	case kind > dhcpv4.MessageTypeInform:
		fmt.Fprintf(&b, "type %d", kind)
	default:
		b.WriteString(kind.String())
	}
	fmt.Fprintf(&b, " xid %#x", xid(payload))
	for _, field := range [...]struct {
		name string
		ip   net.IP
	}{
		{"client", d.ClientIPAddr},
		{"address", d.YourIPAddr},
		{"requested", d.RequestedIPAddress()},
		{"server", d.ServerIdentifier()},
		{"mask", net.IP(d.SubnetMask())},
	} {
		if field.ip != nil && !field.ip.IsUnspecified() {
			fmt.Fprintf(&b, " %s %v", field.name, field.ip)
		}
	}
	switch lease := leaseTime(d); lease {
	case 0:
	case Infinite:
		b.WriteString(" lease infinite")
	default:
		fmt.Fprintf(&b, " lease %v", lease)
	}
	if d.Options.Has(dhcpv4.OptionRapidCommit) {
		b.WriteString(" rapid commit")
	}
	if text := d.Message(); text != "" {
		fmt.Fprintf(&b, " %q", text)
	}
	return b.String()
}
