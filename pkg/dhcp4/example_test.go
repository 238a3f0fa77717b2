package dhcp4_test

import (
	"fmt"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/krunbox/krunbox/pkg/dhcp4"
)

// server is a DHCP server on a simulated link, which loses the first message.
type server struct {
	received int
	answers  [][]byte
}

// receive queues the answer to a message.
func (s *server) receive(message []byte) {
	s.received++
	request, err := dhcpv4.FromBytes(message)
	if err != nil || s.received == 1 {
		return
	}
	kind := dhcpv4.MessageTypeAck
	if request.MessageType() == dhcpv4.MessageTypeDiscover {
		kind = dhcpv4.MessageTypeOffer
	}
	seconds := uint32(3600)
	if !request.ClientIPAddr.IsUnspecified() { // a renewal
		seconds = 0xffffffff
	}
	answer, err := dhcpv4.NewReplyFromRequest(request,
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithYourIP([]byte{192, 0, 2, 15}),
		dhcpv4.WithNetmask([]byte{255, 255, 255, 0}),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier([]byte{192, 0, 2, 1})),
		dhcpv4.WithLeaseTime(seconds))
	if err == nil {
		s.answers = append(s.answers, answer.ToBytes())
	}
}

// A program drives a Client by a loop: it passes on datagrams, calls Tick at the deadline, and
// carries out the actions. Here a simulated server and clock take the place of a Socket and
// poll(2).
func Example() {
	client := dhcp4.NewClient(dhcp4.Config{
		HardwareAddr: [6]byte{2, 0, 0, 0, 0, 1},
		Hostname:     "guest",
		Random:       func() uint32 { return 42 }, // a program returns random numbers
	})
	var server server
	var now time.Duration // a program reads CLOCK_BOOTTIME

	do := func(a dhcp4.Action) {
		if len(a.Send) > 0 { // a program calls Socket.Send
			fmt.Printf("to %v: %s\n", a.To, dhcp4.Summary(a.Send))
			server.receive(a.Send)
		}
		switch a.Event {
		case dhcp4.Acquired, dhcp4.Renewed:
			lease := client.Lease()
			fmt.Printf("%v: %v by server %v\n", client.State(), lease.Address, lease.Server)
		case dhcp4.Lost:
			fmt.Println("the lease is lost")
		}
	}

	do(client.Start(now))
	for {
		deadline := client.Deadline()
		if deadline == dhcp4.Infinite {
			break // the lease is infinite
		}
		// A program waits for the socket by poll(2) until the deadline. While the client is not
		// Listening, it can close the socket.
		if len(server.answers) > 0 {
			answer := server.answers[0]
			server.answers = server.answers[1:]
			do(client.Receive(now, dhcp4.Datagram{Payload: answer}))
		} else {
			now = deadline
			do(client.Tick(now))
		}
	}

	// Output:
	// to 255.255.255.255: DISCOVER xid 0x2a rapid commit
	// to 255.255.255.255: DISCOVER xid 0x2a rapid commit
	// to 255.255.255.255: REQUEST xid 0x2a requested 192.0.2.15 server 192.0.2.1
	// BOUND: 192.0.2.15/24 by server 192.0.2.1
	// to 192.0.2.1: REQUEST xid 0x2a client 192.0.2.15
	// BOUND: 192.0.2.15/24 by server 192.0.2.1
}
