package cases

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/network"
)

const (
	dhcpclientBin = "/bin/dhcpclient"
	firstLook     = "This was the first lease." // what follows is the server's to change
)

// leaseStatus runs dhcpclient -status as an ordinary user until its output contains text. It
// returns the output as a map from the first column to the second.
func leaseStatus(t *testing.T, text string) map[string]string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		cmd := exec.Command(dhcpclientBin, "-status")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("dhcpclient -status: %v, %s", err, out)
		}
		if !strings.Contains(string(out), text) && time.Now().Before(deadline) {
			continue
		}
		t.Logf("dhcpclient -status:\n%s", out)
		status := map[string]string{}
		for line := range strings.Lines(string(out)) {
			name := strings.TrimSpace(line[:min(15, len(line))])
			status[name] = strings.TrimSpace(line[min(15, len(line)):])
		}
		return status
	}
}

// timeOf returns the time in a line such as "2026-12-01T09:00:00Z, in 3s".
func timeOf(t *testing.T, text string) time.Time {
	t.Helper()
	text, _, _ = strings.Cut(text, ",")
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

var dhcpStatusGuest = inGuest("dhcp-status", func(t *testing.T) {
	defer reportExitCode(t)
	before := leaseStatus(t, "BOUND")
	fmt.Println(firstLook)
	after := leaseStatus(t, "192.0.2.54")
	for name, want := range map[string][2]string{
		"interface": {"eth0", "eth0"},
		"state":     {"BOUND", "BOUND"},
		"address":   {"192.0.2.77/24", "192.0.2.77/24"},
		"server":    {"192.0.2.1", "192.0.2.1"},
		"routes":    {"0.0.0.0/0 via 192.0.2.1", "0.0.0.0/0 via 192.0.2.2"},
		"dns":       {"192.0.2.53", "192.0.2.54"},
		"lease":     {"1h0m0s", "2h0m0s"},
		"renew":     {"5s", "1h0m0s"},
	} {
		if got := [2]string{before[name], after[name]}; got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, c := range []struct {
		status     map[string]string
		renew, end time.Duration
	}{{before, 5 * time.Second, time.Hour}, {after, time.Hour, 2 * time.Hour}} {
		// The client renews a little early, see package dhcp4. The rest is for a slow machine.
		got := timeOf(t, c.status["lease ends"]).Sub(timeOf(t, c.status["next renewal"]))
		if least := c.end - c.renew; got < least-time.Second || got > least+c.renew/16+time.Second {
			t.Errorf("the lease ends %v after the next renewal, want %v", got, least)
		}
	}
	later := timeOf(t, after["lease ends"]).Sub(timeOf(t, before["lease ends"]))
	if later < time.Hour || later > 2*time.Hour {
		t.Errorf("after the renewal the lease ends %v later, want more than an hour", later)
	}
})

// TestLeaseStatus reads what init says of its lease, before and after a renewal that brings another
// router and another name server. With KRUN_INIT_PID1 a sidecar keeps the lease.
func TestLeaseStatus(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{"init": nil, "sidecar": {"KRUN_INIT_PID1=1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var looked atomic.Bool
			s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
				if !looked.Load() {
					soon := dhcpv4.OptGeneric(dhcpv4.OptionRenewTimeValue, []byte{0, 0, 0, 5})
					return replies(s, grant(m, dhcpv4.WithOption(soon)))
				}
				return replies(s, grant(m, dhcpv4.WithLeaseTime(7200),
					dhcpv4.WithRouter(net.IPv4(192, 0, 2, 2)), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 54))))
			})
			cfg := withBusybox(t, "amd64")
			dhcpStatusGuest.addTo(t, &cfg)
			cfg.Files = append(cfg.Files, hostfs.File{Path: dhcpclientBin, Source: product(t, cfg.Arch), Mode: 0o755})
			cfg.Env = append(append(cfg.Env, "KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=20000"), env...)
			s.Network.AddTo(&cfg)
			cfg.Console = when{firstLook, func() { looked.Store(true) }, new(strings.Builder)}
			result := run(t, cfg, 0)
			if !strings.Contains(console(result), passed) {
				t.Errorf("console: %s\nwant %q", console(result), passed)
			}
		})
	}
}

// TestHostsOfSidecar has a server that does not answer until the workload, which is process 1, runs. It
// checks that the hosts file has the address of the lease then, and that the machine has the name of
// the lease unless the host gives one.
func TestHostsOfSidecar(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"box.example", ""} {
		t.Run(cmp.Or(name, "name of the lease"), func(t *testing.T) {
			t.Parallel()
			var looked atomic.Bool
			s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
				if !looked.Load() {
					return nil
				}
				return replies(s, grant(m, dhcpv4.WithOption(dhcpv4.OptHostName("leased.example"))))
			})
			cfg := withBusybox(t, "amd64")
			hostsSidecarGuest.addTo(t, &cfg)
			cfg.Env = append(cfg.Env, "KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=1", "KRUN_INIT_PID1=1")
			if name != "" {
				cfg.Env = append(cfg.Env, "HOSTNAME="+name)
			}
			s.Network.AddTo(&cfg)
			cfg.Console = when{firstLook, func() { looked.Store(true) }, new(strings.Builder)}
			result := run(t, cfg, 0)
			if !strings.Contains(console(result), passed) {
				t.Errorf("console: %s\nwant %q", console(result), passed)
			}
		})
	}
}

var hostsSidecarGuest = inGuest("hosts-sidecar", func(t *testing.T) {
	defer reportExitCode(t)
	before, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	want, wantName := string(before)+scriptedAddress.String()+"\tleased.example leased\n", "leased.example"
	if name, _ := os.Hostname(); name != "localhost" {
		const line = "127.0.1.1\tbox.example box\n"
		if !strings.HasSuffix(string(before), line) {
			t.Errorf("before the lease: %q, want it to end in %q", before, line)
		}
		want, wantName = strings.Replace(string(before), "127.0.1.1\t", scriptedAddress.String()+"\t", 1), "box.example"
	}
	fmt.Println(firstLook)
	var after []byte
	for deadline := time.Now().Add(time.Minute); string(after) != want; time.Sleep(20 * time.Millisecond) {
		if after, err = os.ReadFile("/etc/hosts"); err != nil || time.Now().After(deadline) {
			t.Fatalf("with the lease: %q, %v, want %q", after, err, want)
		}
	}
	if name, err := os.Hostname(); name != wantName {
		t.Errorf("the name of the machine is %q, %v, want %q", name, err, wantName)
	}
})
