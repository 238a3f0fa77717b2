package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/loop"
)

// imageResolvConf is the image's own /etc/resolv.conf.
const imageResolvConf = "# the image's"

// inNamespaces runs f with its own interfaces, /etc and /dev.
func inNamespaces(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel() // most of the tests' time is waiting
	nstest.Run(t, func(t *testing.T, _ string) {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(
			netlink.LinkSetUp(lo),
			unix.Mount("tmpfs", "/etc", "tmpfs", 0, ""),
			unix.Mount("tmpfs", "/dev", "tmpfs", 0, ""),
			os.WriteFile("/etc/resolv.conf", []byte(imageResolvConf), 0o644),
		); err != nil {
			t.Fatal(err)
		}
		f(t)
	})
}

// rig is a Network and the loop in which it runs together with hosts.
type rig struct {
	t        *testing.T
	n        *Network
	loop     loop.Loop
	warnings []string
	lines    []string // of Trace
	hostname []string // of OnHostname
}

// newRig returns a rig that is not started.
func newRig(t *testing.T, cfg Config, hosts ...*host) *rig {
	t.Helper()
	r := &rig{t: t}
	cfg.Warn = func(err error) { r.warnings = append(r.warnings, err.Error()) }
	cfg.Trace = func(line string) { r.lines = append(r.lines, line) }
	cfg.OnHostname = func(name string) { r.hostname = append(r.hostname, name) }
	r.n = New(cfg)
	r.loop = loop.Loop{Tasks: []loop.Task{r.n}, Warn: cfg.Warn}
	for _, h := range hosts {
		r.loop.Tasks = append(r.loop.Tasks, h)
	}
	t.Cleanup(func() { r.n.Close() })
	return r
}

// start starts the Network.
func (r *rig) start() *rig {
	r.t.Helper()
	if err := r.n.Start(); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// until steps the loop until a condition holds. It limits the number of steps, for a loop that
// spins takes thousands in a second.
func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	const maxSteps = 3000
	began := time.Now()
	for steps := 0; !holds(); steps++ {
		if took := time.Since(began); steps > maxSteps || took > 30*time.Second {
			r.t.Fatalf("%s: not so after %d steps and %v\nwarnings %q\n%s\nresolv.conf %q",
				what, steps, took, r.warnings, strings.Join(r.lines, "\n"), resolvConf(r.t))
		}
		if _, err := r.loop.Step(-1, 20*time.Millisecond); err != nil {
			r.t.Fatal(err)
		}
		if len(r.loop.Tasks) == 0 || r.loop.Tasks[0] != r.n {
			r.t.Fatalf("the network panicked: %q", r.warnings)
		}
	}
}

// untilLeased waits until an interface has an address, and resolv.conf a name server.
func (r *rig) untilLeased(name, address, server string) {
	r.t.Helper()
	r.until(name+" has "+address+" and "+server, func() bool {
		return slices.Equal(addresses4(r.t, name), []string{address}) && hasServer(r.t, server)
	})
}

// unplug plugs the cable out, and waits until that is noticed.
func (r *rig) unplug(h *host) {
	r.t.Helper()
	h.plug(false)
	name := strings.TrimPrefix(h.peer.Attrs().Name, "peer-")
	all := r.n.Interfaces()
	k := slices.IndexFunc(all, func(i *Interface) bool { return i.Name == name })
	r.until("no carrier", func() bool { return !all[k].Status().Carrier })
}

// wantWarnings checks that each warning since the last call contains the part given for it.
func (r *rig) wantWarnings(parts ...string) {
	r.t.Helper()
	ok := len(r.warnings) == len(parts)
	for k := 0; ok && k < len(parts); k++ {
		ok = strings.Contains(r.warnings[k], parts[k])
	}
	if !ok {
		r.t.Errorf("warnings %q, want %q", r.warnings, parts)
	}
	r.warnings = nil
}

// link returns an interface.
func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return l
}

func isUp(t *testing.T, name string) bool {
	t.Helper()
	return link(t, name).Attrs().Flags&net.FlagUp != 0
}

// addresses returns the addresses of an interface, except link-local ones. It returns none if the
// interface does not exist.
func addresses(t *testing.T, name string, family int) (list []string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		return nil
	}
	all, err := netlink.AddrList(l, family)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if !a.IP.IsLinkLocalUnicast() {
			list = append(list, a.IPNet.String())
		}
	}
	return list
}

func addresses4(t *testing.T, name string) []string {
	t.Helper()
	return addresses(t, name, netlink.FAMILY_V4)
}

// routes returns the IPv4 routes through an interface that come from DHCP, such as
// "0.0.0.0/0 via 10.0.2.2 src 10.0.2.15 metric 0".
func routes(t *testing.T, name string) (list []string) {
	t.Helper()
	filter := netlink.Route{LinkIndex: link(t, name).Attrs().Index, Protocol: unix.RTPROT_DHCP}
	all, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &filter,
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		list = append(list,
			fmt.Sprintf("%v via %v src %v metric %d", r.Dst, r.Gw, r.Src, r.Priority))
	}
	return list
}

// resolvConf returns the lines of resolv.conf, without our comment at the top.
func resolvConf(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if strings.HasPrefix(lines[0], "# Written by krunbox") {
		lines = lines[1:]
	}
	return lines
}

// hasServer reports whether resolv.conf has a name server.
func hasServer(t *testing.T, server string) bool {
	t.Helper()
	return slices.Contains(resolvConf(t), "nameserver "+server)
}

// want compares lists.
func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
