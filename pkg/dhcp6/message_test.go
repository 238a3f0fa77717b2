package dhcp6

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// encode returns a REPLY with transaction ID 0x123456 and those encoded options.
func encode(options ...byte) []byte { return append([]byte{7, 0x12, 0x34, 0x56}, options...) }

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want string // the value of option 24, "none", or "malformed"
	}{
		{"no options", encode(), "none"},
		{"one option", encode(0, 24, 0, 1, 'a'), "a"},
		{"empty option", encode(0, 24, 0, 0), ""},
		{"another option", encode(24, 0, 0, 1, 'a'), "none"},
		{"second option", encode(0, 23, 0, 0, 0, 24, 0, 2, 'a', 'b'), "ab"},
		{"option occurs twice", encode(0, 24, 0, 1, 'a', 0, 24, 0, 1, 'b'), "a"},
		{"option overruns", encode(0, 24, 0, 2, 'a'), "malformed"},
		{"next option overruns", encode(0, 24, 0, 1, 'a', 0, 1, 0xff, 0xff), "malformed"},
		{"option without length", encode(0, 24, 0), "malformed"},
		{"short header", encode()[:3], "malformed"},
		{"empty message", nil, "malformed"},
	} {
		describe := func(value []byte, ok bool) string {
			switch {
			case !ok:
				return "malformed"
			case value == nil:
				return "none"
			}
			return string(value)
		}
		m, ok := parse(c.b)
		xid := dhcpv6.TransactionID{0x12, 0x34, 0x56}
		if ok && (m.MessageType != mtReply || m.TransactionID != xid) {
			t.Errorf("%s: parse(%x) = %v, want a REPLY with xid 0x123456", c.name, c.b, m)
		}
		var v []byte
		if ok {
			v = value(m, dhcpv6.OptionDomainSearchList)
		}
		if got := describe(v, ok); got != c.want {
			t.Errorf("%s: parse(%x) has %q, want %q", c.name, c.b, got, c.want)
		}
		if len(c.b) < headerSize {
			continue
		}
		if got := describe(find(c.b[headerSize:], dhcpv6.OptionDomainSearchList)); got != c.want {
			t.Errorf("%s: find(%x) = %q, want %q", c.name, c.b[headerSize:], got, c.want)
		}
	}
}

func TestIdentity(t *testing.T) {
	one := []byte{0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 6}
	other := []byte{0, 3, 0, 12, 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 8}
	short := []byte{0, 3, 0, 4, 0, 0, 0, 1}
	malformed := []byte{0, 3, 0, 16, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 6, 0, 5, 0, 1}
	// times returns an IA_NA with T1 and T2 in seconds.
	times := func(t1, t2 uint32) []byte {
		b := binary.BigEndian.AppendUint32([]byte{0, 3, 0, 12, 0, 0, 0, 1}, t1)
		return binary.BigEndian.AppendUint32(b, t2)
	}
	for _, c := range []struct {
		name   string
		b      []byte
		t1, t2 time.Duration
	}{
		{"none", nil, 0, 0},
		{"one", one, 5 * time.Second, 6 * time.Second},
		{"after another one", append(other, one...), 5 * time.Second, 6 * time.Second},
		{"after a short one", append(short, one...), 5 * time.Second, 6 * time.Second},
		{"infinite", times(0xffffffff, 0xffffffff), Infinite, Infinite},
		{"T1 beyond T2", times(7, 6), 0, 0},
		{"T1 without T2", times(7, 0), 7 * time.Second, 0},
		{"malformed options", malformed, 0, 0},
	} {
		m, _ := parse(encode(c.b...))
		ia := identity(m, 1)
		if t1, t2 := lifetime(ia.T1), lifetime(ia.T2); t1 != c.t1 || t2 != c.t2 {
			t.Errorf("%s: identity() has T1 %v, T2 %v, want %v, %v", c.name, t1, t2, c.t1, c.t2)
		}
	}
}

func TestSummary(t *testing.T) {
	e := reach(t, Requesting)
	e.sent.TransactionID = dhcpv6.TransactionID{0, 0x1a, 0x2b}
	const server = " xid 0x1a2b server 0003000102000000000a"
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{e.reply(mtReply, dhcpv6.WithDNS(net.ParseIP("fd00::53")), dhcpv6.WithRapidCommit),
			"REPLY" + server + " address fd00::15 valid 1h0m0s dns fd00::53 rapid commit"},
		{e.reply(mtAdvertise, withIA(0, 0,
			iaAddress("fd00::15", 0, 0xffffffff*time.Second), iaAddress("fd00::16", 0, 0))),
			"ADVERTISE" + server + " address fd00::15 valid infinite address fd00::16"},
		{e.reply(mtReply, noIA, withStatus(iana.StatusNotOnLink)),
			"REPLY" + server + ` status NotOnLink "because"`},
		{e.reply(mtReply, withIAStatus(iana.StatusNoBinding)),
			"REPLY" + server + " status NoBinding"},
		{[]byte{7, 0, 0, 1, 0, 13, 0, 5, 0, 77, 'n', 'o', '\n'}, `REPLY xid 0x1 status 77 "no\n"`},
		{[]byte{77, 0, 0, 1}, "type 77 xid 0x1"},
		{[]byte{0, 0, 0, 0}, "type 0 xid 0x0"},
		{[]byte{7, 0, 0, 0, 0}, "malformed message of 5 bytes"},
		{nil, "malformed message of 0 bytes"},
	} {
		if got := Summary(c.b); got != c.want {
			t.Errorf("Summary(%x) = %s, want %s", c.b, got, c.want)
		}
	}
	for state, want := range map[State]string{
		Soliciting: "SOLICIT xid 0x", Requesting: "REQUEST xid 0x",
		Informing: "INFORMATION-REQUEST xid 0x", Renewing: "RENEW xid 0x",
	} {
		if got := Summary(reach(t, state).c.message); !strings.HasPrefix(got, want) {
			t.Errorf("Summary() = %s, want %s", got, want)
		}
	}
}

// The memory for a message is proportional to its size, whatever its options are.
func TestParseMemory(t *testing.T) {
	const size = 1500
	fill := func(option ...byte) []byte { return encode(bytes.Repeat(option, size/len(option))...) }
	option := func(code byte, value []byte) []byte {
		return append([]byte{0, code, byte(len(value) >> 8), byte(len(value))}, value...)
	}
	var nested []byte
	for len(nested) < size-16 {
		nested = option(3, append(make([]byte, identitySize), nested...))
	}
	// Names for the library's parser: 350 pointers to a name of 700 bytes.
	names := append(bytes.Repeat([]byte{1, 'a'}, 350), 0)
	names = append(names, bytes.Repeat([]byte{0xc0, 0}, 350)...)
	list := option(24, names)
	for name, b := range map[string][]byte{
		"empty options":    fill(0, 99, 0, 0),
		"empty addresses":  fill(0, 5, 0, 0),
		"addresses":        fill(append([]byte{0, 5, 0, 24}, make([]byte, 24)...)...),
		"identities":       fill(append([]byte{0, 3, 0, 12}, make([]byte, 12)...)...),
		"nested":           encode(nested...),
		"names":            encode(list...),
		"names in an IANA": encode(option(3, append(make([]byte, identitySize), list...))...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, ok := parse(b); !ok {
			t.Errorf("%s: parse(%x) is malformed", name, b)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 256*size {
			t.Errorf("%s: parsing %d bytes allocates %d bytes, want at most %d",
				name, len(b), got, 256*size)
		}
	}
}

// FuzzParse parses anything. What package dhcpv6 can parse gives the same results there.
func FuzzParse(f *testing.F) {
	e := reach(&testing.T{}, Requesting)
	f.Add(e.reply(mtReply, dhcpv6.WithDNS(net.ParseIP("fd00::53")),
		dhcpv6.WithDomainSearchList("example.com"), withStatus(iana.StatusSuccess)))
	f.Add(e.reply(mtAdvertise, dhcpv6.WithRapidCommit, withIAStatus(iana.StatusNoAddrsAvail)))
	f.Add(e.c.message)
	f.Fuzz(func(t *testing.T, b []byte) {
		if line := Summary(b); strings.ContainsAny(line, "\n\r\x1b\x00") {
			t.Errorf("Summary(%x) = %q, want no control characters", b, line)
		}
		m, ok := parse(b)
		if len(b) >= headerSize {
			if _, found := find(b[headerSize:], dhcpv6.OptionClientID); found != ok {
				t.Errorf("parse(%x) is well-formed: %v, but find says %v", b, ok, found)
			}
		}
		if ok {
			usable := identity(m, 1).Options.Addresses()
			if len(usable) > len(b)/addressSize {
				t.Errorf("%d addresses in %d bytes", len(usable), len(b))
			}
		}
		want, err := dhcpv6.MessageFromBytes(b)
		if err != nil {
			return // it also rejects flaws in options that the client does not use
		}
		if !ok || m.MessageType != want.MessageType || m.TransactionID != want.TransactionID {
			t.Fatalf("parse(%x) = %v, %v, want %v", b, m, ok, want)
		}
		codes := func(options dhcpv6.Options) (codes []dhcpv6.OptionCode) {
			for _, o := range options {
				codes = append(codes, o.Code())
			}
			return codes
		}
		gotCodes, wantCodes := codes(m.Options.Options), codes(want.Options.Options)
		if !slices.Equal(gotCodes, wantCodes) {
			t.Errorf("options = %v, want %v", gotCodes, wantCodes)
		}
		if s := want.Options.Status(); s != nil && status(m.Options.Options) != *s {
			t.Errorf("status = %v, want %v", status(m.Options.Options), s)
		}
		if d := want.Options.ClientID(); d != nil && d.DUIDType() != dhcpv6.DUID_UUID {
			if got := value(m, dhcpv6.OptionClientID); !bytes.Equal(got, d.ToBytes()) {
				t.Errorf("client = %x, want %x", got, d.ToBytes())
			}
		}
		var servers []netip.Addr
		for _, ip := range want.Options.DNS() {
			if ip.IsGlobalUnicast() || ip.IsLinkLocalUnicast() {
				a, _ := netip.AddrFromSlice(ip)
				servers = append(servers, a)
			}
		}
		if got := nameServers(m); !slices.Equal(got, servers) {
			t.Errorf("name servers = %v, want %v", got, servers)
		}
	})
}
