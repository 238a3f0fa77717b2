package dhcp6

import (
	"math"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// The tests use a scripted server that reads and writes messages by package dhcpv6, including those
// options that the client reads and writes by itself.

const (
	mtNone        = dhcpv6.MessageTypeNone
	mtSolicit     = dhcpv6.MessageTypeSolicit
	mtAdvertise   = dhcpv6.MessageTypeAdvertise
	mtRequest     = dhcpv6.MessageTypeRequest
	mtRenew       = dhcpv6.MessageTypeRenew
	mtRebind      = dhcpv6.MessageTypeRebind
	mtReply       = dhcpv6.MessageTypeReply
	mtRelease     = dhcpv6.MessageTypeRelease
	mtReconfigure = dhcpv6.MessageTypeReconfigure
	mtInformation = dhcpv6.MessageTypeInformationRequest
)

var (
	ourMAC  = net.HardwareAddr{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}
	ourDUID = &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: ourMAC}
	ourIAID = [4]byte{0xca, 0xfe, 0, 2}
	ourIP   = net.ParseIP("fd00::15")
	serverA = &dhcpv6.DUIDLL{
		HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 0xa},
	}
	serverB = &dhcpv6.DUIDEN{EnterpriseNumber: 9, EnterpriseIdentifier: []byte("B")}
)

// The lifetimes of the server's addresses, and its T1 and T2.
const (
	preferred = 3000 * time.Second
	valid     = 3600 * time.Second
	renewal   = 1000 * time.Second
	rebinding = 2000 * time.Second
)

// Modifiers that remove an option from a reply.
var (
	noServer = without(dhcpv6.OptionServerID)
	noClient = without(dhcpv6.OptionClientID)
	noIA     = without(dhcpv6.OptionIANA)
)

func without(code dhcpv6.OptionCode) dhcpv6.Modifier {
	return func(d dhcpv6.DHCPv6) { d.(*dhcpv6.Message).Options.Del(code) }
}

// from sets the server of a reply.
func from(server dhcpv6.DUID) dhcpv6.Modifier { return dhcpv6.WithServerID(server) }

// withStatus sets the status of a reply.
func withStatus(code iana.StatusCode) dhcpv6.Modifier {
	return dhcpv6.WithOption(&dhcpv6.OptStatusCode{StatusCode: code, StatusMessage: "because"})
}

// withIA sets the IA_NA of a reply.
func withIA(t1, t2 time.Duration, options ...dhcpv6.Option) dhcpv6.Modifier {
	return dhcpv6.WithOption(&dhcpv6.OptIANA{
		IaId: ourIAID, T1: t1, T2: t2, Options: dhcpv6.IdentityOptions{Options: options},
	})
}

// withIAStatus sets the IA_NA of a reply to one that has a status and no address.
func withIAStatus(code iana.StatusCode) dhcpv6.Modifier {
	return withIA(0, 0, &dhcpv6.OptStatusCode{StatusCode: code})
}

// iaAddress returns an IA Address option.
func iaAddress(ip string, preferred, valid time.Duration) *dhcpv6.OptIAAddress {
	return &dhcpv6.OptIAAddress{
		IPv6Addr: net.ParseIP(ip), PreferredLifetime: preferred, ValidLifetime: valid,
	}
}

// withData adds an option with arbitrary contents to a reply.
func withData(code dhcpv6.OptionCode, data ...byte) dhcpv6.Modifier {
	return dhcpv6.WithOption(&dhcpv6.OptionGeneric{OptionCode: code, OptionData: data})
}

// addrs parses addresses.
func addrs(list ...string) (parsed []netip.Addr) {
	for _, s := range list {
		parsed = append(parsed, netip.MustParseAddr(s))
	}
	return parsed
}

// exchange is a client together with the time and the message that it sent last.
type exchange struct {
	t      *testing.T
	c      *Client
	now    time.Duration
	random uint32 // the last result of Config.Random
	sent   *dhcpv6.Message
	count  int // number of messages sent
}

// newExchange returns an exchange with a stateful client that is not started. A change, unless nil,
// edits the client's configuration.
func newExchange(t *testing.T, change func(*Config)) *exchange {
	e := &exchange{t: t, now: 5 * time.Second}
	config := Config{
		DUID: DUIDLinkLayer(ourMAC), IAID: 0xcafe0002, Stateful: true,
		Random: func() uint32 {
			e.random += 0x10000001
			return e.random
		},
	}
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
		m, err := dhcpv6.MessageFromBytes(a.Send)
		if err != nil {
			e.t.Fatalf("the client sent %x: %v", a.Send, err)
		}
		e.sent = m
		e.count++
	}
	return a.Event
}

func (e *exchange) start() Event { e.t.Helper(); return e.do(e.c.Start(e.now)) }

// tick advances the time to the client's deadline. It returns how long that took.
func (e *exchange) tick() (time.Duration, Event) {
	e.t.Helper()
	at := e.c.Deadline()
	if at == Infinite {
		e.t.Fatalf("the client has no deadline in state %v", e.c.State())
	}
	if a := e.c.Tick(at - 1); a.Send != nil || a.Event != NoEvent {
		e.t.Errorf("Tick before the deadline = %+v, want nothing", a)
	}
	passed := at - e.now
	e.now = at
	return passed, e.do(e.c.Tick(at))
}

// tickAt advances the time to now.
func (e *exchange) tickAt(now time.Duration) Event {
	e.t.Helper()
	e.now = now
	return e.do(e.c.Tick(now))
}

// reply returns the answer of server A to the message that the client sent last. It has an address
// if the client is stateful.
func (e *exchange) reply(kind dhcpv6.MessageType, modifiers ...dhcpv6.Modifier) []byte {
	e.t.Helper()
	defaults := []dhcpv6.Modifier{dhcpv6.WithClientID(ourDUID), from(serverA)}
	if e.c.config.Stateful {
		address := iaAddress("fd00::15", preferred, valid)
		defaults = append([]dhcpv6.Modifier{withIA(renewal, rebinding, address)}, defaults...)
	}
	m, err := dhcpv6.NewMessage(append(defaults, modifiers...)...)
	if err != nil {
		e.t.Fatal(err)
	}
	m.MessageType = kind
	m.TransactionID = dhcpv6.TransactionID{}
	if e.sent != nil {
		m.TransactionID = e.sent.TransactionID
	}
	return m.ToBytes()
}

func (e *exchange) receive(payload []byte) Event {
	e.t.Helper()
	d := Datagram{Payload: payload, Source: netip.MustParseAddr("fe80::1")}
	return e.do(e.c.Receive(e.now, d))
}

// expect checks the client's state and the type of the message that it sent last.
func (e *exchange) expect(state State, kind dhcpv6.MessageType) {
	e.t.Helper()
	if e.c.State() != state || e.sent.MessageType != kind {
		e.t.Fatalf("state %v after a %v, want %v after a %v",
			e.c.State(), e.sent.MessageType, state, kind)
	}
}

// reach returns an exchange with a new client in a state. The client of state Informing is
// stateless.
func reach(t *testing.T, state State) *exchange {
	t.Helper()
	e := newExchange(t, func(c *Config) { c.Stateful = state != Informing })
	steps := []func(){
		Init:       func() {},
		Soliciting: func() { e.start() },
		Requesting: func() { e.receive(e.reply(mtAdvertise)) },
		Informing:  func() {},
		Bound:      func() { e.receive(e.reply(mtReply)) },
		Renewing:   func() { e.tick() },
		Rebinding:  e.tickThroughRenewing,
	}
	for _, step := range steps[:state+1] {
		step()
	}
	if e.c.State() != state {
		t.Fatalf("the client is in state %v, want %v", e.c.State(), state)
	}
	return e
}

// tickThroughRenewing advances the time until the client leaves state Renewing.
func (e *exchange) tickThroughRenewing() {
	e.t.Helper()
	for e.c.State() == Renewing {
		e.tick()
	}
}

var allStates = []State{Init, Soliciting, Requesting, Informing, Bound, Renewing, Rebinding}

// extremes are sources of randomness at either end of the range.
var extremes = map[string]func() uint32{
	"min": func() uint32 { return 0 },
	"max": func() uint32 { return math.MaxUint32 },
}
