package dhcp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"github.com/krunbox/krunbox/pkg/inet"
)

// Config is what a Client needs to know.
type Config struct {
	HardwareAddr [6]byte
	ClientID     []byte        // option 61; empty: type 1, Ethernet, and the hardware address
	Hostname     string        // option 12, at most 255 bytes; "" sends none
	Random       func() uint32 // makes transaction IDs, which others on the link must not guess, and jitter
	Requested    inet.Addr     // the address to ask for at first, if valid
	// OfferOnly ends at the first acceptable OFFER and takes nothing: no REQUEST, no Rapid Commit.
	OfferOnly bool
}

// State is a state of RFC 2131 figure 5. INIT-REBOOT and REBOOTING are not among them: a virtual machine that boots knows
// of no lease.
type State uint8

// The states, in the order in which a client goes through them.
const (
	Init State = iota // nothing sent yet, or a pause before starting over
	Selecting
	Requesting
	Bound
	Renewing
	Rebinding
)

func (s State) String() string {
	return [...]string{"INIT", "SELECTING", "REQUESTING", "BOUND", "RENEWING", "REBINDING"}[s]
}

// Event is what became of the lease.
type Event uint8

// Events. After Acquired, Renewed and Offered, Client.Lease has the lease.
const (
	NoEvent  Event = iota
	Offered        // the OFFER that a client with OfferOnly was to get is there; it has ended
	Acquired       // a new lease, maybe in place of another
	Renewed        // the same address for longer; the rest of the lease may have changed
	Refused        // a NAK, with no lease held; the client starts over after a pause
	Lost           // the lease expired, or its extension was refused; the client has started over
)

// Action is what a caller has to do: to send a message, if Send is not empty, and to handle the event.
type Action struct {
	Send []byte // a message without UDP and IP headers; valid until the client's next action
	// To is where to send it: 255.255.255.255, or the server, to which it goes as any other datagram does.
	To    inet.Addr
	Event Event
}

// Datagram is a UDP datagram for the client's port.
type Datagram struct {
	Payload []byte
	Source  inet.Addr // of its IP header. The client goes by option 54 instead: there may be a relay in between.
}

// Retransmission; see the package comment.
const (
	firstInterval = 100 * time.Millisecond
	maxInterval   = 64 * time.Second
	requests      = 5 // REQUESTs to one server before the client starts over
)

// maxSize is the size of message that the client takes, option 57: what fits into an Ethernet frame.
const maxSize = 1500 - 20 - 8

// never is the time of what does not happen.
const never = Infinite

// limitedBroadcast is 255.255.255.255.
func limitedBroadcast() inet.Addr { return inet.Addr4([4]byte{255, 255, 255, 255}) }

// Client is the state machine. Each method that is told the time may change the deadline.
type Client struct {
	config   Config
	state    State
	deadline time.Duration // when to Tick

	// The exchange.
	xid      uint32
	began    time.Duration // when acquiring or renewing began: the field secs counts from here
	sent     time.Duration // when the last message was sent
	secs     uint16        // of the last message
	tries    int           // messages sent in this state
	interval time.Duration // until the next one; 0 in states that a lease is held in, but while it is confirmed
	pause    time.Duration // before starting over, the next time
	wanted   inet.Addr     // the address of option 50
	server   inet.Addr     // whose OFFER was taken, or lease is held
	buf      []byte        // the message in Action.Send

	// The lease, or in state INIT the offer of OfferOnly.
	lease              *Lease
	ack                []byte
	rebindAt, expireAt time.Duration
}

// NewClient returns a client in state INIT, which waits for Start or Resume.
func NewClient(config Config) *Client {
	return &Client{config: config, deadline: never, wanted: config.Requested}
}

// State returns the client's state.
func (c *Client) State() State { return c.state }

// Lease returns the lease that is held, or with OfferOnly the one that was offered; nil if there is none.
func (c *Client) Lease() *Lease { return c.lease }

// Ack returns the ACK that the lease comes from, for another process's Resume; nil without a lease.
func (c *Client) Ack() []byte { return c.ack }

// Deadline returns when to call Tick. It is false when there is nothing to do any more: the lease is infinite, the offer of
// OfferOnly is there, or the client was not started.
func (c *Client) Deadline() (at time.Duration, ok bool) { return c.deadline, c.deadline != never }

// Listening tells whether the client expects answers, so that a socket must be open. It does not while it holds a lease
// that needs no renewal yet, nor while it pauses.
func (c *Client) Listening() bool { return c.state != Init && c.state != Bound }

// Start begins to acquire a lease.
func (c *Client) Start(now time.Duration) Action {
	c.began = now
	c.pause = firstInterval
	return c.discover(now)
}

// Resume takes over a lease that another process acquired at a time by an ACK. The lease goes on from where it is by now,
// which may mean that it needs renewal, or is lost.
func (c *Client) Resume(now time.Duration, ack []byte, acquired time.Duration) (Action, error) {
	m, ok := parse(ack)
	if !ok || !c.isReply(ack) || m.kind() != dhcpAck {
		return Action{}, errors.New("resume a DHCP lease: not an ACK to this interface")
	}
	lease := newLease(&m)
	if lease == nil || lease.Duration == 0 {
		return Action{}, errors.New("resume a DHCP lease: the ACK grants none")
	}
	c.bind(lease, ack, acquired)
	return c.Tick(now), nil
}

// Confirm asks any server, at once and as often as for a new lease, whether the one that is held still counts: the link was
// down, and may lead to another network now (RFC 2131 section 3.7). It is REBINDING ahead of time; the lease ends when it
// would have ended anyway. Without a lease it is Start.
func (c *Client) Confirm(now time.Duration) Action {
	if c.lease == nil {
		return c.Start(now)
	}
	c.xid = c.config.Random()
	c.began = now
	c.state, c.rebindAt = Rebinding, now
	c.interval = firstInterval
	return c.transmit(now)
}

// Tick does what is due. Before the deadline that is nothing. The clock may have jumped over any number of times at which
// something was due, as when the host slept.
func (c *Client) Tick(now time.Duration) Action {
	if now < c.deadline {
		return Action{}
	}
	switch {
	case c.state == Init:
		return c.discover(now)
	case c.state == Requesting && c.tries == requests:
		c.startOver(now)
		return Action{}
	case c.state < Bound:
		return c.transmit(now)
	case now >= c.expireAt:
		return c.lose(now, c.lease.Address.Addr)
	}
	if c.state == Bound {
		c.xid = c.config.Random()
		c.began = now
	}
	c.state = Renewing
	if now >= c.rebindAt {
		c.state = Rebinding
	}
	return c.transmit(now)
}

// Receive takes a datagram. It ignores, without allocating, whatever is not an answer that the client waits for.
func (c *Client) Receive(now time.Duration, d Datagram) Action {
	if !c.Listening() || !c.isReply(d.Payload) || binary.BigEndian.Uint32(d.Payload[offXID:]) != c.xid {
		return Action{}
	}
	m, ok := parse(d.Payload)
	if !ok {
		return Action{}
	}
	server := m.addr(optServer)
	if !server.IsHost() {
		return Action{}
	}
	// Once a server is chosen, only that one's answers count, until in REBINDING any server may extend the lease.
	chosen := server == c.server || c.state == Rebinding
	switch kind := m.kind(); {
	case kind == dhcpOffer && c.state == Selecting:
		return c.offered(now, &m, server)
	case kind == dhcpAck && c.state == Selecting && !c.config.OfferOnly:
		// Rapid Commit. RFC 4039 wants option 80 in this ACK too; libkrun's own clients take it without, and so some
		// server may leave it out.
		return c.acknowledged(now, &m, d.Payload)
	case kind == dhcpAck && c.state != Selecting && chosen:
		return c.acknowledged(now, &m, d.Payload)
	case kind == dhcpNak && c.state != Selecting && chosen:
		return c.refused(now)
	}
	return Action{}
}

// isReply tells whether b begins as a reply to our hardware address does.
func (c *Client) isReply(b []byte) bool {
	return len(b) >= fixedSize && b[0] == bootReply && b[1] == htypeEthernet && int(b[2]) == len(c.config.HardwareAddr) &&
		[6]byte(b[offCHAddr:]) == c.config.HardwareAddr
}

// discover begins a new exchange.
func (c *Client) discover(now time.Duration) Action {
	c.state = Selecting
	c.xid = c.config.Random()
	c.tries = 0
	c.interval = firstInterval
	return c.transmit(now)
}

// offered takes an OFFER, if it is of an address.
func (c *Client) offered(now time.Duration, m *message, server inet.Addr) Action {
	address := m.address()
	if !address.IsHost() {
		return Action{}
	}
	if c.config.OfferOnly {
		c.state, c.deadline, c.lease, c.server = Init, never, newLease(m), server
		return Action{Event: Offered}
	}
	c.state, c.server, c.wanted = Requesting, server, address
	c.tries = 0
	c.interval = firstInterval
	return c.transmit(now)
}

// acknowledged takes an ACK, if it grants a lease. One without a lease time, or with none left, grants nothing.
func (c *Client) acknowledged(now time.Duration, m *message, payload []byte) Action {
	if m.duration(optLeaseTime) == 0 {
		return Action{}
	}
	lease := newLease(m)
	// The time of a lease runs from the request (RFC 2131 section 4.4.1).
	if lease == nil || c.sent+lease.Duration <= now && lease.Duration != Infinite {
		return Action{}
	}
	event := Acquired
	if c.lease != nil && c.lease.Address.Addr == lease.Address.Addr {
		event = Renewed
	}
	c.bind(lease, payload, c.sent)
	return Action{Event: event}
}

// refused takes a NAK.
func (c *Client) refused(now time.Duration) Action {
	if c.lease != nil {
		return c.lose(now, inet.Addr{})
	}
	c.wanted = inet.Addr{}
	c.startOver(now)
	return Action{Event: Refused}
}

// lose drops the lease and starts over, asking for the address wanted.
func (c *Client) lose(now time.Duration, wanted inet.Addr) Action {
	c.lease, c.ack = nil, nil
	c.wanted = wanted
	a := c.Start(now)
	a.Event = Lost
	return a
}

// startOver pauses in state INIT, longer each time: a server that refuses all we ask for must not be asked all the time.
func (c *Client) startOver(now time.Duration) {
	c.state = Init
	c.deadline = now + c.jitter(c.pause)
	c.pause = min(2*c.pause, maxInterval)
}

// bind holds a lease from a time on.
func (c *Client) bind(lease *Lease, ack []byte, from time.Duration) {
	c.state, c.server, c.lease, c.ack = Bound, lease.Server, lease, bytes.Clone(ack)
	c.deadline, c.rebindAt, c.expireAt = never, never, never
	c.interval = 0
	if lease.Duration != Infinite {
		// Up to 1/32 earlier, for machines that were started together (RFC 2131 section 4.4.5).
		fuzz := lease.T1 / 32 / 1024 * time.Duration(c.config.Random()%1024)
		c.deadline, c.rebindAt, c.expireAt = from+lease.T1-fuzz, from+lease.T2, from+lease.Duration
	}
}

// transmit makes the message of the state, and sets the time to send it again.
func (c *Client) transmit(now time.Duration) Action {
	c.sent = now
	c.tries++
	// A REQUEST has the secs of the DISCOVER, so that it takes the same way through relays (section 4.4.1).
	if c.state != Requesting {
		c.secs = uint16(min((now-c.began)/time.Second, 0xffff))
	}
	to := limitedBroadcast()
	switch c.state {
	case Renewing:
		to = c.server
		c.deadline = c.retry(now, c.rebindAt)
	case Rebinding:
		c.deadline = c.retry(now, c.expireAt)
		if c.interval > 0 {
			c.deadline = min(c.deadline, c.next(now))
		}
	default:
		c.deadline = c.next(now)
	}
	return Action{Send: c.message(), To: to}
}

// next returns when to send again what a server should have answered at once, each time after a longer interval.
func (c *Client) next(now time.Duration) time.Duration {
	at := now + c.jitter(c.interval)
	c.interval = min(2*c.interval, maxInterval)
	return at
}

// retry returns when to ask again for the extension of a lease, in a state that ends at a time: after half of what is left
// of it, yet not more than once a minute (RFC 2131 section 4.4.5) or, for leases of less than an hour, a 60th of them.
func (c *Client) retry(now, end time.Duration) time.Duration {
	least := min(time.Minute, max(c.lease.Duration/60, firstInterval))
	return min(now+max((end-now)/2, least), end)
}

// jitter returns d, changed by up to a quarter.
func (c *Client) jitter(d time.Duration) time.Duration {
	return d*3/4 + d/2/1024*time.Duration(c.config.Random()%1024)
}

// message makes the DISCOVER or REQUEST of the state; RFC 2131 table 5 says what is in which.
func (c *Client) message() []byte {
	h := header{xid: c.xid, secs: c.secs, chaddr: c.config.HardwareAddr}
	if c.state < Bound {
		// Some servers can't send to an address that nobody answers ARP for. Others ignore the flag, but a packet socket
		// hears them too.
		h.broadcast = true
	} else {
		h.ciaddr = c.lease.Address.Addr
	}
	b := appendHeader(c.buf[:0], h)
	if c.state == Selecting {
		b = appendOption(b, optMessageType, dhcpDiscover)
	} else {
		b = appendOption(b, optMessageType, dhcpRequest)
	}
	b = c.appendClientID(b)
	if c.state < Bound {
		b = appendAddr(b, optRequested, c.wanted)
	}
	if c.state == Requesting {
		b = appendAddr(b, optServer, c.server)
	}
	b = appendOption(b, optMaxSize, maxSize>>8, maxSize&0xff)
	if c.config.Hostname != "" {
		b = appendOption(b, optHostname, []byte(c.config.Hostname)...)
	}
	// RFC 3442: option 121 is to be asked for before option 3.
	b = appendOption(b, optParameters, optMask, optRoutes, optRoutesPrivate, optRouter, optDNS, optHostname, optDomain,
		optMTU, optBroadcast, optT1, optT2, optSearch)
	if c.state == Selecting && !c.config.OfferOnly {
		b = appendOption(b, optRapidCommit)
	}
	c.buf = appendEnd(b)
	return c.buf
}

// Release returns the RELEASE of the lease, to be sent to its server; nil if no lease is held. The caller stops using
// address and client before it sends that. With OfferOnly it is for the address that the server has offered: for one that
// another process has leased, and that the server recognised.
func (c *Client) Release() []byte {
	if c.lease == nil {
		return nil
	}
	b := appendHeader(nil, header{xid: c.config.Random(), ciaddr: c.lease.Address.Addr, chaddr: c.config.HardwareAddr})
	b = appendOption(b, optMessageType, dhcpRelease)
	b = appendAddr(b, optServer, c.server)
	return appendEnd(c.appendClientID(b))
}

func (c *Client) appendClientID(b []byte) []byte {
	if len(c.config.ClientID) > 0 {
		return appendOption(b, optClientID, c.config.ClientID...)
	}
	h := &c.config.HardwareAddr
	return appendOption(b, optClientID, htypeEthernet, h[0], h[1], h[2], h[3], h[4], h[5])
}
