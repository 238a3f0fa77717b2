// Package dhcp6 is a DHCPv6 client for the guest of a virtual machine: RFC 8415, stateful for addresses (IA_NA) or
// stateless for parameters only, as a router advertisement asks for, with name servers and search lists (RFC 3646).
//
// Client is a state machine without a clock, a network or goroutines: it is told the time and the datagrams that arrive,
// and says what to send and when it wants to be called again. Socket is the UDP socket that goes with it. The loop around
// them is the caller's:
//
//	client := dhcp6.NewClient(config)
//	do(client.Start(now()))
//	for {
//		at, ok := client.Deadline() // not ok: nothing to do any more
//		// open the socket where client.Listening() and it is closed; poll(2) it until at
//		if datagram, err := recvmsg.Receive(buf); err == nil {
//			do(client.Receive(now(), datagram))
//		} else if now() >= at {
//			do(client.Tick(now()))
//		}
//	}
//
// where do sends Action.Send, by Socket.Send, and handles Action.Event. Time is the time since any fixed moment on a clock
// that goes on while the machine sleeps, such as CLOCK_BOOTTIME.
//
// # Deviations from RFC 8415
//
// A server on a virtual link answers within a millisecond, and a workload waits for the network half a second at most. So
// SOLICIT, REQUEST and INFORMATION-REQUEST are sent without a random delay before (sections 18.2.1 and 18.2.6), and again
// first after 200 ms, not 1 s; from then on intervals double, with jitter, up to the times of section 7.6. The first
// ADVERTISE with an address is taken, whatever its preference, without waiting for others (section 18.2.9).
//
// A lease has the addresses of the last REPLY. One that the server says nothing of any more is gone, and does not live on
// until its time ends (section 18.2.10.1).
//
// CONFIRM, DECLINE and RECONFIGURE are not used: a virtual machine that boots knows of no lease, and stays on its link,
// where it does not look for others with its address.
package dhcp6
