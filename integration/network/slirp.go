package network

import (
	"errors"
	"net/netip"
	"strings"
	"time"
)

// Slirp returns a network of QEMU's built-in user network. It has no settings for MTU, routes and
// lease time. It has one router, which is the host too, and one DNS server; both must be in the
// guest's subnet. The zero Lease stands for QEMU's defaults.
//
// For IPv6, it sends router advertisements for fec0::/64; the host is fec0::2. They contain a DNS
// server if this machine has one.
func Slirp(opt Options, lease Lease) (*Network, error) {
	if err := lease.only("QEMU", "Address", "Routers", "DNS", "Hostname", "Domain", "Search"); err != nil {
		return nil, err
	}
	if len(lease.Routers) > 1 || len(lease.DNS) > 1 {
		return nil, errors.New("QEMU supports only one router and one DNS server")
	}
	if !lease.Address.IsValid() {
		lease.Address = netip.MustParsePrefix("10.0.2.15/24")
	}
	network := lease.Address.Masked().Addr().As4()
	host := func(number byte) []netip.Addr {
		address := network
		address[3] += number
		return []netip.Addr{netip.AddrFrom4(address)}
	}
	if len(lease.Routers) == 0 {
		lease.Routers = host(2)
	}
	if len(lease.DNS) == 0 {
		lease.DNS = host(3)
	}
	lease.Time = 24 * time.Hour // QEMU's fixed lease time

	n, err := newNetwork(opt, nil, func(id string, _ []int) string { return slirpArg(id, lease) })
	if err != nil {
		return nil, err
	}
	n.Lease = lease
	n.Host = lease.Routers[0]
	n.Host6 = netip.MustParseAddr("fec0::2")
	return n, nil
}

// slirpArg returns QEMU's argument -netdev.
func slirpArg(id string, l Lease) string {
	args := []string{
		"user",
		"id=" + id,
		"net=" + l.Address.Masked().String(),
		"dhcpstart=" + l.Address.Addr().String(),
		"host=" + l.Routers[0].String(),
		"dns=" + l.DNS[0].String(),
	}
	if l.Hostname != "" {
		args = append(args, "hostname="+l.Hostname)
	}
	if l.Domain != "" {
		args = append(args, "domainname="+l.Domain)
	}
	for _, domain := range l.Search {
		args = append(args, "dnssearch="+domain)
	}
	return strings.Join(args, ",")
}
