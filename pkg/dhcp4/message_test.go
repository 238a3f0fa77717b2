package dhcp4

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// build makes a message of a fixed part and what follows it.
func build(options ...byte) []byte {
	return append(appendHeader(nil, header{chaddr: ourMAC}), options...)
}

func TestParse(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 255)
	overloaded := func(value byte, file, sname, options string) []byte {
		b := build(append([]byte{optOverload, 1, value}, options...)...)
		copy(b[offFile:], file)
		copy(b[offSName:], sname)
		return b
	}
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
		{"long", build(append(append([]byte{15, 255}, long...), 15, 1, 'y', 255)...), string(long) + "y"},
		{"overrun", build(15, 2, 'a'), "malformed"},
		{"overrun by 255", build(15, 255, 'a', 255), "malformed"},
		{"no length", build(1, 1, 1, 15), "malformed"},
		{"overload: file", overloaded(1, "\x0f\x01a\xff", "\x0f\x01b\xff", "\xff"), "a"},
		{"overload: sname", overloaded(2, "\x0f\x01a\xff", "\x0f\x01b\xff", "\xff"), "b"},
		{"overload: both", overloaded(3, "\x0f\x01a\xff", "\x0f\x01b\xff", "\x0f\x01c\xff"), "cab"},
		{"overload: no end", overloaded(3, "\x0f\x01a", "\x0f\x01b", "\x0f\x01c"), "cab"},
		{"overload: overrun", overloaded(2, "", strings.Repeat("\x00", 60)+"\x0f\x03ab", "\xff"), "malformed"},
		{"overload: to the last byte", overloaded(2, "", strings.Repeat("\x00", 60)+"\x0f\x02ab", "\xff"), "ab"},
		{"overload: in file itself", overloaded(1, "\x34\x01\x02\xff", "\x0f\x01b\xff", "\xff"), "none"},
		{"overload: 0", overloaded(0, "", "", "\xff"), "malformed"},
		{"overload: 4", overloaded(4, "", "", "\xff"), "malformed"},
		{"overload: twice", overloaded(1, "", "", "\x34\x01\x01\xff"), "malformed"},
		{"short", build()[:fixedSize-1], "malformed"},
		{"nothing", nil, "malformed"},
		{"BOOTP without cookie", make([]byte, minSize), "malformed"},
	} {
		before := bytes.Clone(c.b)
		m, ok := parse(c.b)
		got := "malformed"
		if ok {
			got = string(m.option(optDomain))
			if m.option(optDomain) == nil {
				got = "none"
			}
		}
		if got != c.want {
			t.Errorf("%s: option 15 of %q = %q, want %q", c.name, c.b[min(len(c.b), fixedSize):], got, c.want)
		}
		if !bytes.Equal(c.b, before) {
			t.Errorf("%s: parsing changed the message", c.name)
		}
	}
}

func TestAppendOption(t *testing.T) {
	if got := appendOption(nil, 12, make([]byte, 255)...); len(got) != 257 || got[1] != 255 {
		t.Errorf("an option of 255 bytes is %d bytes long", len(got))
	}
	if got := appendOption([]byte{1}, 12, make([]byte, 256)...); !bytes.Equal(got, []byte{1}) {
		t.Errorf("an option of 256 bytes = %x, want it left out", got)
	}
	if got := len(appendEnd(build())); got != minSize {
		t.Errorf("an empty message is %d bytes long, want %d", got, minSize)
	}
	if got := appendEnd(make([]byte, minSize)); len(got) != minSize+1 || got[minSize] != optEnd {
		t.Errorf("a message of %d bytes becomes %d", minSize, len(got))
	}
}

func TestSummary(t *testing.T) {
	e := reach(t, Requesting)
	e.sent.TransactionID = dhcpv4.TransactionID{0, 0, 0x1a, 0x2b}
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{e.reply(mtAck), "ACK xid 0x1a2b address 10.0.2.15 server 10.0.2.2 mask 255.255.255.0 lease 1h0m0s"},
		{e.reply(mtOffer, dhcpv4.WithLeaseTime(0xffffffff), dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(optRapidCommit), nil)),
			"OFFER xid 0x1a2b address 10.0.2.15 server 10.0.2.2 mask 255.255.255.0 lease infinite rapid commit"},
		{build(53, 1, 6, 54, 4, 10, 0, 2, 2, 56, 3, 'n', 'o', '\n', 255), `NAK xid 0x0 server 10.0.2.2 "no\n"`},
		{build(53, 1, 77, 255), "type 77 xid 0x0"},
		{build(255), "BOOTP xid 0x0"},
		{build(53, 4), "malformed message of 242 bytes"},
		{nil, "malformed message of 0 bytes"},
	} {
		if got := Summary(c.b); got != c.want {
			t.Errorf("Summary() = %s, want %s", got, c.want)
		}
	}
	b := reach(t, Renewing).c.buf
	if got, want := Summary(b), " client 10.0.2.15"; !strings.HasPrefix(got, "REQUEST xid 0x") || !strings.HasSuffix(got, want) {
		t.Errorf("Summary() of a renewal = %s, want it to end in %q", got, want)
	}
}

// FuzzParse compares what parse makes of a message with what insomniacslk/dhcp makes of it.
func FuzzParse(f *testing.F) {
	f.Add(build(15, 1, 'a', 1, 1, 9, 15, 2, 'b', 'c', 255))
	f.Add(build(52, 1, 3, 255))
	f.Add(build(15, 255, 'a', 255))
	f.Fuzz(func(t *testing.T, b []byte) {
		if line := Summary(b); strings.ContainsAny(line, "\n\r\x1b\x00") {
			t.Errorf("Summary() = %q", line)
		}
		m, ok := parse(b)
		if !ok || m.option(optOverload) != nil { // which the other library does not know
			return
		}
		want, err := dhcpv4.FromBytes(b)
		if err != nil {
			if !strings.Contains(err.Error(), "EOF") { // it insists on an end option
				t.Fatalf("parse() accepts what is wrong: %v", err)
			}
			return
		}
		for code := byte(1); code < optEnd; code++ {
			if got := m.option(code); !bytes.Equal(got, want.GetOneOption(dhcpv4.GenericOptionCode(code))) ||
				(got != nil) != want.Options.Has(dhcpv4.GenericOptionCode(code)) {
				t.Errorf("option %d = %x, want %x", code, got, want.GetOneOption(dhcpv4.GenericOptionCode(code)))
			}
		}
		if !slices.Equal(m.address().Bytes(), want.YourIPAddr) {
			t.Errorf("address = %v, want %v", m.address(), want.YourIPAddr)
		}
	})
}
