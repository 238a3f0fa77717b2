package inet

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var addresses = []string{"0.0.0.0", "10.0.2.15", "127.0.0.1", "169.254.1.1", "192.0.2.255", "224.0.0.1", "240.0.0.1", "255.255.255.255",
	"::", "::1", "1::", "fe80::1", "febf::1", "fec0::1", "ff02::1:2", "2001:db8::1", "2001:db8:0:1:1:1:1:1", "2001:0:0:1::1",
	"1:0:0:2:0:0:0:3", "0:0:1:0:0:1:0:0", "::ffff:192.0.2.1", "1:2:3:4:5:6:7:8", "0:1::", "1:0:2:0:3:0:4:0"}

// TestAddr compares with net/netip.
func TestAddr(t *testing.T) {
	for _, s := range addresses {
		want := netip.MustParseAddr(s)
		a := AddrFrom(want.AsSlice())
		if a.String() != want.String() {
			t.Errorf("String() of %s = %s", want, a)
		}
		if a.Is4() != want.Is4() || a.Is6() != want.Is6() || !bytes.Equal(a.Bytes(), want.AsSlice()) {
			t.Errorf("%s: %v, %v, %v", s, a.Is4(), a.Is6(), a.Bytes())
		}
		if got, want := [4]bool{a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocal()},
			[4]bool{want.IsUnspecified(), want.IsLoopback(), want.IsMulticast(), want.IsLinkLocalUnicast()}; got != want {
			t.Errorf("%s is unspecified, loopback, multicast, link-local: %v, want %v", s, got, want)
		}
		for bits := range 8*len(a.Bytes()) + 1 {
			p, wantPrefix := Prefix{a, bits}, netip.PrefixFrom(want, bits)
			if p.String() != wantPrefix.String() || p.Masked().String() != wantPrefix.Masked().String() {
				t.Errorf("%v masked is %v, want %v masked is %v", p, p.Masked(), wantPrefix, wantPrefix.Masked())
			}
			for _, other := range addresses {
				b := netip.MustParseAddr(other)
				// A netip.Prefix holds no IPv4-mapped addresses.
				if got := p.Contains(AddrFrom(b.AsSlice())); got != wantPrefix.Contains(b) && !b.Is4In6() && !want.Is4In6() {
					t.Errorf("%v contains %v: %v", p, b, got)
				}
			}
		}
	}
	for _, b := range [][]byte{nil, {1}, make([]byte, 5), make([]byte, 17)} {
		if a := AddrFrom(b); a != (Addr{}) || a.IsValid() || a.String() != "none" || a.IsHost() || a.IsUnspecified() {
			t.Errorf("AddrFrom(%v) = %v, want no address", b, a)
		}
	}
}

func FuzzAddrString(f *testing.F) {
	for _, s := range addresses {
		f.Add(netip.MustParseAddr(s).AsSlice())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want, ok := netip.AddrFromSlice(b)
		if a := AddrFrom(b); a.IsValid() != ok || ok && a.String() != want.String() {
			t.Errorf("AddrFrom(%v) = %v, want %v", b, a, want)
		}
	})
}

func TestPrefix(t *testing.T) {
	p := Prefix{Addr4([4]byte{10, 0, 2, 15}), 23}
	if got := p.Broadcast().String(); got != "10.0.3.255" {
		t.Errorf("broadcast address of %v = %s, want 10.0.3.255", p, got)
	}
	for _, invalid := range []Prefix{{}, {p.Addr, -1}, {p.Addr, 33}, {Addr6([16]byte{}), 129}} {
		if invalid.IsValid() {
			t.Errorf("%v is valid", invalid)
		}
	}
	for _, c := range []struct {
		mask [4]byte
		bits int
		ok   bool
	}{
		{[4]byte{}, 0, true},
		{[4]byte{255, 255, 254, 0}, 23, true},
		{[4]byte{255, 255, 255, 255}, 32, true},
		{[4]byte{255, 0, 255, 0}, 0, false},
		{[4]byte{0, 0, 0, 255}, 0, false},
	} {
		if bits, ok := MaskBits(c.mask); bits != c.bits || ok != c.ok {
			t.Errorf("MaskBits(%v) = %d, %v, want %d, %v", c.mask, bits, ok, c.bits, c.ok)
		}
	}
}

func TestIsHost(t *testing.T) {
	for s, want := range map[string]bool{"10.0.2.15": true, "0.1.2.3": false, "127.0.0.1": false, "224.0.0.1": false, "240.1.1.1": false,
		"255.255.255.255": false, "169.254.1.1": true, "::": false, "::1": false, "ff02::1": false, "fe80::1": true, "2001:db8::1": true} {
		if got := AddrFrom(netip.MustParseAddr(s).AsSlice()).IsHost(); got != want {
			t.Errorf("IsHost of %s = %v, want %v", s, got, want)
		}
	}
}

func TestChecksum(t *testing.T) {
	// The header of RFC 1071's successor in every textbook: checksum b861.
	header := []byte{0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7}
	if got := Checksum(header); got != 0xb861 {
		t.Errorf("Checksum() = %#x, want 0xb861", got)
	}
	header[10], header[11] = 0xb8, 0x61
	if got := Checksum(header[:8], header[8:]); got != 0 {
		t.Errorf("Checksum() with the right checksum = %#x, want 0", got)
	}
	if got, want := Checksum([]byte{1, 2, 3}), Checksum([]byte{1, 2}, []byte{3, 0}); got != want {
		t.Errorf("Checksum() of an odd number of bytes = %#x, want %#x", got, want)
	}
}

func TestParseNames(t *testing.T) {
	long := strings.Repeat("\x3f"+strings.Repeat("a", 63), 4) + "\x00"
	for _, c := range []struct {
		data       string
		compressed bool
		want       string // "error", or the names
	}{
		{"", true, ""},
		{"\x07example\x03com\x00", false, "example.com"},
		{"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04", true, "eng.apple.com marketing.apple.com"}, // RFC 3397
		{"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04\x01x\x00", true, "eng.apple.com marketing.apple.com x"},
		{"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04", false, "error"},
		{"\x01a\x00\x00\x00\x00\x01b\x00\x00", false, "a b"},
		{"\x01a\xc0\x00", true, "error"},
		{"\xc0\x00", true, "error"},
		{"\xc0\x02\xc0\x00", true, "error"},
		{"\x01a\xc0", true, "error"},
		{"\x05abc", true, "error"},
		{"\x01a", true, "error"},
		{"\x40" + strings.Repeat("a", 64) + "\x00", true, "error"},
		{long, true, "error"},
		{"\x03a\nb\x00\x02ok\x00", false, "ok"},
		{"\x03a b\x00\x03a.b\x00\x02-x\x00", false, ""},
	} {
		names, err := ParseNames([]byte(c.data), c.compressed)
		got := strings.Join(names, " ")
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("ParseNames(%q, %v) = %q, %v, want %q", c.data, c.compressed, names, err, c.want)
		}
	}
}

func FuzzParseNames(f *testing.F) {
	f.Add([]byte("\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04"), true)
	f.Add([]byte("\x01a\xc0\x00"), true)
	f.Fuzz(func(t *testing.T, b []byte, compressed bool) {
		names, err := ParseNames(b, compressed)
		if err != nil && names != nil {
			t.Errorf("names %q and the error %v", names, err)
		}
		if slices.ContainsFunc(names, func(name string) bool { return !ValidName(name) }) {
			t.Errorf("ParseNames(%q) = %q: not all valid", b, names)
		}
	})
}
