package dhcp6

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// Lengths in bytes.
const (
	headerSize       = dhcpv6.MessageHeaderSize
	optionHeaderSize = 4
	identitySize     = 12 // of an IA_NA without its options: section 21.4
	addressSize      = 24 // of an IA Address without its options: section 21.6
	maxDUID          = 2 + 128
)

// find returns the value of the first option with the given code, or nil if there is none. It
// returns false if the options are malformed. Unlike the library's parser, it does not allocate
// memory, so that datagrams for other clients do not make the process grow.
func find(options []byte, code dhcpv6.OptionCode) (value []byte, ok bool) {
	for len(options) >= optionHeaderSize {
		end := optionHeaderSize + int(binary.BigEndian.Uint16(options[2:]))
		if end > len(options) {
			return nil, false
		}
		if value == nil && dhcpv6.OptionCode(binary.BigEndian.Uint16(options)) == code {
			value = options[optionHeaderSize:end]
		}
		options = options[end:]
	}
	return value, len(options) == 0
}

// parse parses a message of any type. The result refers to b. parse returns false if b is too
// short, or if the outermost options are malformed.
func parse(b []byte) (*dhcpv6.Message, bool) {
	if len(b) < headerSize {
		return nil, false
	}
	m := &dhcpv6.Message{
		MessageType:   dhcpv6.MessageType(b[0]),
		TransactionID: dhcpv6.TransactionID(b[1:headerSize]),
	}
	return m, m.Options.FromBytesWithParser(b[headerSize:], parseOption) == nil
}

// parseOption parses an option. An option that Client does not decode becomes a
// dhcpv6.OptionGeneric. A malformed option becomes a dhcpv6.OptionGeneric with the reserved code 0,
// because methods of dhcpv6 panic if an option does not have the type that belongs to its code. The
// library's parser would reject a message with an error in an unused option, and would allocate
// megabytes for a crafted list of names.
func parseOption(code dhcpv6.OptionCode, data []byte) (o dhcpv6.Option, err error) {
	switch code {
	case dhcpv6.OptionIANA:
		ia := &dhcpv6.OptIANA{}
		o, err = ia, parseNested(ia, identitySize, &ia.Options.Options, data)
	case dhcpv6.OptionIAAddr:
		a := &dhcpv6.OptIAAddress{}
		o, err = a, parseNested(a, addressSize, &a.Options.Options, data)
	case dhcpv6.OptionStatusCode, dhcpv6.OptionDNSRecursiveNameServer:
		o, err = dhcpv6.ParseOption(code, data)
	default:
		o = &dhcpv6.OptionGeneric{OptionCode: code, OptionData: data}
	}
	if err != nil {
		o = &dhcpv6.OptionGeneric{}
	}
	return o, nil
}

// parseNested parses an option that consists of a fixed part of size bytes and of further options.
func parseNested(o dhcpv6.Option, size int, inner *dhcpv6.Options, data []byte) error {
	if err := o.FromBytes(data[:min(size, len(data))]); err != nil {
		return err
	}
	return inner.FromBytesWithParser(data[size:], parseOption)
}

// value returns the value of the first option with the given code, or nil if there is none. The
// code must be one that parseOption does not decode.
func value(m *dhcpv6.Message, code dhcpv6.OptionCode) []byte {
	if o, ok := m.GetOneOption(code).(*dhcpv6.OptionGeneric); ok {
		return o.OptionData
	}
	return nil
}

// seconds returns the time in an option, or false if the option is absent or malformed.
func seconds(m *dhcpv6.Message, code dhcpv6.OptionCode) (time.Duration, bool) {
	v := value(m, code)
	if len(v) != 4 {
		return 0, false
	}
	return lifetime(time.Duration(binary.BigEndian.Uint32(v)) * time.Second), true
}

// lifetime returns d, or Infinite if d is the value that stands for infinity (section 7.7).
func lifetime(d time.Duration) time.Duration {
	if d == 0xffffffff*time.Second {
		return Infinite
	}
	return d
}

// status returns the first status code option, or the zero value, which means success.
func status(options dhcpv6.Options) dhcpv6.OptStatusCode {
	if o, ok := options.GetOne(dhcpv6.OptionStatusCode).(*dhcpv6.OptStatusCode); ok {
		return *o
	}
	return dhcpv6.OptStatusCode{}
}

// identity returns the IA_NA with the given IAID, or an empty one. It ignores an IA_NA whose T1 is
// greater than its T2 (section 21.4).
func identity(m *dhcpv6.Message, iaid uint32) *dhcpv6.OptIANA {
	for _, ia := range m.Options.IANA() {
		if binary.BigEndian.Uint32(ia.IaId[:]) == iaid && (ia.T1 <= ia.T2 || ia.T2 == 0) {
			return ia
		}
	}
	return &dhcpv6.OptIANA{}
}

// usable returns the address in an IA Address option. It returns false if the address is not
// global, the preferred lifetime exceeds the valid one (section 21.6), or the status is a failure.
func usable(o *dhcpv6.OptIAAddress) (Address, bool) {
	addr, _ := netip.AddrFromSlice(o.IPv6Addr)
	a := Address{addr, lifetime(o.PreferredLifetime), lifetime(o.ValidLifetime)}
	return a, addr.IsGlobalUnicast() && a.Preferred <= a.Valid &&
		status(o.Options.Options).StatusCode == iana.StatusSuccess
}

// nameServers returns the addresses of a DNS option that can be those of a host.
func nameServers(m *dhcpv6.Message) (servers []netip.Addr) {
	for _, ip := range m.Options.DNS() {
		a, _ := netip.AddrFromSlice(ip)
		if a.IsGlobalUnicast() || a.IsLinkLocalUnicast() {
			servers = append(servers, a)
		}
	}
	return servers
}

// compose returns the message of the state.
func (c *Client) compose() *dhcpv6.Message {
	kinds := [...]dhcpv6.MessageType{
		Soliciting: dhcpv6.MessageTypeSolicit,
		Requesting: dhcpv6.MessageTypeRequest,
		Informing:  dhcpv6.MessageTypeInformationRequest,
		Renewing:   dhcpv6.MessageTypeRenew,
		Rebinding:  dhcpv6.MessageTypeRebind,
	}
	var server []byte
	if c.state == Requesting || c.state == Renewing {
		server = c.server
	}
	m := c.newMessage(kinds[c.state], server)
	parameters := dhcpv6.OptionCodes{
		dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList,
	}
	if c.state == Informing {
		parameters = append(parameters, dhcpv6.OptionInformationRefreshTime, dhcpv6.OptionInfMaxRT)
	} else {
		parameters = append(parameters, dhcpv6.OptionSolMaxRT)
		m.AddOption(newIdentity(c.config.IAID, c.wanted))
	}
	m.AddOption(dhcpv6.OptRequestedOption(parameters...))
	if c.state == Soliciting && !c.config.OfferOnly {
		m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
	}
	return m
}

// newMessage returns a message with a new transaction ID and the options that every message has.
// server is the DUID of the server to which the message is addressed, or nil for all servers.
func (c *Client) newMessage(kind dhcpv6.MessageType, server []byte) *dhcpv6.Message {
	xid := c.config.Random()
	m := &dhcpv6.Message{
		MessageType:   kind,
		TransactionID: dhcpv6.TransactionID{byte(xid >> 16), byte(xid >> 8), byte(xid)},
	}
	// DUIDs are opaque, but dhcpv6.DUID changes or rejects those that are not valid for their type.
	m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionClientID, OptionData: c.config.DUID})
	if server != nil {
		m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionServerID, OptionData: server})
	}
	m.AddOption(dhcpv6.OptElapsedTime(0))
	return m
}

// newIdentity returns an IA_NA that asks for addresses. All its times are 0, so that the server
// chooses them (sections 21.4 and 21.6).
func newIdentity(iaid uint32, addresses []Address) *dhcpv6.OptIANA {
	ia := &dhcpv6.OptIANA{}
	binary.BigEndian.PutUint32(ia.IaId[:], iaid)
	for _, a := range addresses {
		ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: a.Addr.AsSlice()})
	}
	return ia
}

// setElapsed sets the Elapsed Time option of an encoded message (section 21.9).
func setElapsed(message []byte, elapsed time.Duration) {
	n := min(elapsed/(10*time.Millisecond), 0xffff)
	field, _ := find(message[headerSize:], dhcpv6.OptionElapsedTime)
	copy(field, []byte{byte(n >> 8), byte(n)})
}

// Summary describes a message in one line of printable text. The payload may be malformed.
func Summary(payload []byte) string {
	m, ok := parse(payload)
	if !ok {
		return fmt.Sprintf("malformed message of %d bytes", len(payload))
	}
	kind := m.MessageType.String()
	if m.MessageType == 0 || m.MessageType > dhcpv6.MessageTypeInformationRequest {
		kind = fmt.Sprintf("type %d", m.MessageType)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s xid %#x", kind, binary.BigEndian.Uint32(payload)&0xffffff)
	if server := value(m, dhcpv6.OptionServerID); server != nil {
		fmt.Fprintf(&b, " server %x", server[:min(len(server), maxDUID)])
	}
	writeStatus(&b, m.Options.Options)
	for _, ia := range m.Options.IANA() {
		writeAddresses(&b, ia.Options)
	}
	for _, a := range nameServers(m) {
		fmt.Fprintf(&b, " dns %v", a)
	}
	if m.GetOneOption(dhcpv6.OptionRapidCommit) != nil {
		b.WriteString(" rapid commit")
	}
	return b.String()
}

// writeAddresses describes the options of an IA_NA.
func writeAddresses(b *strings.Builder, options dhcpv6.IdentityOptions) {
	writeStatus(b, options.Options)
	for _, a := range options.Addresses() {
		addr, _ := netip.AddrFromSlice(a.IPv6Addr)
		fmt.Fprintf(b, " address %v", addr)
		switch valid := lifetime(a.ValidLifetime); valid {
		case 0:
		case Infinite:
			b.WriteString(" valid infinite")
		default:
			fmt.Fprintf(b, " valid %v", valid)
		}
		writeStatus(b, a.Options.Options)
	}
}

// writeStatus describes the status of options, unless it is success.
func writeStatus(b *strings.Builder, options dhcpv6.Options) {
	s := status(options)
	if s.StatusCode == iana.StatusSuccess {
		return
	}
	name := s.StatusCode.String()
	if name == "Unknown" {
		name = fmt.Sprint(uint16(s.StatusCode))
	}
	b.WriteString(" status " + name)
	if s.StatusMessage != "" {
		fmt.Fprintf(b, " %q", s.StatusMessage)
	}
}
