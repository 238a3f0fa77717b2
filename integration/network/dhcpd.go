package network

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Dhcpd is a DHCPv4 server, ISC dhcpd. It sends the options that the guest requests (option 55), or
// all options if the guest does not send option 55.
type Dhcpd struct{ Lease }

func (d Dhcpd) start(ctx context.Context, s *Segment, dir string) (service, error) {
	host, err := s.subnet(d.Address.Addr())
	if err != nil {
		return nil, err
	}
	var config strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&config, format+";\n", args...) }
	line("authoritative")
	line("option classless-routes code 121 = string")
	line("default-lease-time %d", seconds(leaseTime(d.Time)))
	line("max-lease-time %d", seconds(leaseTime(d.Time)))
	line("min-lease-time 1")
	line("ping-check false") // the check would take a second
	fmt.Fprintf(&config, "subnet %v netmask %v { range %v; }\n",
		host.Masked().Addr(), mask(host), d.Address.Addr())
	line("option subnet-mask %v", mask(d.Address))
	if len(d.Routers) > 0 {
		line("option routers %s", join(d.Routers, ", "))
	}
	if len(d.DNS) > 0 {
		line("option domain-name-servers %s", join(d.DNS, ", "))
	}
	if d.Hostname != "" {
		line("option host-name %q", d.Hostname)
	}
	if d.Domain != "" {
		line("option domain-name %q", d.Domain)
	}
	if len(d.Search) > 0 {
		line(`option domain-search "%s"`, strings.Join(d.Search, `", "`))
	}
	if d.MTU != 0 {
		line("option interface-mtu %d", d.MTU)
	}
	if len(d.Routes) > 0 {
		line("option classless-routes %s", hexBytes(d.classlessRoutes()))
	}
	return runDhcpd(ctx, s, dir, "-4", config.String())
}

// Dhcpd6 is a DHCPv6 server, ISC dhcpd.
type Dhcpd6 struct{ Lease6 }

func (d Dhcpd6) start(ctx context.Context, s *Segment, dir string) (service, error) {
	host, err := s.subnet6(d.Address)
	if err != nil {
		return nil, err
	}
	var config strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&config, format+";\n", args...) }
	line("authoritative")
	line("default-lease-time %d", seconds(leaseTime(d.Time)))
	line("preferred-lifetime %d", seconds(leaseTime(d.Time)))
	pool := ""
	if d.Address.IsValid() {
		pool = fmt.Sprintf("range6 %v %v;", d.Address, d.Address)
	}
	fmt.Fprintf(&config, "subnet6 %v { %s }\n", host.Masked(), pool)
	if len(d.DNS) > 0 {
		line("option dhcp6.name-servers %s", join(d.DNS, ", "))
	}
	if len(d.Search) > 0 {
		line(`option dhcp6.domain-search "%s"`, strings.Join(d.Search, `", "`))
	}
	return runDhcpd(ctx, s, dir, "-6", config.String())
}

func runDhcpd(ctx context.Context, s *Segment, dir, protocol, config string) (service, error) {
	leases := filepath.Join(dir, "leases")
	if err := os.WriteFile(leases, nil, 0o644); err != nil { // dhcpd requires that it exists
		return nil, err
	}
	return s.run(ctx, dir, program{
		name:   "dhcpd",
		config: config,
		args:   []string{protocol, "-f", "-d", "-cf", configFile, "-lf", leases, "--no-pid", segmentInterface},
		ready:  "Server starting service.",
	})
}

// hexBytes returns b in dhcpd's notation: hexadecimal, separated by colons.
func hexBytes(b []byte) string {
	var words []string
	for _, c := range b {
		words = append(words, fmt.Sprintf("%02x", c))
	}
	return strings.Join(words, ":")
}
