package resolvconf

import (
	"strings"
	"testing"

	"github.com/krunbox/krunbox/pkg/inet"
)

func server(last byte) Server { return Server{Addr: inet.Addr4([4]byte{192, 0, 2, last})} }

func TestText(t *testing.T) {
	linkLocal := Server{inet.Addr6([16]byte{0xfe, 0x80, 15: 1}), "eth0"}
	global := Server{Addr: inet.Addr6([16]byte{0x20, 1, 0xd, 0xb8, 15: 0x53})}
	long := strings.Repeat("x", 60) + "."
	for _, c := range []struct {
		name    string
		configs []Config
		want    string // after the comment
	}{
		{"nothing", nil, ""},
		{"only domains", []Config{{Search: []string{"example.com"}}}, ""},
		{"servers", []Config{{Servers: []Server{server(1), linkLocal}}}, "nameserver 192.0.2.1\nnameserver fe80::1%eth0\n"},
		{"three at most, none twice", []Config{{Servers: []Server{server(1), server(1), server(2), server(3), server(4)}}},
			"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"},
		{"each source in turn", []Config{
			{Servers: []Server{server(1), server(2), server(3)}, Search: []string{"a.example", "b.example"}},
			{Search: []string{"b.example", "c.example"}},
			{Servers: []Server{global, server(1)}},
		}, "search a.example b.example c.example\nnameserver 192.0.2.1\nnameserver 2001:db8::53\nnameserver 192.0.2.2\n"},
		{"not a name", []Config{{Servers: []Server{server(1)}, Search: []string{"a b", "x\nnameserver 10.0.0.1", "", "ok"}}},
			"search ok\nnameserver 192.0.2.1\n"},
		{"six domains", []Config{{Servers: []Server{server(1)}, Search: strings.Split("a b c d e f g h", " ")}},
			"search a b c d e f\nnameserver 192.0.2.1\n"},
		{"long domains", []Config{{Servers: []Server{server(1)}, Search: []string{long + "a", long + "b", long + "c", long + "d", "f"}}},
			"search " + long + "a " + long + "b " + long + "c f\nnameserver 192.0.2.1\n"},
		{"a line of 255 bytes", []Config{{Servers: []Server{server(1)}, Search: []string{long + "a", long + "b", long + "c", long[:58], "d"}}},
			"search " + long + "a " + long + "b " + long + "c " + long[:58] + "\nnameserver 192.0.2.1\n"},
		{"a line of 256 bytes", []Config{{Servers: []Server{server(1)}, Search: []string{long + "a", long + "b", long + "c", long[:59]}}},
			"search " + long + "a " + long + "b " + long + "c\nnameserver 192.0.2.1\n"},
		{"no addresses of hosts", []Config{{Servers: []Server{{}, {Addr: inet.Addr4([4]byte{})}, server(1)}}}, "nameserver 192.0.2.1\n"},
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
