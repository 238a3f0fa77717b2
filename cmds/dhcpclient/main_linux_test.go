package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/dhcp6"
	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/network"
)

// command runs dhcpclient with arguments that are separated by blanks.
func command(args string, stdout, stderr io.Writer) int {
	argv := append([]string{"dhcpclient"}, strings.Fields(args)...)
	return run(argv, strings.NewReader(""), stdout, stderr)
}

// TestRun has command lines that change nothing: none of them gets as far as an interface.
func TestRun(t *testing.T) {
	const exclusive = "dhcpclient: -n, -once and -release exclude each other\n"
	const missing = "dhcpclient: find interface nosuch0: no such device\n"
	for args, want := range map[string]struct {
		code           int
		stdout, stderr string // how they begin
	}{
		"--help":              {0, usage, ""},
		"-bogus":              {2, "", "dhcpclient: flag provided but not defined: -bogus\n"},
		"eth0":                {2, "", `dhcpclient: unexpected argument "eth0"` + "\n"},
		"-timeout soon":       {2, "", `dhcpclient: invalid value "soon" for flag -timeout`},
		"-timeout -1s":        {2, "", "dhcpclient: -timeout: -1s is negative"},
		"-n -once":            {2, "", exclusive},
		"-release -6":         {2, "", "dhcpclient: -release is for IPv4\n"},
		"-release -i all":     {2, "", "dhcpclient: -release needs the names of interfaces\n"},
		"-status -n":          {2, "", "dhcpclient: -status takes no option but -json\n"},
		"-status":             {4, "", "dhcpclient: init keeps no leases here: "},
		"-n -release":         {2, "", exclusive},
		"-once -release":      {2, "", exclusive},
		"-n -i nosuch0":       {4, "", missing},
		"-n -i ../../all":     {4, "", "dhcpclient: configure interface ../../all: not a name"},
		"-n -i nosuch0 -json": {4, "", missing},
	} {
		var stdout, stderr strings.Builder
		code := command(args, &stdout, &stderr)
		if code != want.code || !strings.HasPrefix(stdout.String(), want.stdout) ||
			!strings.HasPrefix(stderr.String(), want.stderr) ||
			strings.Count(stderr.String(), "\n") > 1 {
			t.Errorf("dhcpclient %s = %d, %q, %q, want %d, %q, %q", args,
				code, stdout.String(), stderr.String(), want.code, want.stdout, want.stderr)
		}
	}
}

// TestExamples parses the examples of the usage.
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
			t.Errorf("example %q is not a valid command", line)
		}
	}
}

// TestGuardInNamespace checks that dhcpclient refuses to change this machine, and only asks for
// offers.
func TestGuardInNamespace(t *testing.T) {
	const child = "KRUNBOX_TEST_DHCPCLIENT"
	if args, ok := os.LookupEnv(child); ok {
		os.Exit(command(args, os.Stdout, os.Stderr))
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		other := nstest.CopySelf(t, dir)
		for args, want := range map[string]string{
			"-i nosuch0":                 guard.ErrOwnMachine.Error(),
			"-i nosuch0 -once -json":     guard.ErrOwnMachine.Error(),
			"-i nosuch0 -release":        guard.ErrOwnMachine.Error(),
			"-resume":                    guard.ErrOwnMachine.Error(),
			"-i nosuch0 -n":              "find interface nosuch0: no such device",
			"-i nosuch0 -release -force": "find interface nosuch0: no such device",
			"-resume -force":             "malformed handover of the network: ",
		} {
			cmd := exec.Command(other, "-test.run=^TestGuardInNamespace$")
			cmd.Env = append(os.Environ(), child+"="+args)
			out, err := cmd.CombinedOutput()
			want = "dhcpclient: " + want
			if !strings.HasPrefix(string(out), want) || strings.Count(string(out), "\n") != 1 ||
				cmd.ProcessState.ExitCode() != failed {
				t.Errorf("dhcpclient %s = %v, %q, want %d, %q", args, err, out, failed, want)
			}
		}
	})
}

// TestNoAnswerInNamespace has interfaces without a server, and without a carrier.
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
		notConnected := func(name string) string {
			return "dhcpclient: " + name + " is missing or not connected: network is down\n"
		}
		noAnswerOn := func(name string) string {
			return "dhcpclient: " + name + ": no answer within 10ms\n"
		}
		for _, want := range []struct {
			args   string
			code   int
			stderr string
		}{
			{"-n -4", failed, notConnected("eth0")},
			{"-once -4 -i eth0,eth1", failed, notConnected("eth0") + notConnected("eth1")},
			{"", 0, ""}, // plug the cable in
			{"-n -4 -timeout 10ms", noAnswer, noAnswerOn("eth0")},
			{"-once -i all -timeout 10ms", noAnswer, noAnswerOn("peer") + noAnswerOn("eth0")},
			{"-n -6 -json -timeout 10ms", noAnswer, noAnswerOn("eth0")},
			{"-release -timeout 10ms", failed, "dhcpclient: eth0: no address from a lease: " +
				"cannot assign requested address\n"},
		} {
			if want.args == "" {
				if err := netlink.LinkSetUp(peer); err != nil {
					t.Fatal(err)
				}
				continue
			}
			var stdout, stderr strings.Builder
			code := command(want.args, &stdout, &stderr)
			if code != want.code || stderr.String() != want.stderr {
				t.Errorf("dhcpclient %s = %d, %q, want %d, %q",
					want.args, code, stderr.String(), want.code, want.stderr)
			}
			if strings.Contains(want.args, "-json") && !json.Valid([]byte(stdout.String())) {
				t.Errorf("dhcpclient %s prints %q, want JSON", want.args, stdout.String())
			}
		}
	})
}

// TestReport checks the exit code, which is that of the interface with the worst state.
func TestReport(t *testing.T) {
	leased := network.Status{Name: "ok", Carrier: true, Lease: statuses[0].Lease}
	silent := network.Status{Name: "a", Carrier: true}
	refusing := network.Status{Name: "b", Carrier: true, Refused: true}
	failing := network.Status{Name: "d", Carrier: true, Lease: leased.Lease, Failed: true}
	for _, c := range []struct {
		statuses []network.Status
		code     int
		stderr   string
	}{
		{nil, 0, ""},
		{[]network.Status{leased}, 0, ""},
		{[]network.Status{{Name: "six", Carrier: true, Routers: statuses[0].Routers}}, 0, ""},
		{[]network.Status{{Name: "six", Carrier: true, Lease6: statuses[0].Lease6}}, 0, ""},
		{[]network.Status{leased, silent}, noAnswer, "dhcpclient: a: no answer within 10s\n"},
		{[]network.Status{silent, refusing}, refused,
			"dhcpclient: a: no answer within 10s\ndhcpclient: b: the server refused a lease\n"},
		{[]network.Status{refusing, {Name: "c"}}, failed,
			"dhcpclient: b: the server refused a lease\n" +
				"dhcpclient: c is missing or not connected: network is down\n"},
		// The failure has already been reported.
		{[]network.Status{failing, leased}, failed, ""},
	} {
		var stdout, stderr strings.Builder
		cl := client{timeout: 10 * time.Second, stdout: &stdout, stderr: &stderr}
		if code := cl.report(c.statuses); code != c.code || stderr.String() != c.stderr {
			t.Errorf("report(%+v) = %d, %q, want %d, %q",
				c.statuses, code, stderr.String(), c.code, c.stderr)
		}
		var want strings.Builder
		if writeText(&want, fieldsOf(c.statuses)); stdout.String() != want.String() {
			t.Errorf("report(%+v) prints %q, want %q", c.statuses, stdout.String(), want.String())
		}
	}
	full := client{stdout: failingWriter{}, stderr: io.Discard}
	if code := full.report([]network.Status{leased}); code != failed {
		t.Errorf("report to a full device = %d, want %d", code, failed)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, unix.ENOSPC }

func addrs(list ...string) (all []netip.Addr) {
	for _, s := range list {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

var statuses = []network.Status{
	{
		Name: "eth0", Carrier: true, MTU: 1400,
		Lease: &dhcp4.Lease{
			Address:   netip.MustParsePrefix("192.0.2.7/24"),
			Server:    netip.MustParseAddr("192.0.2.1"),
			Broadcast: netip.MustParseAddr("192.0.2.255"),
			Routes: []dhcp4.Route{
				{
					Destination: netip.MustParsePrefix("0.0.0.0/0"),
					Gateway:     netip.MustParseAddr("192.0.2.1"),
				},
				{Destination: netip.MustParsePrefix("10.0.0.0/8")},
			},
			DNS:    addrs("192.0.2.53"),
			Domain: "example.org", Search: []string{"a.example", "b.example"}, Hostname: "box",
			Duration: time.Hour, T1: 30 * time.Minute, T2: dhcp4.Infinite,
		},
		Routers: addrs("2001:db8::1"),
		DNS:     addrs("2001:db8::53"),
		Search:  []string{"a.example"},
		Lease6: &dhcp6.Lease{
			Addresses: []dhcp6.Address{{Addr: netip.MustParseAddr("2001:db8::77")}},
			DNS:       addrs("2001:db8::53", "2001:db8::54"),
			Search:    []string{"a.example", "c.example"},
		},
	},
	{Name: "eth1"},
}

func TestWriteText(t *testing.T) {
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
	var got strings.Builder
	if err := writeText(&got, fieldsOf(statuses)); err != nil || got.String() != want {
		t.Errorf("writeText() = %v,\n%s\nwant\n%s", err, got.String(), want)
	}
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	if err := writeJSON(&b, fieldsOf(statuses)); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	list := func(s ...any) []any { return s }
	want := []map[string]any{{
		"interface": "eth0", "address": "192.0.2.7/24", "server": "192.0.2.1",
		"broadcast": "192.0.2.255",
		"routes":    list("0.0.0.0/0 via 192.0.2.1", "10.0.0.0/8 on link"),
		"dns":       list("192.0.2.53"), "domain": "example.org",
		"search": list("a.example", "b.example"), "hostname": "box",
		"lease": 3600.0, "renew": 1800.0, "rebind": "infinite", "mtu": 1400.0,
		"ipv6Routers":   list("2001:db8::1"),
		"ipv6Addresses": list("2001:db8::77"),
		"ipv6Dns":       list("2001:db8::53", "2001:db8::54"),
		"ipv6Search":    list("a.example", "c.example"),
	}, {"interface": "eth1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("writeJSON() = %v, want %v", got, want)
	}
}

func TestPrintReleased(t *testing.T) {
	for asJSON, want := range map[bool]string{
		false: "eth0: released 192.0.2.7/24\n",
		true:  `{"interface": "eth0", "released": "192.0.2.7/24"}` + "\n",
	} {
		var got strings.Builder
		c := client{asJSON: asJSON, stdout: &got}
		err := c.printReleased("eth0", statuses[0].Lease.Address)
		if err != nil || got.String() != want {
			t.Errorf("printReleased(), JSON %v = %q, %v, want %q", asJSON, got.String(), err, want)
		}
	}
}

// TestDated has moments before and after now.
func TestDated(t *testing.T) {
	clock := time.Date(2026, 12, 1, 9, 0, 0, 0, time.FixedZone("", 7200))
	fields := func() []network.Fields {
		return []network.Fields{{
			{Name: "interface", Value: "eth0"},
			{Name: "dns", Value: []string{"192.0.2.1", "192.0.2.2"}},
			{Name: "nextRenewal", Value: network.Moment(100*time.Second + 400*time.Millisecond)},
			{Name: "leaseEnds", Value: network.Moment(-3500 * time.Second)},
			{Name: "ipv6Renewal", Value: network.Moment(26 * time.Hour)},
		}}
	}
	const now = 100 * time.Second
	for _, want := range []string{`interface       eth0
dns             192.0.2.1, 192.0.2.2
next renewal    2026-12-01T07:00:00Z, in 0s
lease ends      2026-12-01T06:00:00Z, 1h0m0s ago
IPv6 renewal    2026-12-02T08:58:20Z, in 25h58m20s
`, `[{"interface": "eth0", "dns": ["192.0.2.1", "192.0.2.2"], ` +
		`"nextRenewal": "2026-12-01T07:00:00Z", "leaseEnds": "2026-12-01T06:00:00Z", ` +
		`"ipv6Renewal": "2026-12-02T08:58:20Z"}]` + "\n"} {
		c := client{asJSON: want[0] == '['}
		var got strings.Builder
		c.stdout = &got
		err := c.write(dated(fields(), now, clock, !c.asJSON))
		if err != nil || got.String() != want {
			t.Errorf("JSON %v: %v,\n%s\nwant\n%s", c.asJSON, err, got.String(), want)
		}
	}
}

// TestPrintStatus reads files that are not there, or not a status.
func TestPrintStatus(t *testing.T) {
	file := t.TempDir() + "/status"
	for _, want := range []struct{ text, stdout, stderr string }{
		{"", "", "dhcpclient: init keeps no leases here: that needs KRUN_DHCP, and krunbox as process 1; " +
			"dhcpclient -n asks for an offer\n"},
		{`[{"interface": "eth0", "state": "not connected"}]`, "interface       eth0\nstate           not connected\n", ""},
		{"{}", "", "dhcpclient: " + file + ": byte 0: expected a list, found an object\n"},
	} {
		if want.text != "" {
			if err := os.WriteFile(file, []byte(want.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var stdout, stderr strings.Builder
		c := client{stdout: &stdout, stderr: &stderr}
		code := c.printStatus(file)
		if stdout.String() != want.stdout || stderr.String() != want.stderr || (code == 0) != (want.stderr == "") {
			t.Errorf("status of %q = %d, %q, %q, want %q, %q", want.text, code, stdout.String(), stderr.String(),
				want.stdout, want.stderr)
		}
	}
}
