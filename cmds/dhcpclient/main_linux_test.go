package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/pkg/dhcp"
	"github.com/krunbox/krunbox/pkg/dhcp6"
	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/network"
)

// What changes nothing, whatever machine this is: no test here gets as far as an interface.
func TestRun(t *testing.T) {
	for args, want := range map[string]struct {
		code           int
		stdout, stderr string // how they begin
	}{
		"--help":              {0, "usage: dhcpclient ", ""},
		"-bogus":              {2, "", "dhcpclient: -bogus: no such option\n"},
		"eth0":                {2, "", "dhcpclient: eth0: unexpected argument\n"},
		"-timeout soon":       {2, "", `dhcpclient: -timeout: "soon": want a time`},
		"-timeout -1s":        {2, "", `dhcpclient: -timeout: "-1s": want a time`},
		"-n -once":            {2, "", "dhcpclient: -n, -once and -release exclude each other\n"},
		"-release -6":         {2, "", "dhcpclient: -release is for IPv4\n"},
		"-n -i nosuch0":       {4, "", "dhcpclient: find interface nosuch0: no such device\n"},
		"-n -i ../../all":     {4, "", "dhcpclient: configure interface ../../all: not a name"},
		"-n -i nosuch0 -json": {4, "", "dhcpclient: find interface nosuch0: no such device\n"},
	} {
		var stdout, stderr strings.Builder
		code := run(append([]string{"dhcpclient"}, strings.Fields(args)...), strings.NewReader(""), &stdout, &stderr)
		if code != want.code || !strings.HasPrefix(stdout.String(), want.stdout) || !strings.HasPrefix(stderr.String(), want.stderr) ||
			strings.Count(stderr.String(), "\n") > 1 {
			t.Errorf("dhcpclient %s = %d, %q, %q, want %d, %q, %q", args, code, stdout.String(), stderr.String(), want.code, want.stdout, want.stderr)
		}
	}
}

func addr(a, b, c, d byte) inet.Addr { return inet.Addr4([4]byte{a, b, c, d}) }

func addr6(last byte) inet.Addr { return inet.Addr6([16]byte{0x20, 1, 0xd, 0xb8, 15: last}) }

var statuses = []network.Status{
	{
		Name: "eth0", Carrier: true, MTU: 1400,
		Lease: &dhcp.Lease{
			Address: inet.Prefix{Addr: addr(192, 0, 2, 7), Bits: 24}, Server: addr(192, 0, 2, 1), Broadcast: addr(192, 0, 2, 255),
			Routes: []dhcp.Route{{Destination: inet.Prefix{Addr: addr(0, 0, 0, 0)}, Gateway: addr(192, 0, 2, 1)},
				{Destination: inet.Prefix{Addr: addr(10, 0, 0, 0), Bits: 8}}},
			DNS: []inet.Addr{addr(192, 0, 2, 53)}, Domain: "example.org", Search: []string{"a.example", "b.example"}, Hostname: "box",
			Duration: time.Hour, T1: 30 * time.Minute, T2: dhcp.Infinite,
		},
		Routers: []inet.Addr{addr6(1)}, DNS: []inet.Addr{addr6(0x53)}, Search: []string{"a.example"},
		Lease6: &dhcp6.Lease{Addresses: []dhcp6.Address{{Addr: addr6(0x77)}}, DNS: []inet.Addr{addr6(0x53), addr6(0x54)},
			Search: []string{"a.example", "c.example"}},
	},
	{Name: "eth1"},
}

func TestAppendText(t *testing.T) {
	const want = `interface       eth0
address         192.0.2.7/24
server          192.0.2.1
broadcast       192.0.2.255
routes          0.0.0.0/0 via 192.0.2.1, 10.0.0.0/8 on link
dns             192.0.2.53
domain          example.org
search          a.example, b.example
hostname        box
lease           1h0m0s
renew           30m0s
rebind          infinite
mtu             1400
IPv6 routers    2001:db8::1
IPv6 addresses  2001:db8::77
IPv6 dns        2001:db8::53, 2001:db8::54
IPv6 search     a.example, c.example
`
	if got := string(appendText(nil, statuses)); got != want {
		t.Errorf("appendText() =\n%s\nwant\n%s", got, want)
	}
}

func TestAppendJSON(t *testing.T) {
	var got []map[string]any
	if err := json.Unmarshal(appendJSON(nil, statuses), &got); err != nil {
		t.Fatal(err)
	}
	list := func(s ...any) []any { return s }
	want := []map[string]any{{
		"interface": "eth0", "address": "192.0.2.7/24", "server": "192.0.2.1", "broadcast": "192.0.2.255",
		"routes": list("0.0.0.0/0 via 192.0.2.1", "10.0.0.0/8 on link"), "dns": list("192.0.2.53"), "domain": "example.org",
		"search": list("a.example", "b.example"), "hostname": "box", "lease": 3600.0, "renew": 1800.0, "rebind": "infinite", "mtu": 1400.0,
		"ipv6Routers": list("2001:db8::1"), "ipv6Addresses": list("2001:db8::77"), "ipv6Dns": list("2001:db8::53", "2001:db8::54"),
		"ipv6Search": list("a.example", "c.example"),
	}, {"interface": "eth1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("appendJSON() = %v, want %v", got, want)
	}
	if err := json.Unmarshal(appendReleased(nil, "eth0", statuses[0].Lease.Address), &map[string]string{}); err != nil {
		t.Errorf("appendReleased(): %v", err)
	}
}
