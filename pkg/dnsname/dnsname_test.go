package dnsname

import (
	"slices"
	"strings"
	"testing"
)

func TestValid(t *testing.T) {
	label := strings.Repeat("a", maxLabel)
	long := strings.Repeat(label+".", 3) + strings.Repeat("a", 61)
	for name, want := range map[string]bool{
		"a": true, "example.com": true, "Guest-1_x.0": true, label: true, long: true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "-a": false, "a.-b": false,
		"a b": false, "a\nb": false, "a\x00": false, "é": false, "$(reboot)": false, "a/b": false,
		label + "a": false, long + "a": false,
	} {
		if got := Valid(name); got != want {
			t.Errorf("Valid(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	long := strings.Repeat("\x3f"+strings.Repeat("a", 63), 4) + "\x00"
	for _, c := range []struct {
		data       string
		compressed bool
		want       string // "error", or the names
	}{
		{"", true, ""},
		{"\x07example\x03com\x00", false, "example.com"},
		// The example of RFC 3397.
		{"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04", true,
			"eng.apple.com marketing.apple.com"},
		{"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04\x01x\x00", true,
			"eng.apple.com marketing.apple.com x"},
		{"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04", false, "error"},
		// A pointer to a name that ends in a pointer.
		{"\x01a\x00\x01b\xc0\x00\x01c\xc0\x03\x01d\x00", true, "a b.a c.b.a d"},
		{"\x01a\x00\x00\x00\x00\x01b\x00\x00", false, "a b"},
		// The name that the pointer leads to has a label which covers the pointer.
		{"\x02\x04x\x00\xc0\x01\x01b\x00", true, "b"},
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
		names, err := Parse([]byte(c.data), c.compressed)
		got := strings.Join(names, " ")
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("Parse(%q, %v) = %q, %v, want %q", c.data, c.compressed, names, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04"), true)
	f.Add([]byte("\x01a\xc0\x00"), true)
	f.Fuzz(func(t *testing.T, b []byte, compressed bool) {
		names, err := Parse(b, compressed)
		if err != nil && names != nil {
			t.Errorf("Parse(%q, %v) = %q, %v, want no names", b, compressed, names, err)
		}
		if slices.ContainsFunc(names, func(name string) bool { return !Valid(name) }) {
			t.Errorf("Parse(%q, %v) = %q, want valid names only", b, compressed, names)
		}
	})
}
