package network

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"github.com/containers/gvisor-tap-vsock/pkg/virtualnetwork"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// Gvisor returns a network of gvisor-tap-vsock, the library of gvproxy. It has one router, which is
// the DNS server too. The lease must have a router and an MTU, can have an address and a search
// list, and is valid for an hour. The host is the last address of the guest's subnet. QEMU and the
// library exchange frames over a stream socket, or over a datagram socket if datagrams is set.
//
// Some goroutines of the library remain after Close, because the library cannot end them.
func Gvisor(opt Options, lease Lease, datagrams bool) (*Network, error) {
	if err := lease.only("gvisor-tap-vsock", "Address", "Routers", "Search", "MTU"); err != nil {
		return nil, err
	}
	if len(lease.Routers) != 1 || lease.MTU == 0 {
		return nil, errors.New("gvisor-tap-vsock requires one router and an MTU")
	}
	lease.DNS = lease.Routers
	lease.Time = time.Hour
	host := lastAddress(lease.Address)

	logrus.SetOutput(io.Discard) // the library logs the end of each connection
	gateway := lease.Routers[0].String()
	kind, netdev := unix.SOCK_STREAM, streamArg
	if datagrams {
		kind, netdev = unix.SOCK_DGRAM, datagramArg
	}
	conn, qemu, err := connPair(kind)
	if err != nil {
		return nil, err
	}
	n, err := newNetwork(opt, []*os.File{qemu}, func(id string, fds []int) string {
		return netdev(id, fds[0])
	})
	if err != nil {
		conn.Close()
		qemu.Close()
		return nil, err
	}
	n.Lease, n.Host = lease, host
	n.onClose(qemu.Close)

	virtual, err := virtualnetwork.New(&types.Configuration{
		MTU:               lease.MTU,
		Subnet:            lease.Address.Masked().String(),
		GatewayIP:         gateway,
		GatewayMacAddress: "5a:94:ef:e4:0c:dd",
		GatewayVirtualIPs: []string{host.String()},
		NAT:               map[string]string{host.String(): "127.0.0.1"},
		DHCPStaticLeases:  map[string]string{lease.Address.Addr().String(): n.MAC.String()},
		DNSSearchDomains:  lease.Search,
	})
	if err != nil {
		conn.Close()
		n.Close()
		return nil, err
	}
	n.dial = virtual.DialContextTCP
	accept := virtual.AcceptQemu
	if datagrams {
		accept = virtual.AcceptVfkit
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		accept(context.Background(), conn) // returns an error when conn is closed
	}()
	n.onClose(func() error {
		conn.Close()
		<-ended
		return nil
	})
	return n, nil
}

// lastAddress returns the last address of an IPv4 subnet before its broadcast address.
func lastAddress(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 31; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}
