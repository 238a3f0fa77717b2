package dhcp4

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// build returns a message with the given bytes in place of its options.
func build(options ...byte) []byte {
	m := dhcpv4.DHCPv4{OpCode: dhcpv4.OpcodeBootRequest, HWType: 1, ClientHWAddr: ourMAC[:]}
	return append(m.ToBytes()[:fixedSize:fixedSize], options...)
}

// overloaded returns a message with options in its fields file and sname, and a value of option 52.
func overloaded(value byte, file, sname, options string) []byte {
	b := build(append([]byte{52, 1, value}, options...)...)
	copy(b[offFile:], file)
	copy(b[offSName:], sname)
	return b
}

func TestParse(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 255)
	padding := strings.Repeat("\x00", 60)
	for _, c := range []struct {
		name string
		b    []byte
		want string // option 15, "none", or "malformed"
	}{
		{"one", build(15, 1, 'a', 255), "a"},
		{"none", build(255), "none"},
		{"no options at all", build(), "none"},
		{"empty", build(15, 0, 255), ""},
		{"padding", build(0, 0, 15, 1, 'a', 0, 255, 0, 0), "a"},
		{"no end", build(15, 1, 'a'), "a"},
		{"after the end", build(15, 1, 'a', 255, 15, 1, 'b'), "a"},
		{"split", build(15, 1, 'a', 1, 1, 9, 15, 2, 'b', 'c', 255), "abc"},
		{"split, the first part empty", build(15, 0, 15, 1, 'b', 255), "b"},
		{"long", build(append(append([]byte{15, 255}, long...), 15, 1, 'y', 255)...),
			string(long) + "y"},
		{"overrun", build(15, 2, 'a'), "malformed"},
		{"overrun by 255", build(15, 255, 'a', 255), "malformed"},
		{"no length", build(1, 1, 1, 15), "malformed"},
		{"overload: file", overloaded(1, "\x0f\x01a\xff", "\x0f\x01b\xff", "\xff"), "a"},
		{"overload: sname", overloaded(2, "\x0f\x01a\xff", "\x0f\x01b\xff", "\xff"), "b"},
		{"overload: both", overloaded(3, "\x0f\x01a\xff", "\x0f\x01b\xff", "\x0f\x01c\xff"), "cab"},
		{"overload: no end", overloaded(3, "\x0f\x01a", "\x0f\x01b", "\x0f\x01c"), "cab"},
		{"overload: overrun", overloaded(2, "", padding+"\x0f\x03ab", "\xff"), "malformed"},
		{"overload: to the last byte", overloaded(2, "", padding+"\x0f\x02ab", "\xff"), "ab"},
		{"overload: in file itself", overloaded(1, "\x34\x01\x02\xff", "\x0f\x01b\xff", "\xff"), "none"},
		{"overload: 0", overloaded(0, "", "", "\xff"), "malformed"},
		{"overload: 4", overloaded(4, "", "", "\xff"), "malformed"},
		{"overload: twice", overloaded(1, "", "", "\x34\x01\x01\xff"), "malformed"},
		{"short", build()[:fixedSize-1], "malformed"},
		{"nothing", nil, "malformed"},
		{"BOOTP without cookie", make([]byte, 300), "malformed"},
	} {
		before := bytes.Clone(c.b)
		m, ok := parse(c.b)
		got := "malformed"
		if ok {
			got = domain(t, m)
		}
		if got != c.want {
			options := c.b[min(len(c.b), fixedSize):]
			t.Errorf("%s: option 15 of %q = %q, want %q", c.name, options, got, c.want)
		}
		if !bytes.Equal(c.b, before) {
			t.Errorf("%s: parse changed the message", c.name)
		}
	}
}

// domain returns option 15 of a message, or "none". It fails if option and decode differ.
func domain(t *testing.T, m message) string {
	t.Helper()
	d, err := m.decode()
	if err != nil {
		t.Errorf("decode() = %v", err)
		return ""
	}
	v, want := m.option(dhcpv4.OptionDomainName), d.GetOneOption(dhcpv4.OptionDomainName)
	if !bytes.Equal(v, want) || (v != nil) != d.Options.Has(dhcpv4.OptionDomainName) {
		t.Errorf("option(15) = %q, want %q as decoded", v, want)
	}
	if v == nil {
		return "none"
	}
	return string(v)
}

func TestSummary(t *testing.T) {
	e := reach(t, Requesting)
	e.sent.TransactionID = dhcpv4.TransactionID{0, 0, 0x1a, 0x2b}
	rapidCommit := dhcpv4.WithGeneric(dhcpv4.OptionRapidCommit, nil)
	const granted = "xid 0x1a2b address 10.0.2.15 server 10.0.2.2 mask 255.255.255.0 lease "
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{e.reply(mtAck), "ACK " + granted + "1h0m0s"},
		{e.reply(mtOffer, dhcpv4.WithLeaseTime(0xffffffff), rapidCommit),
			"OFFER " + granted + "infinite rapid commit"},
		{build(53, 1, 6, 54, 4, 10, 0, 2, 2, 56, 3, 'n', 'o', '\n', 255),
			`NAK xid 0x0 server 10.0.2.2 "no\n"`},
		{build(53, 1, 77, 255), "type 77 xid 0x0"},
		{build(255), "BOOTP xid 0x0"},
		{build(53, 4), "malformed message of 242 bytes"},
		{nil, "malformed message of 0 bytes"},
	} {
		if got := Summary(c.b); got != c.want {
			t.Errorf("Summary() = %s, want %s", got, c.want)
		}
	}
	got := Summary(reach(t, Renewing).c.buf)
	if !strings.HasPrefix(got, "REQUEST xid 0x") || !strings.HasSuffix(got, " client 10.0.2.15") {
		t.Errorf("Summary() of a renewal = %s, want REQUEST xid 0x... client 10.0.2.15", got)
	}
}

// FuzzParse compares the fields that message reads with those that insomniacslk/dhcp decodes.
func FuzzParse(f *testing.F) {
	f.Add(build(15, 1, 'a', 1, 1, 9, 15, 2, 'b', 'c', 255))
	f.Add(build(52, 1, 3, 255))
	f.Add(build(15, 255, 'a', 255))
	f.Add(reach(&testing.T{}, Requesting).reply(mtAck))
	f.Fuzz(func(t *testing.T, b []byte) {
		if line := Summary(b); strings.ContainsAny(line, "\n\r\x1b\x00") {
			t.Errorf("Summary() = %q", line)
		}
		m, ok := parse(b)
		if !ok {
			return
		}
		d, err := m.decode()
		if err != nil {
			t.Fatalf("decode() after parse = %v", err)
		}
		for code := dhcpv4.GenericOptionCode(1); code < 255; code++ {
			got, want := m.option(code), d.GetOneOption(code)
			if !bytes.Equal(got, want) || (got != nil) != d.Options.Has(code) {
				t.Errorf("option(%d) = %x, want %x", code, got, want)
			}
		}
		if !slices.Equal(m.address().AsSlice(), d.YourIPAddr) {
			t.Errorf("address() = %v, want %v", m.address(), d.YourIPAddr)
		}
		if m.kind() != d.MessageType() {
			t.Errorf("kind() = %v, want %v", m.kind(), d.MessageType())
		}
		if !slices.Equal(m.server().AsSlice(), d.ServerIdentifier()) {
			t.Errorf("server() = %v, want %v", m.server(), d.ServerIdentifier())
		}
		// With neither option 52 nor a missing end, the library decodes the whole message alike.
		whole, err := dhcpv4.FromBytes(b)
		if err != nil || d.Options.Has(dhcpv4.OptionOptionOverload) {
			return
		}
		if whole.Summary() != d.Summary() {
			t.Errorf("decode() = %v, want %v", d.Summary(), whole.Summary())
		}
	})
}
