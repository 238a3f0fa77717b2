package resolvconf

import (
	"net/netip"
	"strings"
	"testing"
)

// server returns the address 192.0.2.last.
func server(last byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, last}) }

// config returns a configuration with the servers 192.0.2.last.
func config(last ...byte) (c Config) {
	for _, b := range last {
		c.Servers = append(c.Servers, server(b))
	}
	return c
}

var linkLocal = netip.MustParseAddr("fe80::1%eth0")

func TestText(t *testing.T) {
	global := netip.MustParseAddr("2001:db8::53")
	servers := func(s ...netip.Addr) []netip.Addr { return s }
	one := config(1).Servers
	long := strings.Repeat("x", 60) + "."
	longest := long + "a " + long + "b " + long + "c "
	for _, c := range []struct {
		name    string
		configs []Config
		want    string // after the header
	}{
		{"nothing", nil, ""},
		{"only domains", []Config{{Search: []string{"example.com"}}}, ""},
		{"servers", []Config{{Servers: servers(server(1), linkLocal)}},
			"nameserver 192.0.2.1\nnameserver fe80::1%eth0\n"},
		{"at most three, without duplicates",
			[]Config{config(1, 1, 2, 3, 4)},
			"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"},
		{"each source in turn", []Config{
			{config(1, 2, 3).Servers, []string{"a.example", "b.example"}},
			{nil, []string{"b.example", "c.example"}},
			{servers(global, server(1)), nil},
		}, "search a.example b.example c.example\n" +
			"nameserver 192.0.2.1\nnameserver 2001:db8::53\nnameserver 192.0.2.2\n"},
		{"invalid names", []Config{{one, []string{"a b", "x\nnameserver 10.0.0.1", "", "ok"}}},
			"search ok\nnameserver 192.0.2.1\n"},
		{"six domains", []Config{{one, strings.Split("a b c d e f g h", " ")}},
			"search a b c d e f\nnameserver 192.0.2.1\n"},
		{"long domains",
			[]Config{{one, []string{long + "a", long + "b", long + "c", long + "d", "f"}}},
			"search " + longest + "f\nnameserver 192.0.2.1\n"},
		{"a line of 255 bytes",
			[]Config{{one, []string{long + "a", long + "b", long + "c", long[:58], "d"}}},
			"search " + longest + long[:58] + "\nnameserver 192.0.2.1\n"},
		{"a line of 256 bytes",
			[]Config{{one, []string{long + "a", long + "b", long + "c", long[:59]}}},
			"search " + strings.TrimSpace(longest) + "\nnameserver 192.0.2.1\n"},
		{"no addresses of hosts",
			[]Config{{Servers: servers(netip.Addr{}, netip.IPv4Unspecified(), server(1))}},
			"nameserver 192.0.2.1\n"},
	} {
		got := string(Merge(c.configs...).Text())
		if want := c.want; want != "" && got != header+want || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
	}
	if lines := strings.Count(header, "\n"); lines != 1 || header[0] != '#' {
		t.Errorf("header is %q", header)
	}
}
