package dhcp4

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// outcome is what an input changes: the client's state, the event, and the message sent, or mtNone.
type outcome struct {
	state State
	event Event
	sent  dhcpv4.MessageType
}

// input is something that happens to a client, and its outcome by the client's state. In a state
// without an outcome, the input changes nothing.
type input struct {
	name string
	do   func(*exchange) Event
	want map[State]outcome
}

var (
	requests = outcome{Requesting, NoEvent, mtRequest}
	acquired = outcome{Bound, Acquired, mtNone}
	renewed  = outcome{Bound, Renewed, mtNone}
	lost     = outcome{Selecting, Lost, mtDiscover}
)

// reply is the input of server A's answer, changed by modifiers.
func reply(kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) func(*exchange) Event {
	return func(e *exchange) Event { return e.receive(e.reply(kind, modifiers...)) }
}

// edited is the input of server A's answer with changed bytes.
func edited(kind dhcpv4.MessageType, edit func(b []byte) []byte) func(*exchange) Event {
	return func(e *exchange) Event { return e.receive(edit(e.reply(kind))) }
}

// setByte returns an edit of one byte.
func setByte(at int, value byte) func(b []byte) []byte {
	return func(b []byte) []byte { b[at] = value; return b }
}

func wrongXID(b []byte) []byte { b[offXID+3] ^= 1; return b }
func wrongMAC(b []byte) []byte { b[offCHAddr+5] ^= 1; return b }

// overrun replaces the end option by an option that is longer than the message.
func overrun(b []byte) []byte {
	return append(b[:bytes.LastIndexByte(b, 255)], 15, 200, 'a')
}

func offerInputs() []input {
	toRequesting := map[State]outcome{Selecting: requests}
	noLeaseTime := dhcpv4.WithoutOption(dhcpv4.OptionIPAddressLeaseTime)
	return []input{
		{"OFFER", reply(mtOffer), toRequesting},
		{"OFFER of server B", reply(mtOffer, from(serverB)), toRequesting},
		{"OFFER without lease time", reply(mtOffer, noLeaseTime), toRequesting},
		{"OFFER without server", reply(mtOffer, noServer), nil},
		{"OFFER of server 0.0.0.0", reply(mtOffer, from(net.IPv4zero)), nil},
		{"OFFER of 0.0.0.0", reply(mtOffer, dhcpv4.WithYourIP(net.IPv4zero)), nil},
		{"OFFER of 127.0.0.1", reply(mtOffer, dhcpv4.WithYourIP(net.IPv4(127, 0, 0, 1))), nil},
		{"OFFER of 255.255.255.255", reply(mtOffer, dhcpv4.WithYourIP(net.IPv4bcast)), nil},
		{"OFFER of another xid", edited(mtOffer, wrongXID), nil},
		{"OFFER to another chaddr", edited(mtOffer, wrongMAC), nil},
	}
}

func ackInputs() []input {
	granted := map[State]outcome{
		Selecting: acquired, Requesting: acquired, Renewing: renewed, Rebinding: renewed,
	}
	moved := map[State]outcome{
		Selecting: acquired, Requesting: acquired, Renewing: acquired, Rebinding: acquired,
	}
	otherServer := map[State]outcome{Selecting: acquired, Rebinding: renewed}
	option := func(code dhcpv4.OptionCode, value ...byte) dhcpv4.Modifier {
		return dhcpv4.WithGeneric(code, value)
	}
	cut := func(size int) func([]byte) []byte { return func(b []byte) []byte { return b[:size] } }
	noLeaseTime := dhcpv4.WithoutOption(dhcpv4.OptionIPAddressLeaseTime)
	return []input{
		{"ACK", reply(mtAck), granted},
		{"ACK, rapid commit", reply(mtAck, option(dhcpv4.OptionRapidCommit)), granted},
		{"ACK of server B", reply(mtAck, from(serverB)), otherServer},
		{"ACK of another address", reply(mtAck, dhcpv4.WithYourIP(serverB)), moved},
		{"ACK without server", reply(mtAck, noServer), nil},
		{"ACK without lease time", reply(mtAck, noLeaseTime), nil},
		{"ACK of lease time 0", reply(mtAck, dhcpv4.WithLeaseTime(0)), nil},
		{"ACK of 0.0.0.0", reply(mtAck, dhcpv4.WithYourIP(net.IPv4zero)), nil},
		{"ACK of another xid", edited(mtAck, wrongXID), nil},
		{"ACK to another chaddr", edited(mtAck, wrongMAC), nil},
		{"ACK that is a request", edited(mtAck, setByte(0, 1)), nil},
		{"ACK of another hardware type", edited(mtAck, setByte(1, 6)), nil},
		{"ACK of another hardware address length", edited(mtAck, setByte(2, 16)), nil},
		{"ACK without cookie", edited(mtAck, setByte(offCookie, 0)), nil},
		{"ACK cut off in its options", edited(mtAck, cut(fixedSize+4)), nil},
		{"ACK cut off before its options", edited(mtAck, cut(fixedSize-1)), nil},
		{"ACK with an option that overruns", edited(mtAck, overrun), nil},
		{"ACK with a type of two bytes", reply(mtAck, option(dhcpv4.OptionDHCPMessageType, 5, 5)), nil},
		{"ACK with an overload of 4", reply(mtAck, option(dhcpv4.OptionOptionOverload, 4)), nil},
		{"nothing", func(e *exchange) Event { return e.receive(nil) }, nil},
	}
}

func otherInputs() []input {
	refused := map[State]outcome{
		Requesting: {Init, Refused, mtNone}, Renewing: lost, Rebinding: lost,
	}
	noType := dhcpv4.WithoutOption(dhcpv4.OptionDHCPMessageType)
	deadline := func(e *exchange) Event {
		if e.c.Deadline() == Infinite {
			return NoEvent
		}
		_, event := e.tick()
		return event
	}
	discovers := outcome{Selecting, NoEvent, mtDiscover}
	renews, rebinds := outcome{Renewing, NoEvent, mtRequest}, outcome{Rebinding, NoEvent, mtRequest}
	return []input{
		{"NAK", reply(mtNak), refused},
		{"NAK of server B", reply(mtNak, from(serverB)), map[State]outcome{Rebinding: lost}},
		{"NAK without server", reply(mtNak, noServer), nil},
		{"NAK of another xid", edited(mtNak, wrongXID), nil},
		{"NAK to another chaddr", edited(mtNak, wrongMAC), nil},
		{"DISCOVER as reply", reply(mtDiscover), nil},
		{"no type", reply(mtAck, noType), nil},

		{"deadline", deadline, map[State]outcome{
			Selecting: discovers, Requesting: requests,
			Bound: renews, Renewing: renews, Rebinding: rebinds,
		}},
		{"55 minutes pass", func(e *exchange) Event { // past T2
			e.now = 5*time.Second + 55*time.Minute
			return e.do(e.c.Tick(e.now))
		}, map[State]outcome{
			Selecting: discovers, Requesting: requests, Bound: rebinds, Renewing: rebinds,
		}},
		{"the host sleeps a day", func(e *exchange) Event {
			e.now += 24 * time.Hour
			return e.do(e.c.Tick(e.now))
		}, map[State]outcome{
			Selecting: discovers, Requesting: requests, Bound: lost, Renewing: lost, Rebinding: lost,
		}},
	}
}

// TestTransitions tries every input in every state.
func TestTransitions(t *testing.T) {
	for _, inputs := range [][]input{offerInputs(), ackInputs(), otherInputs()} {
		for _, in := range inputs {
			for _, state := range allStates {
				t.Run(in.name+" in "+state.String(), func(t *testing.T) { testTransition(t, in, state) })
			}
		}
	}
}

func testTransition(t *testing.T, in input, state State) {
	e := reach(t, state)
	lease, deadline, count := e.c.Lease(), e.c.deadline, e.count
	event := in.do(e)
	got := outcome{e.c.State(), event, mtNone}
	if e.count > count {
		got.sent = e.sent.MessageType()
	}
	want, ok := in.want[state]
	if !ok {
		want = outcome{state, NoEvent, mtNone}
		if e.c.Lease() != lease || e.c.deadline != deadline {
			t.Errorf("lease %v, deadline %v, want %v, %v", e.c.Lease(), e.c.deadline, lease, deadline)
		}
	}
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if e.count > count+1 {
		t.Errorf("%d messages sent at once", e.count-count)
	}
	if held := e.c.Lease() != nil; held != (got.state >= Bound) || (e.c.Ack() != nil) != held {
		t.Errorf("in %v lease = %v, ACK = %x", got.state, e.c.Lease(), e.c.Ack())
	}
	if got, want := e.c.Listening(), e.c.State() != Init && e.c.State() != Bound; got != want {
		t.Errorf("in %v Listening() = %v, want %v", e.c.State(), got, want)
	}
}
