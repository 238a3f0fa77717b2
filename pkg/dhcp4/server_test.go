package dhcp4

import (
	"math"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// The tests script a server: insomniacslk/dhcp decodes what the client sends and encodes the
// answers.

var (
	ourMAC   = [6]byte{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}
	ourIP    = net.IP{10, 0, 2, 15}
	serverA  = net.IP{10, 0, 2, 2}
	serverB  = net.IP{10, 0, 2, 3}
	oneHour  = dhcpv4.WithLeaseTime(3600)
	noServer = dhcpv4.WithoutOption(dhcpv4.OptionServerIdentifier)
)

const (
	mtDiscover = dhcpv4.MessageTypeDiscover
	mtOffer    = dhcpv4.MessageTypeOffer
	mtRequest  = dhcpv4.MessageTypeRequest
	mtAck      = dhcpv4.MessageTypeAck
	mtNak      = dhcpv4.MessageTypeNak
	mtNone     = dhcpv4.MessageTypeNone
)

// from makes a reply one of the given server.
func from(server net.IP) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server))
}

// ip converts an address.
func ip(a netip.Addr) net.IP { return a.AsSlice() }

// addr parses an address.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// exchange is a client, its time, and what it sent last.
type exchange struct {
	t      *testing.T
	c      *Client
	now    time.Duration
	random uint32 // the last result of Config.Random
	sent   *dhcpv4.DHCPv4
	to     netip.Addr
	count  int // messages sent
}

func newExchange(t *testing.T, change func(*Config)) *exchange {
	e := &exchange{t: t, now: 5 * time.Second}
	config := Config{HardwareAddr: ourMAC, Hostname: "box", Random: func() uint32 {
		e.random += 0x10000001
		return e.random
	}}
	if change != nil {
		change(&config)
	}
	e.c = NewClient(config)
	return e
}

// do carries out an action and returns its event.
func (e *exchange) do(a Action) Event {
	e.t.Helper()
	if len(a.Send) > 0 {
		m, err := dhcpv4.FromBytes(a.Send)
		if err != nil {
			e.t.Fatalf("the client sent %x: %v", a.Send, err)
		}
		e.sent, e.to = m, a.To
		e.count++
	}
	return a.Event
}

func (e *exchange) start() Event { e.t.Helper(); return e.do(e.c.Start(e.now)) }

// tick advances the time to the client's deadline, and returns by how much.
func (e *exchange) tick() (time.Duration, Event) {
	e.t.Helper()
	at := e.c.Deadline()
	if at == Infinite {
		e.t.Fatalf("in state %v the client has no deadline", e.c.State())
	}
	if a := e.c.Tick(at - 1); a.Send != nil || a.Event != NoEvent {
		e.t.Errorf("Tick before the deadline = %+v, want nothing", a)
	}
	passed := at - e.now
	e.now = at
	return passed, e.do(e.c.Tick(at))
}

// reply returns the answer of server A to the message sent last, changed by modifiers.
func (e *exchange) reply(kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) []byte {
	e.t.Helper()
	modifiers = append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(ourIP), from(serverA), oneHour,
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(serverA),
	}, modifiers...)
	request := e.sent
	if request == nil {
		request = &dhcpv4.DHCPv4{
			OpCode: dhcpv4.OpcodeBootRequest, HWType: 1, ClientHWAddr: ourMAC[:],
			Options: dhcpv4.Options{},
		}
	}
	m, err := dhcpv4.NewReplyFromRequest(request, modifiers...)
	if err != nil {
		e.t.Fatal(err)
	}
	return m.ToBytes()
}

func (e *exchange) receive(payload []byte) Event {
	e.t.Helper()
	return e.do(e.c.Receive(e.now, Datagram{Payload: payload, Source: addr("10.0.2.2")}))
}

// expect checks the client's state and the type of the message that it sent last.
func (e *exchange) expect(state State, kind dhcpv4.MessageType) {
	e.t.Helper()
	if e.c.State() != state || e.sent.MessageType() != kind {
		e.t.Fatalf("the client is %v after a %v, want %v after a %v",
			e.c.State(), e.sent.MessageType(), state, kind)
	}
}

// reach brings a new client into a state. From BOUND on it holds a lease of an hour.
func reach(t *testing.T, state State) *exchange {
	t.Helper()
	e := newExchange(t, nil)
	steps := []func(){
		Init:       func() {},
		Selecting:  func() { e.start() },
		Requesting: func() { e.receive(e.reply(mtOffer)) },
		Bound:      func() { e.receive(e.reply(mtAck)) },
		Renewing:   func() { e.tick() },
		Rebinding: func() {
			for e.c.State() == Renewing {
				e.tick()
			}
		},
	}
	for _, step := range steps[:state+1] {
		step()
	}
	if e.c.State() != state {
		t.Fatalf("the client is %v, want %v", e.c.State(), state)
	}
	return e
}

var allStates = []State{Init, Selecting, Requesting, Bound, Renewing, Rebinding}

// extremes are random sources that return the ends of the range.
var extremes = map[string]func() uint32{
	"least": func() uint32 { return 0 },
	"most":  func() uint32 { return math.MaxUint32 },
}
