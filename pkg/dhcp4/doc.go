// Package dhcp4 is a DHCPv4 client for the guest of a virtual machine: RFC 2131, with Rapid Commit (RFC 4039), classless
// routes (RFC 3442), search lists (RFC 3397) and split options (RFC 3396).
//
// Client is a state machine without a clock, a network or goroutines: it is told the time and the datagrams that arrive,
// and says what to send and when it wants to be called again. Socket is the packet socket that goes with it. The loop
// around them is the caller's:
//
//	client := dhcp.NewClient(config)
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
// # Deviations from RFC 2131
//
// A server on a virtual link answers within a millisecond, and a workload waits for the network half a second at most. So
// the first retransmission comes after 100 ms, not 4 s, there is no random delay before the first message (section 4.4.1)
// and no ARP probe of the address (section 4.4.1, a SHOULD), which would cost seconds. Intervals double up to 64 s, each
// with a jitter of 25 %, as section 4.1 wants them from then on.
package dhcp4
