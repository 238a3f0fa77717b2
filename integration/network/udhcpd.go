package network

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Udhcpd is a DHCPv4 server, that of BusyBox. It sends all options, whether the guest requests them
// or not.
type Udhcpd struct{ Lease }

func (u Udhcpd) start(ctx context.Context, s *Segment, dir string) (service, error) {
	if _, err := s.subnet(u.Address.Addr()); err != nil {
		return nil, err
	}
	var config strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&config, format+"\n", args...) }
	line("interface %s", segmentInterface)
	line("start %v", u.Address.Addr())
	line("end %v", u.Address.Addr())
	line("lease_file %s", filepath.Join(dir, "leases"))
	line("pidfile %s", filepath.Join(dir, "pid"))
	option := func(name, value string) {
		if value != "" {
			line("option %s %s", name, value)
		}
	}
	option("lease", fmt.Sprint(seconds(leaseTime(u.Time))))
	option("subnet", mask(u.Address))
	option("router", join(u.Routers, " "))
	option("dns", join(u.DNS, " "))
	option("hostname", u.Hostname)
	option("domain", u.Domain)
	option("search", strings.Join(u.Search, " "))
	if u.MTU != 0 {
		option("mtu", fmt.Sprint(u.MTU))
	}
	for _, r := range u.Routes {
		option("staticroutes", fmt.Sprint(r.To, " ", r.Via))
	}
	path := filepath.Join(dir, "config")
	if err := os.WriteFile(path, []byte(config.String()), 0o644); err != nil {
		return nil, err
	}
	// -a 0 disables the ARP probe for the address.
	cmd := exec.Command("busybox", "udhcpd", "-f", "-a", "0", path)
	cmd.Dir = dir
	p, err := s.ns.start(ctx, cmd, "started", s.opt.Log)
	if err != nil {
		return nil, err
	}
	if err := s.waitForDHCP(ctx); err != nil { // udhcpd prints the line before it opens its socket
		p.stop()
		return nil, fmt.Errorf("udhcpd: %w", err)
	}
	return p, nil
}

// waitForDHCP waits until a socket in the namespace is bound to the port of DHCPv4 servers.
func (s *Segment) waitForDHCP(ctx context.Context) error {
	notBound := fmt.Errorf("port 67 is not bound within %v", startTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, notBound)
	defer cancel()
	for {
		var sockets []byte
		err := s.ns.do(func() (err error) {
			sockets, err = os.ReadFile("/proc/thread-self/net/udp")
			return err
		})
		if err != nil {
			return err
		}
		if bytes.Contains(sockets, fmt.Appendf(nil, ":%04X ", 67)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
