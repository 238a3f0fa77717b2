// Package dhcp4 is a DHCPv4 client for the guest of a virtual machine. It implements RFC 2131 with
// Rapid Commit (RFC 4039), classless routes (RFC 3442), search lists (RFC 3397) and long options
// (RFC 3396).
//
// Client is a state machine without a clock, a network or goroutines. The caller passes it the time
// and the datagrams that arrive, and carries out the Action that it returns. Socket sends and
// receives the datagrams of one interface. The example shows the loop that connects them.
//
// Times are durations since a fixed moment, on a clock that continues while the machine is
// suspended, such as CLOCK_BOOTTIME.
//
// # Deviations from RFC 2131
//
// A server on a virtual link answers within a millisecond, and programs of the guest wait for the
// network. Therefore the first retransmission is sent after 100 ms instead of 4 s, the first
// message is sent without the random delay of section 4.4.1, and the client does not probe the
// address by ARP, which section 4.4.1 recommends and which takes seconds. Retransmission intervals
// double up to 64 s, each with a jitter of 25 %. There are no states INIT-REBOOT and REBOOTING,
// because a booting virtual machine does not know an earlier lease.
package dhcp4
