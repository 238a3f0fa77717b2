// Package dhcp6 is a DHCPv6 client (RFC 8415) for the guest of a virtual machine. The client is
// stateful, for addresses (IA_NA) and parameters, or stateless, for parameters only, as a router
// advertisement requests. The parameters are name servers and search lists (RFC 3646).
//
// Section numbers in this package are those of RFC 8415.
//
// [Client] is a state machine without a clock, a network or goroutines. The caller passes it the
// time and the datagrams that arrive, and carries out the [Action] that it returns. [Socket] sends
// and receives the datagrams of one interface. The example shows the loop that connects them.
//
// Times are durations since a fixed moment, on a clock that continues while the machine is
// suspended, such as CLOCK_BOOTTIME.
//
// # Deviations from RFC 8415
//
// A server on a virtual link answers within a millisecond, and a workload waits for the network for
// half a second at most. The client therefore sends SOLICIT, REQUEST and INFORMATION-REQUEST
// without an initial random delay (sections 18.2.1 and 18.2.6), and retransmits first after 200 ms
// instead of 1 s. The intervals then double, with jitter, up to the limits of section 7.6.
// The client accepts the first ADVERTISE that has an address, whatever its preference, and does not
// wait for others (section 18.2.9). An address that the last REPLY does not mention is dropped; it
// does not stay until its lifetime ends (section 18.2.10.1).
//
// The client does not use CONFIRM, DECLINE and RECONFIGURE: a virtual machine boots without a lease
// and stays on its link, and the client does not check whether another host uses its address.
package dhcp6
