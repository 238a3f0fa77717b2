package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/dhcp6"
	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/network"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What changes nothing, whatever machine this is: no test here gets as far as an interface.
func TestRun(t *testing.T) {
	for args, want := range map[string]struct {
		code           int
		stdout, stderr string // how they begin
	}{
		"--help":              {0, usage, ""},
		"-bogus":              {2, "", "dhcpclient: -bogus: no such option\n"},
		"eth0":                {2, "", "dhcpclient: eth0: unexpected argument\n"},
		"-timeout soon":       {2, "", `dhcpclient: -timeout: "soon": want a time`},
		"-timeout -1s":        {2, "", `dhcpclient: -timeout: "-1s": want a time`},
		"-n -once":            {2, "", "dhcpclient: -n, -once and -release exclude each other\n"},
		"-release -6":         {2, "", "dhcpclient: -release is for IPv4\n"},
		"-release -i all":     {2, "", "dhcpclient: -release needs the names of interfaces\n"},
		"-n -release":         {2, "", "dhcpclient: -n, -once and -release exclude each other\n"},
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

// The help has examples, each of which would be accepted.
func TestExamples(t *testing.T) {
	_, examples, ok := strings.Cut(usage, "\nExamples:\n")
	if !ok {
		t.Fatal("the help has no examples")
	}
	for line := range strings.Lines(examples) {
		command, _, _ := strings.Cut(line, "#")
		command, _, _ = strings.Cut(command, "|")
		args := strings.Fields(command)
		var c client
		if c.parse(args[1:]) != nil || args[0] != "dhcpclient" {
			t.Errorf("%q is no example", line)
		}
	}
}

// It acts on no machine that somebody might work at, and says why. To ask for offers is no act.
func TestGuardInNamespace(t *testing.T) {
	const child = "KRUNBOX_TEST_DHCPCLIENT"
	if args, ok := os.LookupEnv(child); ok {
		os.Exit(run(append([]string{"dhcpclient"}, strings.Fields(args)...), os.Stdin, os.Stdout, os.Stderr))
	}
	nstest.Run(t, func(t *testing.T, _ string) {
		for args, want := range map[string]string{
			"-i nosuch0":                 guard.ErrOwnMachine.Error(),
			"-i nosuch0 -once -json":     guard.ErrOwnMachine.Error(),
			"-i nosuch0 -release":        guard.ErrOwnMachine.Error(),
			"-resume":                    guard.ErrOwnMachine.Error(),
			"-i nosuch0 -n":              "find interface nosuch0: no such device",
			"-i nosuch0 -release -force": "find interface nosuch0: no such device",
			"-resume -force":             "malformed hand-over of the network",
		} {
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestGuardInNamespace$")
			cmd.Env = append(os.Environ(), child+"="+args)
			out, err := cmd.CombinedOutput()
			if got := "dhcpclient: " + want + "\n"; string(out) != got || cmd.ProcessState.ExitCode() != failed {
				t.Errorf("dhcpclient %s = %v, %q, want %d, %q", args, err, out, failed, got)
			}
		}
	})
}

// What becomes of an interface where nobody answers, and of one that nothing is connected to.
func TestNoAnswerInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"}
		if err := errors.Join(netlink.LinkAdd(veth), netlink.LinkSetUp(veth)); err != nil {
			t.Fatal(err)
		}
		peer, err := netlink.LinkByName("peer")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []struct {
			args   string
			code   int
			stderr string
		}{
			{"-n -4", failed, "dhcpclient: eth0 is missing or not connected: network is down\n"},
			{"-once -4 -i eth0,eth1", failed, "dhcpclient: eth0 is missing or not connected: network is down\n" +
				"dhcpclient: eth1 is missing or not connected: network is down\n"},
			{"", 0, ""}, // to plug the cable in
			{"-n -4 -timeout 10ms", noAnswer, "dhcpclient: eth0: no answer within 10ms\n"},
			{"-once -i all -timeout 10ms", noAnswer, "dhcpclient: peer: no answer within 10ms\ndhcpclient: eth0: no answer within 10ms\n"},
			{"-n -6 -json -timeout 10ms", noAnswer, "dhcpclient: eth0: no answer within 10ms\n"},
			{"-release -timeout 10ms", failed, "dhcpclient: eth0: no address from a lease: cannot assign requested address\n"},
		} {
			if want.args == "" {
				if err := netlink.LinkSetUp(peer); err != nil {
					t.Fatal(err)
				}
				continue
			}
			var stdout, stderr strings.Builder
			code := run(append([]string{"dhcpclient"}, strings.Fields(want.args)...), nil, &stdout, &stderr)
			if code != want.code || stderr.String() != want.stderr {
				t.Errorf("dhcpclient %s = %d, %q, want %d, %q", want.args, code, stderr.String(), want.code, want.stderr)
			}
			if strings.Contains(want.args, "-json") && !json.Valid([]byte(stdout.String())) {
				t.Errorf("%q is no JSON", stdout.String())
			}
		}
	})
}

// Exit codes say what is wrong with the interface that is worst off.
func TestReport(t *testing.T) {
	leased := network.Status{Name: "ok", Carrier: true, Lease: statuses[0].Lease}
	for _, c := range []struct {
		statuses []network.Status
		code     int
		stderr   string
	}{
		{nil, 0, ""},
		{[]network.Status{leased}, 0, ""},
		{[]network.Status{{Name: "six", Carrier: true, Routers: statuses[0].Routers}}, 0, ""},
		{[]network.Status{{Name: "six", Carrier: true, Lease6: statuses[0].Lease6}}, 0, ""},
		{[]network.Status{leased, {Name: "a", Carrier: true}}, noAnswer, "dhcpclient: a: no answer within 10s\n"},
		{[]network.Status{{Name: "a", Carrier: true}, {Name: "b", Carrier: true, Refused: true}}, refused,
			"dhcpclient: a: no answer within 10s\ndhcpclient: b: the server refused a lease\n"},
		{[]network.Status{{Name: "b", Carrier: true, Refused: true}, {Name: "c"}}, failed,
			"dhcpclient: b: the server refused a lease\ndhcpclient: c is missing or not connected: network is down\n"},
		// That it could not be applied was said when it was tried.
		{[]network.Status{{Name: "d", Carrier: true, Lease: statuses[0].Lease, Failed: true}, leased}, failed, ""},
	} {
		var stdout, stderr strings.Builder
		cl := client{timeout: 10 * time.Second, stdout: &stdout, stderr: &stderr}
		if code := cl.report(c.statuses); code != c.code || stderr.String() != c.stderr {
			t.Errorf("report(%+v) = %d, %q, want %d, %q", c.statuses, code, stderr.String(), c.code, c.stderr)
		}
		if got := string(appendText(nil, c.statuses)); stdout.String() != got {
			t.Errorf("report(%+v) prints %q, want %q", c.statuses, stdout.String(), got)
		}
	}
	full := client{stdout: failingWriter{}, stderr: io.Discard}
	if code := full.report([]network.Status{leased}); code != failed {
		t.Errorf("report that can't be written = %d, want %d", code, failed)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, unix.ENOSPC }

func addr(a, b, c, d byte) inet.Addr { return inet.Addr4([4]byte{a, b, c, d}) }

func addr6(last byte) inet.Addr { return inet.Addr6([16]byte{0x20, 1, 0xd, 0xb8, 15: last}) }

var statuses = []network.Status{
	{
		Name: "eth0", Carrier: true, MTU: 1400,
		Lease: &dhcp4.Lease{
			Address: inet.Prefix{Addr: addr(192, 0, 2, 7), Bits: 24}, Server: addr(192, 0, 2, 1), Broadcast: addr(192, 0, 2, 255),
			Routes: []dhcp4.Route{{Destination: inet.Prefix{Addr: addr(0, 0, 0, 0)}, Gateway: addr(192, 0, 2, 1)},
				{Destination: inet.Prefix{Addr: addr(10, 0, 0, 0), Bits: 8}}},
			DNS: []inet.Addr{addr(192, 0, 2, 53)}, Domain: "example.org", Search: []string{"a.example", "b.example"}, Hostname: "box",
			Duration: time.Hour, T1: 30 * time.Minute, T2: dhcp4.Infinite,
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
