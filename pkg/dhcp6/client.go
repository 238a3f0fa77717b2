package dhcp6

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// Config configures a Client.
type Config struct {
	DUID []byte // identifies the client: 1 to 130 bytes, such as DUIDLinkLayer returns
	IAID uint32 // identifies the interface among those of the client; the same in every boot
	// Random returns numbers for transaction IDs and jitter that other hosts cannot guess.
	Random   func() uint32
	Stateful bool // ask for addresses besides parameters
	// OfferOnly ends the exchange with the first usable ADVERTISE, without REQUEST and Rapid
	// Commit. A stateless client ends with the REPLY, which allocates nothing on the server.
	OfferOnly bool
}

// State is a state of a Client.
type State uint8

// The states. A stateless client is only in Init, Informing and Bound.
const (
	Init       State = iota // not started, or pausing before it starts over
	Soliciting              // looking for a server
	Requesting              // asking the chosen server for addresses
	Informing               // asking for parameters only
	Bound                   // holding a lease
	Renewing                // asking the lease's server to extend it
	Rebinding               // asking any server to extend the lease
)

// String returns the name of the state in capitals.
func (s State) String() string {
	return [...]string{
		"INIT", "SOLICITING", "REQUESTING", "INFORMING", "BOUND", "RENEWING", "REBINDING",
	}[s]
}

// Event is a change of the lease.
type Event uint8

// The events. After Acquired, Renewed and Offered, Client.Lease returns the lease.
const (
	NoEvent  Event = iota
	Offered        // a client with OfferOnly received its answer, and has ended
	Acquired       // the client holds a lease with other addresses than before
	Renewed        // the lease on the same addresses was extended; its parameters may have changed
	Refused        // a server has no address and no lease is held; the client tries again later
	Lost           // the lease expired or the server withdrew it; the client has started over
)

// Action is what the caller must do: send a message, unless Send is empty, and handle the event.
type Action struct {
	// Send is the payload of a UDP datagram to ff02::1:2, port 547. It is valid until the client's
	// next action.
	Send  []byte
	Event Event
}

// Datagram is a UDP datagram that arrived at the client's port.
type Datagram struct {
	Payload []byte
	Source  netip.Addr
}

// Retransmission parameters: section 7.6, except firstTimeout; see the package comment.
const (
	firstTimeout      = 200 * time.Millisecond // SOL_TIMEOUT, REQ_TIMEOUT, INF_TIMEOUT
	defaultMaxTimeout = time.Hour              // SOL_MAX_RT, INF_MAX_RT
	maxRequestTimeout = 30 * time.Second       // REQ_MAX_RT
	extendTimeout     = 10 * time.Second       // REN_TIMEOUT, REB_TIMEOUT
	maxExtendTimeout  = 10 * time.Minute       // REN_MAX_RT, REB_MAX_RT
	maxRequests       = 10                     // REQ_MAX_RC
	triesPerID        = 8                      // unanswered messages with one transaction ID
	maxInformDelay    = time.Second            // INF_MAX_DELAY
)

// Client is a DHCPv6 client for one interface, not safe for concurrent use. Each method with the
// parameter now, the current time, may change the Deadline.
type Client struct {
	config   Config
	state    State
	deadline time.Duration // of the next Tick

	// The exchange: a message that is sent repeatedly until a server answers it.
	xid        dhcpv6.TransactionID
	message    []byte
	began      time.Duration // when the message was first sent
	tries      int           // how often the message was sent
	timeout    time.Duration // until the message is sent again; 0 before it is first sent
	maxTimeout time.Duration // SOL_MAX_RT or INF_MAX_RT, which servers may change
	pause      time.Duration // before the client starts over the next time
	server     []byte        // DUID of the chosen server
	wanted     []Address     // the addresses to ask for

	lease              *Lease
	rebindAt, expireAt time.Duration // Infinite without a lease
}

// NewClient returns a client in state Init.
func NewClient(config Config) *Client {
	return &Client{
		config: config, deadline: Infinite, maxTimeout: defaultMaxTimeout,
		rebindAt: Infinite, expireAt: Infinite,
	}
}

// State returns the client's state.
func (c *Client) State() State { return c.state }

// Lease returns the lease that the client holds, the offer that it received with OfferOnly, or nil.
func (c *Client) Lease() *Lease { return c.lease }

// Deadline returns the time at which the caller must call Tick. It is Infinite if the lease is
// infinite, the client ended with an offer, or the client was not started.
func (c *Client) Deadline() time.Duration { return c.deadline }

// Listening reports whether the client waits for answers. If it does, a socket must be open.
func (c *Client) Listening() bool { return c.state != Init && c.state != Bound }

// Start begins to acquire a lease.
func (c *Client) Start(now time.Duration) Action {
	c.pause = firstTimeout
	return c.acquire(now)
}

// Tick does what is due at the deadline. Before the deadline it does nothing. The time may be far
// past the deadline, such as after the host was suspended.
func (c *Client) Tick(now time.Duration) Action {
	if now < c.deadline {
		return Action{}
	}
	switch {
	case now >= c.expireAt:
		return c.lose(now)
	case c.state == Init:
		return c.acquire(now)
	case c.state == Requesting && c.tries == maxRequests:
		return c.startOver(now, NoEvent)
	case c.state == Bound && !c.config.Stateful:
		return c.begin(now, Informing)
	case (c.state == Bound || c.state == Renewing) && now >= c.rebindAt:
		return c.begin(now, Rebinding)
	case c.state == Bound:
		return c.begin(now, Renewing)
	case (c.state == Soliciting || c.state == Informing) && c.tries%triesPerID == 0:
		// The exchange goes on until a server answers. A new ID keeps other hosts from guessing one
		// of 24 bits in that time.
		c.recompose()
	}
	return c.transmit(now)
}

// Receive handles a datagram. It ignores datagrams that do not answer the client's last message,
// without allocating memory for them.
func (c *Client) Receive(now time.Duration, d Datagram) Action {
	if !c.Listening() || len(d.Payload) < headerSize ||
		dhcpv6.TransactionID(d.Payload[1:headerSize]) != c.xid {
		return Action{}
	}
	id, ok := find(d.Payload[headerSize:], dhcpv6.OptionClientID)
	if !ok || !bytes.Equal(id, c.config.DUID) {
		return Action{}
	}
	m, ok := parse(d.Payload)
	if !ok {
		return Action{}
	}
	server := value(m, dhcpv6.OptionServerID)
	if len(server) == 0 || len(server) > maxDUID {
		return Action{}
	}
	// After a server was chosen, only its answers count. In REBINDING any server may answer.
	chosen := bytes.Equal(server, c.server) || c.state == Rebinding
	reply := m.MessageType == dhcpv6.MessageTypeReply
	rapid := m.GetOneOption(dhcpv6.OptionRapidCommit) != nil && !c.config.OfferOnly
	switch {
	case reply && c.state == Informing:
		return c.informed(now, m, newLease(m, server, d.Source))
	case reply && c.state != Soliciting && chosen,
		reply && c.state == Soliciting && rapid,
		m.MessageType == dhcpv6.MessageTypeAdvertise && c.state == Soliciting:
		return c.answered(now, m, newLease(m, server, d.Source))
	}
	return Action{}
}

// informed handles a REPLY to an INFORMATION-REQUEST.
func (c *Client) informed(now time.Duration, m *dhcpv6.Message, lease *Lease) Action {
	c.setMaxTimeout(m, dhcpv6.OptionInfMaxRT)
	if status(m.Options.Options).StatusCode != iana.StatusSuccess {
		return Action{}
	}
	lease.Refresh = defaultRefresh
	if refresh, ok := seconds(m, dhcpv6.OptionInformationRefreshTime); ok {
		lease.Refresh = max(refresh, minRefresh)
	}
	return c.bind(now, lease)
}

// answered handles an ADVERTISE, or a REPLY about addresses. If the message neither grants nor
// refuses addresses, the client goes on with its retransmissions (section 18.2.10).
func (c *Client) answered(now time.Duration, m *dhcpv6.Message, lease *Lease) Action {
	c.setMaxTimeout(m, dhcpv6.OptionSolMaxRT) // even if the message has no address
	ia := identity(m, c.config.IAID)
	lease.setAddresses(ia)
	code := status(m.Options.Options).StatusCode
	if code == iana.StatusSuccess {
		code = status(ia.Options.Options).StatusCode
	}
	switch {
	case code == iana.StatusSuccess && len(lease.Addresses) > 0:
		if m.MessageType == dhcpv6.MessageTypeAdvertise && !c.config.OfferOnly {
			return c.request(now, lease.Server, lease.Addresses)
		}
		return c.bind(now, lease)
	case code == iana.StatusSuccess && c.lease != nil && withdraws(ia, c.lease):
		return c.lose(now)
	case code == iana.StatusNoBinding && c.state >= Renewing:
		return c.request(now, lease.Server, c.lease.Addresses)
	case code == iana.StatusNoAddrsAvail && c.state == Soliciting:
		return Action{Event: Refused} // Tick sends SOLICIT again, at growing intervals
	case code == iana.StatusNoAddrsAvail && c.state == Requesting,
		code == iana.StatusNotOnLink && c.state != Soliciting:
		return c.startOver(now, Refused)
	}
	return Action{}
}

// setMaxTimeout sets the maximum timeout to the value of an option, if the message has it and its
// value is within the permitted range (sections 21.24 and 21.25).
func (c *Client) setMaxTimeout(m *dhcpv6.Message, code dhcpv6.OptionCode) {
	if limit, ok := seconds(m, code); ok && limit >= time.Minute && limit <= 24*time.Hour {
		c.maxTimeout = limit
	}
}

// acquire begins to acquire a lease when there is none.
func (c *Client) acquire(now time.Duration) Action {
	c.server, c.wanted = nil, nil
	if c.config.Stateful {
		return c.begin(now, Soliciting)
	}
	return c.begin(now, Informing)
}

// request asks a server for addresses. They may be those of the current lease.
func (c *Client) request(now time.Duration, server []byte, addresses []Address) Action {
	c.server, c.wanted = server, addresses
	return c.begin(now, Requesting)
}

// bind enters state Bound with a lease. A client with OfferOnly ends instead.
func (c *Client) bind(now time.Duration, lease *Lease) Action {
	event := Acquired
	if c.lease != nil && sameAddresses(c.lease, lease) {
		event = Renewed
	}
	c.lease, c.server, c.wanted = lease, lease.Server, lease.Addresses
	switch {
	case c.config.OfferOnly:
		c.state, c.deadline = Init, Infinite
		return Action{Event: Offered}
	case c.config.Stateful:
		c.state, c.deadline = Bound, after(now, lease.T1)
		c.rebindAt, c.expireAt = after(now, lease.T2), after(now, lease.valid())
	default:
		// A random delay of up to a second spreads the requests of machines that were started
		// together (section 18.2.6).
		c.state, c.deadline = Bound, after(now, lease.Refresh)
		if c.deadline != Infinite {
			c.deadline += maxInformDelay / 1024 * time.Duration(c.config.Random()%1024)
		}
	}
	return Action{Event: event}
}

// after returns the time that is d after now.
func after(now, d time.Duration) time.Duration {
	if d == Infinite {
		return Infinite
	}
	return now + d
}

// startOver drops the lease, if there is one, and starts over at once. Otherwise it enters Init for
// a pause. The pause doubles each time, to limit the load on a server that refuses.
func (c *Client) startOver(now time.Duration, event Event) Action {
	if c.lease != nil {
		return c.lose(now)
	}
	c.state = Init
	c.deadline = now + c.pause + c.jitter(c.pause)
	c.pause = min(2*c.pause, c.maxTimeout)
	return Action{Event: event}
}

// lose drops the lease and starts over at once.
func (c *Client) lose(now time.Duration) Action {
	c.lease, c.rebindAt, c.expireAt = nil, Infinite, Infinite
	a := c.Start(now)
	a.Event = Lost
	return a
}

// begin enters a state and begins its exchange.
func (c *Client) begin(now time.Duration, state State) Action {
	c.state, c.began, c.tries, c.timeout = state, now, 0, 0
	c.recompose()
	return c.transmit(now)
}

// recompose encodes the message of the exchange with a new transaction ID.
func (c *Client) recompose() {
	m := c.compose()
	c.xid, c.message = m.TransactionID, m.ToBytes()
}

// transmit returns the message of the exchange, and sets the deadline for sending it again (section
// 15). If the exchange ends earlier, the deadline is its end: section 18.2.4 for RENEW, 18.2.5 for
// REBIND.
func (c *Client) transmit(now time.Duration) Action {
	c.tries++
	first, longest, end := firstTimeout, c.maxTimeout, c.expireAt
	switch c.state {
	case Requesting:
		longest = maxRequestTimeout
	case Renewing:
		first, longest, end = extendTimeout, maxExtendTimeout, min(c.rebindAt, c.expireAt)
	case Rebinding:
		first, longest = extendTimeout, maxExtendTimeout
	}
	if c.timeout == 0 {
		c.timeout = first + c.jitter(first)
	} else {
		c.timeout = 2*c.timeout + c.jitter(c.timeout)
	}
	if c.timeout > longest {
		c.timeout = longest + c.jitter(longest)
	}
	c.deadline = min(now+c.timeout, end)
	setElapsed(c.message, now-c.began)
	return Action{Send: c.message}
}

// jitter returns a random duration between -d/10 and d/10.
func (c *Client) jitter(d time.Duration) time.Duration {
	return d/5/1024*time.Duration(c.config.Random()%1024) - d/10
}

// Release returns a RELEASE message for the lease, or nil without leased addresses. The caller
// removes the addresses and stops using the client before it sends the message.
func (c *Client) Release() []byte {
	if c.lease == nil || !c.config.Stateful || c.config.OfferOnly {
		return nil
	}
	m := c.newMessage(dhcpv6.MessageTypeRelease, c.lease.Server)
	m.AddOption(newIdentity(c.config.IAID, c.lease.Addresses))
	return m.ToBytes()
}
