package ndp

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/pkg/dnsname"
)

// addr parses an address.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// message encodes an advertisement with a router lifetime in seconds: RFC 4861 section 4.2.
func message(flags byte, lifetime uint16, options ...[]byte) []byte {
	b := []byte{134, 0, 0, 0, 64, flags, byte(lifetime >> 8), byte(lifetime), 15: 0}
	return append(b, slices.Concat(options...)...)
}

// option encodes an option, padded with zeros to a multiple of 8 bytes.
func option(kind byte, data ...byte) []byte {
	b := append([]byte{kind, 0}, data...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	b[1] = byte(len(b) / 8)
	return b
}

// rdnss encodes a Recursive DNS Server option: RFC 8106 section 5.1.
func rdnss(lifetime uint32, servers ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0, 0}, lifetime)
	for _, s := range servers {
		b = append(b, addr(s).AsSlice()...)
	}
	return option(25, b...)
}

// dnssl encodes a DNS Search List option: RFC 8106 section 5.2.
func dnssl(lifetime uint32, names ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0, 0}, lifetime)
	for _, name := range names {
		for label := range strings.SplitSeq(name, ".") {
			b = append(append(b, byte(len(label))), label...)
		}
		b = append(b, 0)
	}
	return option(31, b...)
}

// Options that only the kernel uses: RFC 4861 sections 4.6.1, 4.6.4 and 4.6.2.
var (
	sourceLinkLayer = option(1, 0x52, 0x55, 10, 0, 2, 2)
	mtu             = option(5, 0, 0, 0, 0, 0x05, 0xdc)
	prefix          = option(3, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0,
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
)

func TestParse(t *testing.T) {
	router := addr("fe80::1")
	minute := time.Minute
	for _, c := range []struct {
		name string
		b    []byte
		want Advertisement // without its Router
	}{
		{"no options", message(0, 0), Advertisement{}},
		{"managed", message(0x80, 1800), Advertisement{RouterLifetime: 30 * minute, Managed: true}},
		{"other", message(0x40, 0xffff),
			Advertisement{RouterLifetime: 65535 * time.Second, Other: true}},
		{"unknown flags", message(0x3f, 0), Advertisement{}},
		{"options for the kernel", message(0, 0, sourceLinkLayer, mtu, prefix), Advertisement{}},
		{"unknown option",
			message(0, 0, option(200, make([]byte, 255*8-2)...), rdnss(60, "2001:db8::1")),
			Advertisement{Servers: []Server{{addr("2001:db8::1"), minute}}}},

		{"server", message(0, 0, rdnss(60, "2001:db8::1")),
			Advertisement{Servers: []Server{{addr("2001:db8::1"), minute}}}},
		{"servers", message(0, 0, mtu, rdnss(60, "fe80::1", "fd00::1"), prefix,
			rdnss(0xffffffff, "fd00::2"), rdnss(0, "fd00::3")), Advertisement{Servers: []Server{
			{router, minute}, {addr("fd00::1"), minute},
			{addr("fd00::2"), Infinite}, {addr("fd00::3"), 0},
		}}},
		{"the longest finite lifetime", message(0, 0, rdnss(0xfffffffe, "fd00::1")),
			Advertisement{Servers: []Server{{addr("fd00::1"), 0xfffffffe * time.Second}}}},
		{"unusable servers", message(0, 0, rdnss(60, "::", "::1", "ff02::1", "fd00::1")),
			Advertisement{Servers: []Server{{addr("fd00::1"), minute}}}},
		{"no servers", message(0, 0, rdnss(60)), Advertisement{}},
		{"half a server", message(0, 0, option(25, make([]byte, 14)...), rdnss(60, "fd00::1")),
			Advertisement{Servers: []Server{{addr("fd00::1"), minute}}}},
		{"a server and a half", message(0, 0, option(25, make([]byte, 30)...)), Advertisement{}},
		{"127 servers", message(0, 0, rdnss(60, slices.Repeat([]string{"fd00::1"}, 127)...)),
			Advertisement{Servers: slices.Repeat([]Server{{addr("fd00::1"), minute}}, 127)}},

		{"domains", message(0, 0, dnssl(60, "example.com", "lan"), dnssl(0xffffffff, "a.b.c.d")),
			Advertisement{Search: []Domain{
				{"example.com", minute}, {"lan", minute}, {"a.b.c.d", Infinite},
			}}},
		{"domain without padding", message(0, 0, dnssl(60, "abcdef")),
			Advertisement{Search: []Domain{{"abcdef", minute}}}},
		{"no domains", message(0, 0, dnssl(60)), Advertisement{}},
		{"only padding", message(0, 0, option(31, make([]byte, 14)...)), Advertisement{}},
		{"domain beyond the option", message(0, 0,
			option(31, 0, 0, 0, 0, 0, 60, 9, 'e', 'x', 'a', 'm', 'p', 'l', 'e'),
			rdnss(60, "fd00::1")),
			Advertisement{Servers: []Server{{addr("fd00::1"), minute}}}},
		{"compressed domain",
			message(0, 0, option(31, 0, 0, 0, 0, 0, 60, 1, 'a', 0, 1, 'b', 0xc0, 0)),
			Advertisement{}},
		{"unusable domains", message(0, 0, dnssl(60, "a b", "x\ny", "-x", "ok")),
			Advertisement{Search: []Domain{{"ok", minute}}}},
	} {
		c.want.Router = router
		if got, err := Parse(c.b, router, 255); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: Parse() = %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

// TestParseDiscards checks the rules of RFC 4861 section 6.1.2 with messages that break one each.
func TestParseDiscards(t *testing.T) {
	good := func() []byte { return message(0x80, 1800, mtu, rdnss(60, "fd00::1")) }
	changed := func(at int, value byte) []byte {
		b := good()
		b[at] = value
		return b
	}
	if _, err := Parse(good(), addr("fe80::1"), 255); err != nil {
		t.Fatalf("Parse of a valid advertisement: %v", err)
	}
	for _, c := range []struct {
		name     string
		b        []byte
		source   netip.Addr
		hopLimit int
	}{
		{"hop limit 254", good(), addr("fe80::1"), 254},
		{"hop limit unknown", good(), addr("fe80::1"), -1},
		{"hop limit 511", good(), addr("fe80::1"), 256 + 255},
		{"global source", good(), addr("2001:db8::1"), 255},
		{"site-local source", good(), addr("fec0::1"), 255},
		{"unspecified source", good(), addr("::"), 255},
		{"IPv4 source", good(), addr("169.254.0.1"), 255},
		{"IPv4-mapped source", good(), addr("::ffff:169.254.0.1"), 255},
		{"no source", good(), netip.Addr{}, 255},
		{"solicitation", changed(0, 133), addr("fe80::1"), 255},
		{"code 1", changed(1, 1), addr("fe80::1"), 255},
		{"option of length 0", changed(17, 0), addr("fe80::1"), 255},
		{"option too long", changed(17, 255), addr("fe80::1"), 255},
		{"option beyond the end", append(good(), 25, 4, 0, 0, 0, 0, 0, 60), addr("fe80::1"), 255},
		{"half an option", append(good(), 25, 1, 0, 0), addr("fe80::1"), 255},
		{"one byte of an option", append(good(), 0), addr("fe80::1"), 255},
		{"truncated", good()[:15], addr("fe80::1"), 255},
		{"empty", nil, addr("fe80::1"), 255},
	} {
		a, err := Parse(c.b, c.source, c.hopLimit)
		if err == nil || !reflect.DeepEqual(a, Advertisement{}) {
			t.Errorf("%s: Parse() = %+v, %v, want an error", c.name, a, err)
		}
	}
}

// checkAdvertisement checks what Parse promises for a message of size bytes.
func checkAdvertisement(t *testing.T, a Advertisement, size int) {
	t.Helper()
	possible := func(d time.Duration) bool {
		return d >= 0 && d <= 0xfffffffe*time.Second || d == Infinite
	}
	for _, s := range a.Servers {
		usable := s.Addr.IsGlobalUnicast() || s.Addr.IsLinkLocalUnicast()
		if !s.Addr.Is6() || !usable || !possible(s.Lifetime) {
			t.Errorf("server %v with lifetime %v", s.Addr, s.Lifetime)
		}
	}
	for _, d := range a.Search {
		if !dnsname.Valid(d.Name) || !possible(d.Lifetime) {
			t.Errorf("domain %q with lifetime %v", d.Name, d.Lifetime)
		}
	}
	if len(a.Servers) > size/16 || len(a.Search) > size/3 {
		t.Errorf("%d servers and %d domains in %d bytes", len(a.Servers), len(a.Search), size)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message(0xc0, 1800, sourceLinkLayer, mtu, prefix, rdnss(60, "fd00::1", "fe80::1"),
		dnssl(60, "example.com", "lan")))
	f.Add(message(0, 0, option(25, make([]byte, 14)...), option(31, 0, 0, 0, 0, 0, 60, 0xc0, 0)))
	f.Add(message(0, 0, rdnss(0xffffffff, "fd00::1"), []byte{31, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := string(b)
		a, err := Parse(b, addr("fe80::1"), 255)
		if err != nil && !reflect.DeepEqual(a, Advertisement{}) {
			t.Errorf("Parse(%x) = %+v, %v, want no advertisement", b, a, err)
		}
		checkAdvertisement(t, a, len(b))
		if string(b) != before {
			t.Errorf("Parse changed the message to %x", b)
		}
	})
}
