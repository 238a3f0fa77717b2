package network

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// passtInterface is the interface in passt's namespace.
const passtInterface = "h0"

// Passt returns a network of passt, which runs in a network namespace with one interface and
// assigns the interface's addresses to the guest. It has one router, which is the host too. It has
// no settings for host name, domain, routes and lease time; leases are infinite.
//
// If address6 is valid, passt is also an IPv6 router, with the address fe80::1 and the prefix of 64
// bits of address6, and a DHCPv6 server that assigns address6. It announces the addresses in dns6
// and lease.Search in its router advertisements and by DHCPv6.
func Passt(ctx context.Context, opt Options, lease Lease, address6 netip.Addr, dns6 ...netip.Addr) (*Network, error) {
	if err := lease.only("passt", "Address", "Routers", "DNS", "Search", "MTU"); err != nil {
		return nil, err
	}
	if len(lease.Routers) != 1 {
		return nil, errors.New("passt requires one router")
	}
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	conn, qemu, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		ns.close()
		return nil, err
	}
	defer conn.Close() // passt has inherited it
	n, err := newNetwork(opt, []*os.File{qemu}, func(id string, fds []int) string {
		return streamArg(id, fds[0])
	})
	if err != nil {
		ns.close()
		qemu.Close()
		return nil, err
	}
	n.onClose(ns.close)
	n.onClose(qemu.Close)

	n.Lease = lease
	n.Lease.Time = math.MaxUint32 * time.Second // infinity, RFC 2131 section 3.3
	n.Host = lease.Routers[0]
	if address6.IsValid() {
		n.Host6 = netip.MustParseAddr("fe80::1")
	}
	n.listen = func(host netip.Addr) (l net.Listener, err error) {
		err = ns.do(func() error {
			l, err = listen(host)
			return err
		})
		return l, err
	}
	if err := n.startPasst(ctx, ns, opt, conn, address6, dns6); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// startPasst starts passt in the namespace, with conn as its end of the connection to QEMU.
func (n *Network) startPasst(
	ctx context.Context, ns *namespace, opt Options, conn *os.File,
	address6 netip.Addr, dns6 []netip.Addr,
) error {
	addresses := []netip.Prefix{n.Lease.Address}
	args := []string{"--foreground", "--stderr",
		"--fd", "3", // the first of ExtraFiles
		"--address", n.Lease.Address.Addr().String(),
		"--netmask", fmt.Sprint(n.Lease.Address.Bits()),
		"--gateway", n.Host.String(),
	}
	if n.Host6.IsValid() {
		// passt disables IPv6 if the interface has no link-local address.
		addresses = append(addresses, netip.PrefixFrom(address6, 64), netip.MustParsePrefix("fe80::2/64"))
		args = append(args, "--address", address6.String(), "--gateway", n.Host6.String())
	} else {
		args = append(args, "--ipv4-only")
	}
	servers := slices.Concat(n.Lease.DNS, dns6)
	for _, server := range servers {
		args = append(args, "--dns", server.String())
	}
	if len(servers) == 0 {
		args = append(args, "--dns", "none")
	}
	for _, domain := range n.Lease.Search {
		args = append(args, "--search", domain)
	}
	if len(n.Lease.Search) == 0 {
		args = append(args, "--search", "none")
	}
	if n.Lease.MTU != 0 {
		args = append(args, "--mtu", fmt.Sprint(n.Lease.MTU))
	}

	var tap *os.File // the interface exists as long as it is open
	err := ns.do(func() (err error) {
		if tap, err = newTap(passtInterface, unix.IFF_TAP|unix.IFF_NO_PI); err != nil {
			return err
		}
		n.onClose(tap.Close)
		if _, err := configure(passtInterface, addresses); err != nil {
			return err
		}
		// passt uses the interface that has a default route.
		return addDefaultRoutes(passtInterface, n.Host, n.Host6)
	})
	if err != nil {
		return err
	}
	cmd, err := server("passt", args...)
	if err != nil {
		return err
	}
	cmd.Dir = n.dir
	cmd.ExtraFiles = []*os.File{conn}
	// After this line, frames may wait in the socket until passt reads them.
	p, err := ns.start(ctx, cmd, "router:", opt.Log)
	if err != nil {
		return err
	}
	n.onClose(p.stop)
	return nil
}

// addDefaultRoutes adds default routes via the valid addresses of routers, on the interface name in
// the namespace of the calling thread.
func addDefaultRoutes(name string, routers ...netip.Addr) error {
	handle, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer handle.Close()
	link, err := handle.LinkByName(name)
	if err != nil {
		return err
	}
	for _, router := range routers {
		if !router.IsValid() {
			continue
		}
		route := netlink.Route{
			LinkIndex: link.Attrs().Index,
			Gw:        router.AsSlice(),
			Flags:     int(netlink.FLAG_ONLINK),
		}
		if err := handle.RouteAdd(&route); err != nil {
			return fmt.Errorf("default route via %v: %w", router, err)
		}
	}
	return nil
}
