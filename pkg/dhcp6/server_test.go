package dhcp6

import (
	"math"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/krunbox/krunbox/pkg/inet"
)

// The scripted server: insomniacslk/dhcp reads what the client sends and writes what it gets.

var (
	ourMAC  = net.HardwareAddr{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}
	ourDUID = &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: ourMAC}
	ourIAID = [4]byte{0xca, 0xfe, 0, 2}
	ourIP   = net.ParseIP("fd00::15")
	serverA = &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 0xa}}
	serverB = &dhcpv6.DUIDEN{EnterpriseNumber: 9, EnterpriseIdentifier: []byte("B")}
)

// Lifetimes of the server's addresses, and when it wants them to be extended.
const (
	preferred = 3000 * time.Second
	valid     = 3600 * time.Second
	renewal   = 1000 * time.Second
	rebinding = 2000 * time.Second
)

// Modifiers of a reply.
var (
	noServer = without(dhcpv6.OptionServerID)
	noClient = without(dhcpv6.OptionClientID)
	noIA     = without(dhcpv6.OptionIANA)
)

func without(code dhcpv6.OptionCode) dhcpv6.Modifier {
	return func(d dhcpv6.DHCPv6) { d.(*dhcpv6.Message).Options.Del(code) }
}

// from makes a reply one of another server.
func from(server dhcpv6.DUID) dhcpv6.Modifier { return dhcpv6.WithServerID(server) }

// status sets the status of a reply.
func status(code iana.StatusCode) dhcpv6.Modifier {
	return dhcpv6.WithOption(&dhcpv6.OptStatusCode{StatusCode: code, StatusMessage: "because"})
}

// ia sets the IA_NA.
func ia(t1, t2 time.Duration, inside ...dhcpv6.Option) dhcpv6.Modifier {
	return dhcpv6.WithOption(&dhcpv6.OptIANA{IaId: ourIAID, T1: t1, T2: t2, Options: dhcpv6.IdentityOptions{Options: inside}})
}

// iaStatus makes the IA_NA one that has a status and no address.
func iaStatus(code iana.StatusCode) dhcpv6.Modifier {
	return ia(0, 0, &dhcpv6.OptStatusCode{StatusCode: code})
}

// lifetimes has the IA_NA grant an address.
func lifetimes(ip string, preferred, valid time.Duration) dhcpv6.Option {
	return &dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(ip), PreferredLifetime: preferred, ValidLifetime: valid}
}

// generic adds an option.
func generic(code dhcpv6.OptionCode, data ...byte) dhcpv6.Modifier {
	return dhcpv6.WithOption(&dhcpv6.OptionGeneric{OptionCode: code, OptionData: data})
}

// addr parses an address.
func addr(s string) inet.Addr { return inet.AddrFrom(netip.MustParseAddr(s).AsSlice()) }

// addrs parses addresses.
func addrs(list ...string) (as []inet.Addr) {
	for _, s := range list {
		as = append(as, addr(s))
	}
	return as
}

// exchange is a client, the time, and what it sent last.
type exchange struct {
	t      *testing.T
	c      *Client
	now    time.Duration
	random uint32 // what Random returns next
	sent   *dhcpv6.Message
	count  int // messages sent
}

func newExchange(t *testing.T, change func(*Config)) *exchange {
	e := &exchange{t: t, now: 5 * time.Second}
	config := Config{DUID: DUIDLinkLayer(ourMAC), IAID: 0xcafe0002, Stateful: true, Random: func() uint32 {
		e.random += 0x10000001
		return e.random
	}}
	if change != nil {
		change(&config)
	}
	e.c = NewClient(config)
	return e
}

// do carries out an action and returns what became of the lease.
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

// tick lets the time pass until the client has something to do, and returns how long that was.
func (e *exchange) tick() (time.Duration, Event) {
	e.t.Helper()
	at, ok := e.c.Deadline()
	if !ok {
		e.t.Fatalf("in state %v the client waits for nothing", e.c.State())
	}
	if a := e.c.Tick(at - 1); a.Send != nil || a.Event != NoEvent {
		e.t.Errorf("Tick before the deadline = %+v, want nothing", a)
	}
	passed := at - e.now
	e.now = at
	return passed, e.do(e.c.Tick(at))
}

// tickAt has the client do what is due at a time.
func (e *exchange) tickAt(now time.Duration) Event {
	e.t.Helper()
	e.now = now
	return e.do(e.c.Tick(now))
}

// reply makes the answer of server A to the message sent last. It has an address if the client asks for one.
func (e *exchange) reply(kind dhcpv6.MessageType, modifiers ...dhcpv6.Modifier) []byte {
	e.t.Helper()
	modifiers = append([]dhcpv6.Modifier{dhcpv6.WithClientID(ourDUID), from(serverA)}, modifiers...)
	if e.c.config.Stateful {
		modifiers = append([]dhcpv6.Modifier{ia(renewal, rebinding, lifetimes("fd00::15", preferred, valid))}, modifiers...)
	}
	m, err := dhcpv6.NewMessage(modifiers...)
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
	return e.do(e.c.Receive(e.now, Datagram{Payload: payload, Source: addr("fe80::1")}))
}

// expect checks the client's state and what it sent last.
func (e *exchange) expect(state State, kind dhcpv6.MessageType) {
	e.t.Helper()
	if e.c.State() != state || e.sent.MessageType != kind {
		e.t.Fatalf("the client is %v after a %v, want %v after a %v", e.c.State(), e.sent.MessageType, state, kind)
	}
}

// reach brings a new client into a state, with a lease if it has one there. In INFORMING it is a stateless one.
func reach(t *testing.T, state State) *exchange {
	t.Helper()
	e := newExchange(t, func(c *Config) { c.Stateful = state != Informing })
	steps := []func(){
		Init:       func() {},
		Soliciting: func() { e.start() },
		Requesting: func() { e.receive(e.reply(dhcpv6.MessageTypeAdvertise)) },
		Informing:  func() {},
		Bound:      func() { e.receive(e.reply(dhcpv6.MessageTypeReply)) },
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

var allStates = []State{Init, Soliciting, Requesting, Informing, Bound, Renewing, Rebinding}

// extremes are sources of randomness at the ends of its range.
var extremes = map[string]func() uint32{
	"least": func() uint32 { return 0 },
	"most":  func() uint32 { return math.MaxUint32 },
}

// inetAddr converts an address.
func inetAddr(ip net.IP) inet.Addr { return inet.AddrFrom(ip.To16()) }

func equalIP(a inet.Addr, ip net.IP) bool { return a == inetAddr(ip) }
