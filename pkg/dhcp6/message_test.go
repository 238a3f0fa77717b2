package dhcp6

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

func TestParse(t *testing.T) {
	build := func(options ...byte) []byte { return append(appendHeader(nil, msgReply, 0x123456), options...) }
	for _, c := range []struct {
		name string
		b    []byte
		want string // option 24, "none", or "malformed"
	}{
		{"no options", build(), "none"},
		{"one", build(0, 24, 0, 1, 'a'), "a"},
		{"empty", build(0, 24, 0, 0), ""},
		{"another", build(24, 0, 0, 1, 'a'), "none"},
		{"second", build(0, 23, 0, 0, 0, 24, 0, 2, 'a', 'b'), "ab"},
		{"twice", build(0, 24, 0, 1, 'a', 0, 24, 0, 1, 'b'), "a"},
		{"overrun", build(0, 24, 0, 2, 'a'), "malformed"},
		{"overrun after it", build(0, 24, 0, 1, 'a', 0, 1, 0xff, 0xff), "malformed"},
		{"no length", build(0, 24, 0), "malformed"},
		{"short", build()[:3], "malformed"},
		{"nothing", nil, "malformed"},
	} {
		m, ok := parse(c.b)
		got := "malformed"
		if ok {
			if got = "none"; m.find(optSearch) != nil {
				got = string(m.find(optSearch))
			}
			if m.kind != msgReply || m.xid != 0x123456 {
				t.Errorf("%s: type %d, xid %#x", c.name, m.kind, m.xid)
			}
		}
		if got != c.want {
			t.Errorf("%s: parse(%x) has %q, want %q", c.name, c.b, got, c.want)
		}
	}
}

func TestIdentity(t *testing.T) {
	one := []byte{0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 6}
	for _, c := range []struct {
		name   string
		b      []byte
		ok     bool
		t1, t2 time.Duration
	}{
		{"none", nil, false, 0, 0},
		{"ours", one, true, 5 * time.Second, 6 * time.Second},
		{"after another's", append([]byte{0, 3, 0, 12, 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 8}, one...), true, 5 * time.Second, 6 * time.Second},
		{"after a short one", append([]byte{0, 3, 0, 4, 0, 0, 0, 1}, one...), true, 5 * time.Second, 6 * time.Second},
		{"never", []byte{0, 3, 0, 12, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255}, true, Infinite, Infinite},
		{"T1 beyond T2", []byte{0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 6}, false, 0, 0},
		{"T1 without T2", []byte{0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0}, true, 7 * time.Second, 0},
		{"malformed inside", []byte{0, 3, 0, 16, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 6, 0, 5, 0, 1}, false, 0, 0},
	} {
		m, _ := parse(append(appendHeader(nil, msgReply, 1), c.b...))
		ia, ok := m.identity(1)
		if ok != c.ok || ok && (ia.t1 != c.t1 || ia.t2 != c.t2) {
			t.Errorf("%s: identity() = %v, %v, %v, want %v, %v, %v", c.name, ia.t1, ia.t2, ok, c.t1, c.t2, c.ok)
		}
	}
}

func TestAppendOption(t *testing.T) {
	if got := appendOption([]byte("x"), 1, make([]byte, 0x10000)...); string(got) != "x" {
		t.Errorf("an option of 65536 bytes becomes %d", len(got))
	}
	if got, want := appendOption(nil, 0x1234, make([]byte, 0xffff)...), []byte{0x12, 0x34, 0xff, 0xff}; !bytes.Equal(got[:4], want) {
		t.Errorf("an option of 65535 bytes begins with %x, want %x", got[:4], want)
	}
}

func TestSummary(t *testing.T) {
	e := reach(t, Requesting)
	e.sent.TransactionID = dhcpv6.TransactionID{0, 0x1a, 0x2b}
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{e.reply(mtReply, dhcpv6.WithDNS(net.ParseIP("fd00::53")), dhcpv6.WithRapidCommit),
			"REPLY xid 0x1a2b server 0003000102000000000a address fd00::15 valid 1h0m0s dns fd00::53 rapid commit"},
		{e.reply(mtAdvertise, ia(0, 0, lifetimes("fd00::15", 0, 0xffffffff*time.Second), lifetimes("fd00::16", 0, 0))),
			"ADVERTISE xid 0x1a2b server 0003000102000000000a address fd00::15 valid infinite address fd00::16"},
		{e.reply(mtReply, noIA, status(iana.StatusNotOnLink)), `REPLY xid 0x1a2b server 0003000102000000000a status NotOnLink "because"`},
		{e.reply(mtReply, iaStatus(iana.StatusNoBinding)), "REPLY xid 0x1a2b server 0003000102000000000a status NoBinding"},
		{[]byte{msgReply, 0, 0, 1, 0, 13, 0, 5, 0, 77, 'n', 'o', '\n'}, `REPLY xid 0x1 status 77 "no\n"`},
		{[]byte{77, 0, 0, 1}, "type 77 xid 0x1"},
		{[]byte{0, 0, 0, 0}, "type 0 xid 0x0"},
		{[]byte{7, 0, 0, 0, 0}, "malformed message of 5 bytes"},
		{nil, "malformed message of 0 bytes"},
	} {
		if got := Summary(c.b); got != c.want {
			t.Errorf("Summary() = %s, want %s", got, c.want)
		}
	}
	for state, want := range map[State]string{
		Soliciting: "SOLICIT xid 0x", Requesting: "REQUEST xid 0x", Informing: "INFORMATION-REQUEST xid 0x", Renewing: "RENEW xid 0x",
	} {
		if got := Summary(reach(t, state).c.buf); !strings.HasPrefix(got, want) {
			t.Errorf("Summary() = %s, want %s", got, want)
		}
	}
}

// FuzzParse compares what parse makes of a message with what insomniacslk/dhcp makes of it.
func FuzzParse(f *testing.F) {
	e := reach(&testing.T{}, Requesting)
	f.Add(e.reply(mtReply, dhcpv6.WithDNS(net.ParseIP("fd00::53")), dhcpv6.WithDomainSearchList("example.com"), status(iana.StatusSuccess)))
	f.Add(e.reply(mtAdvertise, dhcpv6.WithRapidCommit, iaStatus(iana.StatusNoAddrsAvail)))
	f.Add(e.c.buf)
	f.Fuzz(func(t *testing.T, b []byte) {
		if line := Summary(b); strings.ContainsAny(line, "\n\r\x1b\x00") {
			t.Errorf("Summary() = %q", line)
		}
		want, err := dhcpv6.MessageFromBytes(b)
		if err != nil {
			return // it looks into options that we do not use
		}
		m, ok := parse(b)
		if !ok || m.kind != byte(want.MessageType) || !bytes.Equal(b[1:4], want.TransactionID[:]) {
			t.Fatalf("parse(%x) = %+v, %v, want %v", b, m, ok, want)
		}
		var codes []dhcpv6.OptionCode
		for o := m.options; len(o) > 0; {
			code, _, rest, _ := o.cut()
			codes, o = append(codes, dhcpv6.OptionCode(code)), rest
		}
		var wantCodes []dhcpv6.OptionCode
		for _, o := range want.Options.Options {
			wantCodes = append(wantCodes, o.Code())
		}
		if !slices.Equal(codes, wantCodes) {
			t.Errorf("options %v, want %v", codes, wantCodes)
		}
		if s := want.Options.Status(); s != nil && m.status() != uint16(s.StatusCode) {
			t.Errorf("status %d, want %d", m.status(), s.StatusCode)
		}
		if d := want.Options.ClientID(); d != nil && !bytes.Equal(m.find(optClientID), d.ToBytes()) && d.DUIDType() != dhcpv6.DUID_UUID {
			t.Errorf("client %x, want %x", m.find(optClientID), d.ToBytes())
		}
		var servers []net.IP
		for _, ip := range want.Options.DNS() {
			if a := inetAddr(ip); a.IsHost() {
				servers = append(servers, ip)
			}
		}
		if got := m.hosts(optDNS); !slices.EqualFunc(got, servers, equalIP) {
			t.Errorf("name servers %v, want %v", got, servers)
		}
	})
}
