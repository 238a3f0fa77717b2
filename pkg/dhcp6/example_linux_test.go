package dhcp6_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp6"
)

// The state machine needs neither a clock nor a network.
func ExampleClient() {
	client := dhcp6.NewClient(dhcp6.Config{
		DUID:   dhcp6.DUIDLinkLayer([]byte{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}),
		Random: func() uint32 { return 0x123456 },
	})
	action := client.Start(0)
	fmt.Println(dhcp6.Summary(action.Send))

	// A server's answer, 1 ms later.
	request, err := dhcpv6.MessageFromBytes(action.Send)
	if err != nil {
		panic(err)
	}
	server := &dhcpv6.DUIDEN{EnterpriseNumber: 9, EnterpriseIdentifier: []byte("A")}
	reply, err := dhcpv6.NewReplyFromMessage(request, dhcpv6.WithServerID(server),
		dhcpv6.WithDomainSearchList("example.com"))
	if err != nil {
		panic(err)
	}
	action = client.Receive(time.Millisecond, dhcp6.Datagram{
		Payload: reply.ToBytes(), Source: netip.MustParseAddr("fe80::1"),
	})
	fmt.Println(action.Event == dhcp6.Acquired, client.State(), client.Lease().Search)
	// Output:
	// INFORMATION-REQUEST xid 0x123456
	// true BOUND [example.com]
}

// A loop acquires a lease and keeps it.
func ExampleSocket() {
	const ifindex, name = 2, "eth0"
	client := dhcp6.NewClient(dhcp6.Config{
		DUID: dhcp6.DUIDLinkLayer([]byte{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}),
		IAID: ifindex, Random: rand.Uint32, Stateful: true,
	})
	now := func() time.Duration {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
			panic(err)
		}
		return time.Duration(t.Nano())
	}
	socket, err := dhcp6.OpenSocket(ifindex, name)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer socket.Close()
	do := func(a dhcp6.Action) {
		if a.Send != nil {
			_ = socket.Send(a.Send) // lost messages are sent again
		}
		switch a.Event {
		case dhcp6.Acquired, dhcp6.Renewed:
			fmt.Println("configure", client.Lease())
		case dhcp6.Lost:
			fmt.Println("remove the addresses")
		}
	}
	do(client.Start(now()))
	buf := make([]byte, 1500)
	for {
		at := client.Deadline()
		if at == dhcp6.Infinite {
			return // the lease is infinite
		}
		fds := []unix.PollFd{{Fd: int32(socket.FD()), Events: unix.POLLIN}}
		timeout := int(min(max(at-now(), 0), time.Hour).Milliseconds()) + 1 // rounded up
		if _, err := unix.Poll(fds, timeout); err != nil && err != unix.EINTR {
			fmt.Println(err)
			return
		}
		if d, err := socket.Receive(buf); err == nil {
			do(client.Receive(now(), d))
		}
		do(client.Tick(now())) // does nothing before the deadline
	}
}
