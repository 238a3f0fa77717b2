package dhcp4

import (
	"bytes"
	"errors"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// Config configures a Client.
type Config struct {
	HardwareAddr [6]byte
	// ClientID is the client identifier, option 61. If it is empty, the client sends type 1,
	// Ethernet, and the hardware address.
	ClientID []byte
	Hostname string // option 12; not sent if empty or longer than 255 bytes
	// Random returns numbers for transaction IDs and jitter that other hosts cannot guess.
	Random    func() uint32
	Requested netip.Addr // the IPv4 address to ask for at first; the zero Addr: any
	// OfferOnly ends the exchange with the first usable OFFER, without REQUEST and Rapid Commit.
	OfferOnly bool
}

// State is a state of a client, RFC 2131 figure 5.
type State uint8

// The states, in the order in which a client enters them.
const (
	Init State = iota // not started, pausing before it starts over, or ended with an offer
	Selecting
	Requesting
	Bound
	Renewing
	Rebinding
)

func (s State) String() string {
	return [...]string{"INIT", "SELECTING", "REQUESTING", "BOUND", "RENEWING", "REBINDING"}[s]
}

// Event says what happened to the lease.
type Event uint8

// The events. After Offered, Acquired and Renewed, Client.Lease returns the lease.
const (
	NoEvent  Event = iota
	Offered        // a client with OfferOnly received an OFFER, and has ended
	Acquired       // the client holds a new lease, which may replace another one
	Renewed        // the lease on the same address was extended; its parameters may have changed
	Refused        // a server sent a NAK and no lease is held; the client pauses and starts over
	Lost           // the lease expired or its extension was refused; the client has started over
)

// Action is what the caller must do: send a message, unless Send is empty, and handle the event.
type Action struct {
	Send  []byte     // a message without UDP and IP headers; valid until the client's next action
	To    netip.Addr // its destination: 255.255.255.255 or the server's address
	Event Event
}

// Datagram is a UDP datagram to the client's port.
type Datagram struct {
	Payload []byte
	Source  netip.Addr // not used by the client: it may be a relay instead of the server
}

const (
	firstInterval = 100 * time.Millisecond // before the first retransmission; see the package comment
	maxInterval   = 64 * time.Second
	maxRequests   = 5 // REQUESTs to one server before the client starts over
)

// Client is a DHCP client for one interface, not safe for concurrent use. Each method with the
// parameter now, the current time, may change the Deadline.
type Client struct {
	config   Config
	state    State
	deadline time.Duration // the time to call Tick, or Infinite

	// The exchange.
	xid       uint32
	began     time.Duration // when acquiring or renewing began; the field secs counts from here
	sent      time.Duration // when the last message was sent
	secs      uint16        // the field secs of the last message
	tries     int           // messages sent in this state
	interval  time.Duration // until the next message; 0: see retry
	pause     time.Duration // before the client starts over the next time
	requested netip.Addr    // option 50
	server    netip.Addr    // the server whose OFFER was accepted or whose lease is held
	buf       []byte        // the message of this state

	// The lease, or the offer with OfferOnly.
	lease              *Lease
	ack                []byte
	rebindAt, expireAt time.Duration
}

// NewClient returns a client in state INIT. Start or Resume starts it.
func NewClient(config Config) *Client {
	return &Client{config: config, deadline: Infinite, requested: config.Requested}
}

// State returns the client's state.
func (c *Client) State() State { return c.state }

// Lease returns the lease that the client holds, the offer that it received with OfferOnly, or nil.
func (c *Client) Lease() *Lease { return c.lease }

// Ack returns the ACK that granted the lease, which another process can pass to Resume. It returns
// nil without a lease.
func (c *Client) Ack() []byte { return c.ack }

// Deadline returns the time at which the caller must call Tick. It is Infinite if the lease is
// infinite, the client ended with an offer, or the client was not started.
func (c *Client) Deadline() time.Duration { return c.deadline }

// Expiry returns the time at which the lease expires. It is Infinite if the lease is infinite or
// there is no lease.
func (c *Client) Expiry() time.Duration {
	if c.ack == nil { // no lease, or an offer
		return Infinite
	}
	return c.expireAt
}

// Listening reports whether the client waits for answers. If it does, a socket must be open.
func (c *Client) Listening() bool { return c.state != Init && c.state != Bound }

// SetHostname changes Config.Hostname, for the next message and all after it.
func (c *Client) SetHostname(name string) {
	c.config.Hostname = name
	if c.Listening() { // c.buf may be sent again
		c.buf = c.message().ToBytes()
	}
}

// Start begins to acquire a lease.
func (c *Client) Start(now time.Duration) Action {
	c.began = now
	c.pause = firstInterval
	return c.discover(now)
}

// Resume continues with a lease that another process acquired at the given time by the message ack.
// It fails if ack is not an ACK to this hardware address, or grants no lease.
func (c *Client) Resume(now time.Duration, ack []byte, acquired time.Duration) (Action, error) {
	m, ok := parse(ack)
	if !ok || !c.isReply(ack) || m.kind() != dhcpv4.MessageTypeAck {
		return Action{}, errors.New("resume a DHCP lease: not an ACK to this interface")
	}
	lease, err := m.lease()
	if err != nil || lease.Duration == 0 {
		return Action{}, errors.New("resume a DHCP lease: the ACK grants no lease")
	}
	c.bind(lease, ack, acquired)
	return c.Tick(now), nil
}

// Confirm asks all servers at once whether the lease is still valid, because the link was down and
// may now lead to another network (RFC 2131 section 3.7). It enters REBINDING early, with the
// retransmission intervals of a new exchange; the lease expires when it would have expired anyway.
// Without a lease, Confirm is Start.
func (c *Client) Confirm(now time.Duration) Action {
	if c.lease == nil {
		return c.Start(now)
	}
	c.xid = c.config.Random()
	c.began = now
	c.rebindAt = now
	c.interval = firstInterval
	c.enter(Rebinding)
	return c.transmit(now)
}

// Tick does what is due at the deadline. Before the deadline it does nothing. The time may be far
// past the deadline, such as after the host was suspended.
func (c *Client) Tick(now time.Duration) Action {
	if now < c.deadline {
		return Action{}
	}
	switch {
	case c.state == Init:
		return c.discover(now)
	case c.state == Requesting && c.tries == maxRequests:
		c.startOver(now)
		return Action{}
	case c.state < Bound:
		return c.transmit(now)
	case now >= c.expireAt:
		return c.lose(now, c.lease.Address.Addr())
	}
	if c.state == Bound {
		c.xid = c.config.Random()
		c.began = now
	}
	next := Renewing
	if now >= c.rebindAt {
		next = Rebinding
	}
	if c.state != next {
		c.enter(next)
	}
	return c.transmit(now)
}

// Receive handles a datagram. It ignores datagrams that are not an expected answer, without
// allocating memory for them.
func (c *Client) Receive(now time.Duration, d Datagram) Action {
	if !c.Listening() || !c.isReply(d.Payload) || xid(d.Payload) != c.xid {
		return Action{}
	}
	m, ok := parse(d.Payload)
	if !ok {
		return Action{}
	}
	// After a server was chosen, only its answers count. In REBINDING any server may answer.
	server := m.server()
	expected := c.state == Selecting || c.state == Rebinding || server == c.server
	if !isHost(server) || !expected {
		return Action{}
	}
	switch kind := m.kind(); {
	case kind == dhcpv4.MessageTypeNak && c.state != Selecting:
		return c.refused(now)
	case !isHost(m.address()): // neither offers nor grants an address
	case kind == dhcpv4.MessageTypeOffer && c.state == Selecting:
		return c.offered(now, m)
	case kind == dhcpv4.MessageTypeAck && (c.state != Selecting || !c.config.OfferOnly):
		// In SELECTING this is Rapid Commit. RFC 4039 requires option 80 in the ACK. libkrun's own
		// clients accept an ACK without option 80, so servers for libkrun may omit it.
		return c.acknowledged(now, m)
	}
	return Action{}
}

// isReply reports whether b begins like a reply to this client's hardware address.
func (c *Client) isReply(b []byte) bool {
	return len(b) >= fixedSize && b[0] == byte(dhcpv4.OpcodeBootReply) &&
		b[1] == byte(iana.HWTypeEthernet) && int(b[2]) == len(c.config.HardwareAddr) &&
		[6]byte(b[offCHAddr:]) == c.config.HardwareAddr
}

// enter changes the state and makes its message.
func (c *Client) enter(state State) {
	c.state, c.tries = state, 0
	c.buf = c.message().ToBytes()
}

// discover begins a new exchange.
func (c *Client) discover(now time.Duration) Action {
	c.xid = c.config.Random()
	c.interval = firstInterval
	c.enter(Selecting)
	return c.transmit(now)
}

// offered handles an OFFER.
func (c *Client) offered(now time.Duration, m message) Action {
	if c.config.OfferOnly {
		lease, err := m.lease()
		if err != nil {
			return Action{}
		}
		c.state, c.deadline, c.lease, c.server = Init, Infinite, lease, lease.Server
		return Action{Event: Offered}
	}
	c.server, c.requested = m.server(), m.address()
	c.interval = firstInterval
	c.enter(Requesting)
	return c.transmit(now)
}

// acknowledged handles an ACK. It ignores an ACK that has no lease time or whose lease has expired.
func (c *Client) acknowledged(now time.Duration, m message) Action {
	if m.leaseSeconds() == 0 {
		return Action{}
	}
	lease, err := m.lease()
	// The lease begins when the request was sent (RFC 2131 section 4.4.1).
	if err != nil || lease.Duration != Infinite && c.sent+lease.Duration <= now {
		return Action{}
	}
	event := Acquired
	if c.lease != nil && c.lease.Address.Addr() == lease.Address.Addr() {
		event = Renewed
	}
	c.bind(lease, m.bytes, c.sent)
	return Action{Event: event}
}

// refused handles a NAK.
func (c *Client) refused(now time.Duration) Action {
	if c.lease != nil {
		return c.lose(now, netip.Addr{})
	}
	c.requested = netip.Addr{}
	c.startOver(now)
	return Action{Event: Refused}
}

// lose drops the lease and starts over, asking for the given address if it is valid.
func (c *Client) lose(now time.Duration, requested netip.Addr) Action {
	c.lease, c.ack = nil, nil
	c.requested = requested
	a := c.Start(now)
	a.Event = Lost
	return a
}

// startOver returns to INIT for a pause. The pause doubles each time, to limit the load on a server
// that refuses.
func (c *Client) startOver(now time.Duration) {
	c.state = Init
	c.deadline = now + c.jitter(c.pause)
	c.pause = min(2*c.pause, maxInterval)
}

// bind enters BOUND with a lease that began at the given time.
func (c *Client) bind(lease *Lease, ack []byte, began time.Duration) {
	c.state, c.server, c.lease, c.ack = Bound, lease.Server, lease, bytes.Clone(ack)
	c.deadline, c.rebindAt, c.expireAt = Infinite, Infinite, Infinite
	c.interval = 0
	if lease.Duration != Infinite {
		// Machines that were started together must not renew together (RFC 2131 section 4.4.5).
		early := lease.T1 / 32 / 1024 * time.Duration(c.config.Random()%1024)
		c.deadline = began + lease.T1 - early
		c.rebindAt, c.expireAt = began+lease.T2, began+lease.Duration
	}
}
