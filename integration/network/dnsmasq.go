package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Dnsmasq is a DHCPv4 server, dnsmasq. It sends the options that the guest requests (option 55),
// and the host name in any case.
type Dnsmasq struct {
	Lease
	RapidCommit bool // answers DISCOVER with ACK if the guest requests it, RFC 4039
	Ping        bool // before it offers an address, it pings it for three seconds
}

func (d Dnsmasq) start(ctx context.Context, s *Segment, dir string) (service, error) {
	host, err := s.subnet(d.Address.Addr())
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("no-ping\ndhcp-range=%v,static,%v,%d\n",
		host.Masked().Addr(), mask(host), seconds(leaseTime(d.Time)))
	config += fmt.Sprintf("dhcp-host=%v,%v", s.MAC, d.Address.Addr())
	if d.Hostname != "" {
		config += "," + d.Hostname
	}
	config += "\n"
	if d.Ping { // it does not ping the address of a host that it knows
		config = fmt.Sprintf("dhcp-range=%v,%[1]v,%v,%d\n",
			d.Address.Addr(), mask(host), seconds(leaseTime(d.Time)))
	}
	option := func(name, value string) {
		if value != "" {
			value = "," + value
		}
		config += "dhcp-option=option:" + name + value + "\n"
	}
	option("netmask", mask(d.Address))
	option("router", join(d.Routers, ","))
	option("dns-server", join(d.DNS, ","))
	if d.Domain != "" {
		option("domain-name", d.Domain)
	}
	if len(d.Search) > 0 {
		option("domain-search", join(d.Search, ","))
	}
	if d.MTU != 0 {
		option("mtu", fmt.Sprint(d.MTU))
	}
	if len(d.Routes) > 0 {
		var list []string
		for _, r := range d.Routes {
			list = append(list, r.To.String(), r.Via.String())
		}
		option("classless-static-route", join(list, ","))
	}
	if d.RapidCommit {
		config += "dhcp-rapid-commit\n"
	}
	return runDnsmasq(ctx, s, dir, config)
}

// Dnsmasq6 is an IPv6 router, dnsmasq. It is also a DHCPv6 server if the Advert has Managed or
// Other.
type Dnsmasq6 struct {
	Advert
	Address netip.Addr    // the address that DHCPv6 assigns, if Managed is set
	Time    time.Duration // lease time of Address; default: an hour
}

func (d Dnsmasq6) start(ctx context.Context, s *Segment, dir string) (service, error) {
	if !d.SLAAC && !d.Managed {
		return nil, errors.New("dnsmasq requires SLAAC or Managed in the Advert")
	}
	config := "enable-ra\n"
	mtu := "off"
	if d.MTU != 0 {
		mtu = fmt.Sprint(d.MTU)
	}
	config += fmt.Sprintf("ra-param=%s,mtu:%s,600\n", segmentInterface, mtu)
	switch prefix := d.Prefix.Masked().Addr(); {
	case d.Managed && d.SLAAC:
		config += fmt.Sprintf("dhcp-range=%v,%v,slaac,%d,%d\n",
			d.Address, d.Address, d.Prefix.Bits(), seconds(leaseTime(d.Time)))
	case d.Managed:
		config += fmt.Sprintf("dhcp-range=%v,%v,%d,%d\n",
			d.Address, d.Address, d.Prefix.Bits(), seconds(leaseTime(d.Time)))
	case d.Other:
		config += fmt.Sprintf("dhcp-range=%v,ra-stateless\n", prefix)
	default:
		config += fmt.Sprintf("dhcp-range=%v,ra-only\n", prefix)
	}
	if len(d.DNS) > 0 {
		config += "dhcp-option=option6:dns-server,[" + join(d.DNS, "],[") + "]\n"
	}
	if len(d.Search) > 0 {
		config += "dhcp-option=option6:domain-search," + join(d.Search, ",") + "\n"
	}
	return runDnsmasq(ctx, s, dir, config)
}

func runDnsmasq(ctx context.Context, s *Segment, dir, config string) (service, error) {
	common := fmt.Sprintf(`keep-in-foreground
log-facility=-
log-dhcp
user=root
pid-file=
port=0
interface=%s
bind-interfaces
dhcp-authoritative
dhcp-leasefile=%s/leases
`, segmentInterface, dir)
	return s.run(ctx, dir, program{
		name:   "dnsmasq",
		config: common + config,
		args:   []string{"-C", configFile},
		ready:  "started, version", // printed after the sockets are bound
	})
}
