package dhcp6

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/krunbox/krunbox/pkg/inet"
)

// Config is what a Client needs to know.
type Config struct {
	DUID     []byte        // who we are: 1 to 130 bytes, such as DUIDLinkLayer makes
	IAID     uint32        // which of our interfaces this is; always the same for the same one
	Random   func() uint32 // makes transaction IDs, which others on the link must not guess, and jitter
	Stateful bool          // ask for addresses, too
	// OfferOnly ends at the first acceptable ADVERTISE and takes nothing: no REQUEST, no Rapid Commit. A stateless client
	// ends at its REPLY, which costs the server nothing.
	OfferOnly bool
}

// State is what a client is doing.
type State uint8

// The states. A stateless client knows Init, Informing and Bound.
const (
	Init       State = iota // nothing sent yet, or a pause before starting over
	Soliciting              // looking for a server
	Requesting              // addresses of the server that was found
	Informing               // asking for parameters, without addresses
	Bound
	Renewing  // at the server that the lease is from
	Rebinding // at any server
)

func (s State) String() string {
	return [...]string{"INIT", "SOLICITING", "REQUESTING", "INFORMING", "BOUND", "RENEWING", "REBINDING"}[s]
}

// Event is what became of the lease.
type Event uint8

// Events. After Acquired, Renewed and Offered, Client.Lease has the lease.
const (
	NoEvent  Event = iota
	Offered        // the answer that a client with OfferOnly was to get is there; it has ended
	Acquired       // a new lease, maybe in place of another
	Renewed        // the same addresses for longer; the rest of the lease may have changed
	Refused        // a server has no address for us, with no lease held; the client tries again later
	Lost           // the lease expired, or the server has ended it; the client has started over
)

// Action is what a caller has to do: to send a message, if Send is not empty, and to handle the event.
type Action struct {
	Send  []byte // a message to ff02::1:2, port 547, without UDP and IP headers; valid until the client's next action
	Event Event
}

// Datagram is a UDP datagram for the client's port.
type Datagram struct {
	Payload []byte
	Source  inet.Addr
}

// Retransmission: section 7.6, but for firstTimeout, which the package comment explains.
const (
	firstTimeout   = 200 * time.Millisecond // SOL_TIMEOUT, REQ_TIMEOUT, INF_TIMEOUT
	extendTimeout  = 10 * time.Second       // REN_TIMEOUT, REB_TIMEOUT
	maxTimeout     = time.Hour              // SOL_MAX_RT, INF_MAX_RT; a server may change them
	maxRequest     = 30 * time.Second       // REQ_MAX_RT
	maxExtend      = 10 * time.Minute       // REN_MAX_RT, REB_MAX_RT
	requests       = 10                     // REQ_MAX_RC: REQUESTs to one server before the client starts over
	maxInformDelay = time.Second            // INF_MAX_DELAY
)

// never is the time of what does not happen.
const never = Infinite

// Client is the state machine. Each method that is told the time may change the deadline.
type Client struct {
	config   Config
	state    State
	deadline time.Duration // when to Tick

	// The exchange: one kind of message, sent until it is answered.
	xid     uint32
	began   time.Duration // when the first message was sent: the elapsed time counts from here
	tries   int           // messages sent
	timeout time.Duration // the last one's, 0 before the first
	longest time.Duration // SOL_MAX_RT or INF_MAX_RT
	pause   time.Duration // before starting over, the next time
	server  []byte        // DUID of the server whose ADVERTISE was taken, or lease is held
	wanted  []Address     // what the messages ask for
	buf     []byte        // the message in Action.Send

	lease              *Lease
	rebindAt, expireAt time.Duration // never without a lease
}

// NewClient returns a client in state INIT, which waits for Start.
func NewClient(config Config) *Client {
	return &Client{config: config, deadline: never, longest: maxTimeout, rebindAt: never, expireAt: never}
}

// State returns the client's state.
func (c *Client) State() State { return c.state }

// Lease returns the lease that is held, or with OfferOnly the one that was offered; nil if there is none.
func (c *Client) Lease() *Lease { return c.lease }

// Deadline returns when to call Tick. It is false when there is nothing to do any more: the lease is infinite, the offer of
// OfferOnly is there, or the client was not started.
func (c *Client) Deadline() (at time.Duration, ok bool) { return c.deadline, c.deadline != never }

// Listening tells whether the client expects answers, so that a socket must be open. It does not while it holds a lease
// that needs no renewal yet, nor while it pauses.
func (c *Client) Listening() bool { return c.state != Init && c.state != Bound }

// Start begins to acquire a lease.
func (c *Client) Start(now time.Duration) Action {
	c.pause = firstTimeout
	return c.acquire(now)
}

// Tick does what is due. Before the deadline that is nothing. The clock may have jumped over any number of times at which
// something was due, as when the host slept.
func (c *Client) Tick(now time.Duration) Action {
	if now < c.deadline {
		return Action{}
	}
	switch {
	case now >= c.expireAt:
		return c.lose(now)
	case c.state == Init:
		return c.acquire(now)
	case c.state == Requesting && c.tries == requests:
		return c.startOver(now, NoEvent)
	case c.state == Bound && !c.config.Stateful:
		return c.begin(now, Informing)
	case (c.state == Bound || c.state == Renewing) && now >= c.rebindAt:
		return c.begin(now, Rebinding)
	case c.state == Bound:
		return c.begin(now, Renewing)
	}
	return c.transmit(now)
}

// Receive takes a datagram. It ignores, without allocating, whatever is not an answer to the last message.
func (c *Client) Receive(now time.Duration, d Datagram) Action {
	if !c.Listening() || len(d.Payload) < headerSize || binary.BigEndian.Uint32(d.Payload)&0xffffff != c.xid {
		return Action{}
	}
	m, ok := parse(d.Payload)
	if !ok || !bytes.Equal(m.find(optClientID), c.config.DUID) {
		return Action{}
	}
	server := m.find(optServerID)
	if len(server) == 0 || len(server) > maxDUID {
		return Action{}
	}
	// Once a server is chosen, only that one's answers count, until in REBINDING any server may extend the lease.
	chosen := bytes.Equal(server, c.server) || c.state == Rebinding
	switch {
	case m.kind == msgReply && c.state == Informing:
		return c.informed(now, &m, newLease(&m, server, d.Source))
	case m.kind == msgReply && c.state != Soliciting && chosen,
		m.kind == msgReply && c.state == Soliciting && !c.config.OfferOnly && m.find(optRapidCommit) != nil,
		m.kind == msgAdvertise && c.state == Soliciting:
		return c.answered(now, &m, newLease(&m, server, d.Source))
	}
	return Action{}
}

// informed takes a REPLY to an INFORMATION-REQUEST.
func (c *Client) informed(now time.Duration, m *message, lease *Lease) Action {
	c.setLongest(m.seconds(optInfMaxRT))
	if m.status() != statusSuccess {
		return Action{}
	}
	lease.setRefresh(m)
	return c.bind(now, lease)
}

// answered takes an ADVERTISE, or a REPLY about addresses. One that says nothing of them, or fails in a way that is none of
// ours, is left to the next retransmission (section 18.2.10).
func (c *Client) answered(now time.Duration, m *message, lease *Lease) Action {
	c.setLongest(m.seconds(optSolMaxRT)) // which counts if there is no address, too
	ia, ok := m.identity(c.config.IAID)
	if ok {
		lease.setAddresses(ia)
	}
	status := m.status()
	if status == statusSuccess {
		status = ia.status()
	}
	switch {
	case status == statusSuccess && len(lease.Addresses) > 0:
		if m.kind == msgAdvertise && !c.config.OfferOnly {
			return c.request(now, lease.Server, lease.Addresses)
		}
		return c.bind(now, lease)
	case status == statusSuccess && c.lease != nil && ia.withdraws(c.lease):
		return c.lose(now)
	case status == statusNoBinding && c.state >= Renewing:
		return c.request(now, lease.Server, c.lease.Addresses)
	case status == statusNoAddrsAvail && c.state == Soliciting:
		return Action{Event: Refused} // another SOLICIT will go out anyway, later each time
	case status == statusNoAddrsAvail && c.state == Requesting, status == statusNotOnLink && c.state != Soliciting:
		return c.startOver(now, Refused)
	}
	return Action{}
}

// setLongest takes a new limit to the timeouts, if it is one that may be set (sections 21.24 and 21.25).
func (c *Client) setLongest(limit time.Duration, ok bool) {
	if ok && limit >= time.Minute && limit <= 24*time.Hour {
		c.longest = limit
	}
}

// acquire begins to acquire a lease, when none is held.
func (c *Client) acquire(now time.Duration) Action {
	c.server, c.wanted = nil, nil
	if c.config.Stateful {
		return c.begin(now, Soliciting)
	}
	return c.begin(now, Informing)
}

// request asks a server for addresses, maybe those of the lease that is held.
func (c *Client) request(now time.Duration, server []byte, addresses []Address) Action {
	c.server, c.wanted = server, addresses
	return c.begin(now, Requesting)
}

// bind holds a lease, or ends with the offer.
func (c *Client) bind(now time.Duration, lease *Lease) Action {
	event := Acquired
	if c.lease != nil && sameAddresses(c.lease, lease) {
		event = Renewed
	}
	c.lease, c.server, c.wanted = lease, lease.Server, lease.Addresses
	switch {
	case c.config.OfferOnly:
		c.state, c.deadline = Init, never
		return Action{Event: Offered}
	case c.config.Stateful:
		c.state, c.deadline = Bound, after(now, lease.T1)
		c.rebindAt, c.expireAt = after(now, lease.T2), after(now, lease.valid())
	default:
		// Up to a second later, for machines that were started together (section 18.2.6).
		c.state, c.deadline = Bound, after(now, lease.Refresh)
		if c.deadline != never {
			c.deadline += maxInformDelay / 1024 * time.Duration(c.config.Random()%1024)
		}
	}
	return Action{Event: event}
}

// after returns the time that is d after now.
func after(now, d time.Duration) time.Duration {
	if d == Infinite {
		return never
	}
	return now + d
}

// startOver loses the lease, if one is held. Else it pauses in state INIT, longer each time: a server that refuses all we
// ask for must not be asked all the time.
func (c *Client) startOver(now time.Duration, event Event) Action {
	if c.lease != nil {
		return c.lose(now)
	}
	c.state = Init
	c.deadline = now + c.pause + c.jitter(c.pause)
	c.pause = min(2*c.pause, c.longest)
	return Action{Event: event}
}

// lose drops the lease and starts over at once.
func (c *Client) lose(now time.Duration) Action {
	c.lease, c.rebindAt, c.expireAt = nil, never, never
	a := c.Start(now)
	a.Event = Lost
	return a
}

// begin begins the exchange that belongs to a state.
func (c *Client) begin(now time.Duration, state State) Action {
	c.state = state
	c.xid = c.config.Random() & 0xffffff
	c.began = now
	c.tries = 0
	c.timeout = 0
	return c.transmit(now)
}

// transmit makes the message of the state, and sets the time to send it again (section 15). What the message is for may end
// before: section 18.2.4 for RENEW, 18.2.5 for REBIND.
func (c *Client) transmit(now time.Duration) Action {
	c.tries++
	first, longest, end := firstTimeout, c.longest, c.expireAt
	switch c.state {
	case Requesting:
		longest = maxRequest
	case Renewing:
		first, longest, end = extendTimeout, maxExtend, min(c.rebindAt, c.expireAt)
	case Rebinding:
		first, longest = extendTimeout, maxExtend
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
	return Action{Send: c.message(now)}
}

// jitter returns up to a tenth of d, or of -d.
func (c *Client) jitter(d time.Duration) time.Duration {
	return d/5/1024*time.Duration(c.config.Random()%1024) - d/10
}

// message makes the message of the state.
func (c *Client) message(now time.Duration) []byte {
	kinds := [...]byte{Soliciting: msgSolicit, Requesting: msgRequest, Informing: msgInformationRequest, Renewing: msgRenew,
		Rebinding: msgRebind}
	b := appendHeader(c.buf[:0], kinds[c.state], c.xid)
	b = appendOption(b, optClientID, c.config.DUID...)
	if c.state == Requesting || c.state == Renewing {
		b = appendOption(b, optServerID, c.server...)
	}
	elapsed := min((now-c.began)/(10*time.Millisecond), 0xffff)
	b = appendOption(b, optElapsed, byte(elapsed>>8), byte(elapsed))
	if c.state == Informing {
		b = appendOption(b, optRequest, 0, optDNS, 0, optSearch, 0, optRefresh, 0, optInfMaxRT)
	} else {
		b = appendIdentity(b, c.config.IAID, c.wanted)
		b = appendOption(b, optRequest, 0, optDNS, 0, optSearch, 0, optSolMaxRT)
	}
	if c.state == Soliciting && !c.config.OfferOnly {
		b = appendOption(b, optRapidCommit)
	}
	c.buf = b
	return b
}

// Release returns the RELEASE of the lease; nil if no addresses are held. The caller stops using them and the client before
// it sends that.
func (c *Client) Release() []byte {
	if c.lease == nil || !c.config.Stateful || c.config.OfferOnly {
		return nil
	}
	b := appendHeader(nil, msgRelease, c.config.Random())
	b = appendOption(b, optClientID, c.config.DUID...)
	b = appendOption(b, optServerID, c.lease.Server...)
	b = appendOption(b, optElapsed, 0, 0)
	return appendIdentity(b, c.config.IAID, c.lease.Addresses)
}
