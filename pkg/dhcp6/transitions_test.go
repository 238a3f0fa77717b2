package dhcp6

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// outcome is the effect of an input on a client.
type outcome struct {
	state State
	event Event
	sent  dhcpv6.MessageType // mtNone for none
}

type outcomes map[State]outcome

// transition is an input and its outcome in each state. In states that want does not list, the
// input has no effect.
type transition struct {
	input string
	do    func(*exchange) Event
	want  outcomes
}

// reply has the client receive an answer to its last message.
func reply(kind dhcpv6.MessageType, modifiers ...dhcpv6.Modifier) func(*exchange) Event {
	return func(e *exchange) Event { return e.receive(e.reply(kind, modifiers...)) }
}

// edited has the client receive an acceptable answer that is edited before.
func edited(kind dhcpv6.MessageType, edit func(b []byte) []byte) func(*exchange) Event {
	return func(e *exchange) Event { return e.receive(edit(e.reply(kind, dhcpv6.WithRapidCommit))) }
}

// grant returns a modifier that sets the address of a reply.
func grant(ip string, preferred, valid time.Duration) dhcpv6.Modifier {
	return withIA(renewal, rebinding, iaAddress(ip, preferred, valid))
}

// Edits of an encoded message.
func wrongXID(b []byte) []byte { b[3] ^= 1; return b }
func wrongIAID(b []byte) []byte {
	return bytes.Replace(b, ourIAID[:], []byte{0, 0, 0, 2}, 1)
}
func truncated(b []byte) []byte { return b[:len(b)-1] }
func ofType(kind dhcpv6.MessageType) func([]byte) []byte {
	return func(b []byte) []byte { b[0] = byte(kind); return b }
}

// Common outcomes.
var (
	informed     = outcome{Bound, Acquired, mtNone}
	acquired     = outcome{Bound, Acquired, mtNone}
	renewed      = outcome{Bound, Renewed, mtNone}
	lost         = outcome{Soliciting, Lost, mtSolicit}
	requested    = outcome{Requesting, NoEvent, mtRequest}
	refused      = outcome{Init, Refused, mtNone}
	stillRefused = outcome{Soliciting, Refused, mtNone}
	replied      = outcomes{
		Requesting: acquired, Informing: informed, Renewing: renewed, Rebinding: renewed,
	}
	// A REPLY without a usable IA_NA is still an answer to INFORMATION-REQUEST.
	noAddress = outcomes{Informing: informed}
)

var advertiseTransitions = []transition{
	{"ADVERTISE", reply(mtAdvertise), outcomes{Soliciting: requested}},
	{"ADVERTISE of server B", reply(mtAdvertise, from(serverB)), outcomes{Soliciting: requested}},
	{"ADVERTISE with the lowest preference", reply(mtAdvertise, dhcpv6.WithPreference(0)),
		outcomes{Soliciting: requested}},
	{"ADVERTISE without server", reply(mtAdvertise, noServer), nil},
	{"ADVERTISE without client", reply(mtAdvertise, noClient), nil},
	{"ADVERTISE to another client", reply(mtAdvertise, dhcpv6.WithClientID(serverA)), nil},
	{"ADVERTISE without IA_NA", reply(mtAdvertise, noIA), nil},
	{"ADVERTISE of another IA_NA", edited(mtAdvertise, wrongIAID), nil},
	{"ADVERTISE without address", reply(mtAdvertise, withIA(0, 0)), nil},
	{"ADVERTISE: NoAddrsAvail", reply(mtAdvertise, withStatus(iana.StatusNoAddrsAvail)),
		outcomes{Soliciting: stillRefused}},
	{"ADVERTISE: NoAddrsAvail in the IA_NA",
		reply(mtAdvertise, withIAStatus(iana.StatusNoAddrsAvail)),
		outcomes{Soliciting: stillRefused}},
	{"ADVERTISE: UnspecFail", reply(mtAdvertise, withStatus(iana.StatusUnspecFail)), nil},
	{"ADVERTISE of another xid", edited(mtAdvertise, wrongXID), nil},
}

var replyTransitions = []transition{
	{"REPLY", reply(mtReply), replied},
	{"REPLY: Success", reply(mtReply, withStatus(iana.StatusSuccess)), replied},
	{"REPLY, rapid commit", reply(mtReply, dhcpv6.WithRapidCommit), outcomes{Soliciting: acquired,
		Requesting: acquired, Informing: informed, Renewing: renewed, Rebinding: renewed}},
	{"REPLY of server B", reply(mtReply, from(serverB)),
		outcomes{Informing: informed, Rebinding: renewed}},
	{"REPLY of server B, rapid commit", reply(mtReply, from(serverB), dhcpv6.WithRapidCommit),
		outcomes{Soliciting: acquired, Informing: informed, Rebinding: renewed}},
	{"REPLY with another address", reply(mtReply, grant("fd00::16", preferred, valid)), outcomes{
		Requesting: acquired, Informing: informed, Renewing: acquired, Rebinding: acquired}},
	{"REPLY without server", reply(mtReply, noServer), nil},
	{"REPLY of a server with an empty DUID",
		reply(mtReply, noServer, withData(dhcpv6.OptionServerID)), nil},
	{"REPLY of a server with a long DUID",
		reply(mtReply, noServer, withData(dhcpv6.OptionServerID, make([]byte, maxDUID+1)...)), nil},
	{"REPLY without client", reply(mtReply, noClient), nil},
	{"REPLY to another client", reply(mtReply, dhcpv6.WithClientID(serverB)), nil},
	{"REPLY without IA_NA", reply(mtReply, noIA), noAddress},
	{"REPLY with another IA_NA", edited(mtReply, wrongIAID), noAddress},
	{"REPLY without address", reply(mtReply, withIA(0, 0)), noAddress},
	{"REPLY with ::", reply(mtReply, grant("::", preferred, valid)), noAddress},
	{"REPLY with ::1", reply(mtReply, grant("::1", preferred, valid)), noAddress},
	{"REPLY with ff02::1", reply(mtReply, grant("ff02::1", preferred, valid)), noAddress},
	{"REPLY with fe80::15", reply(mtReply, grant("fe80::15", preferred, valid)), noAddress},
	{"REPLY preferred beyond validity",
		reply(mtReply, grant("fd00::15", valid+time.Second, valid)), noAddress},
	{"REPLY with T1 beyond T2", reply(mtReply, withIA(11*time.Second, 10*time.Second,
		iaAddress("fd00::15", preferred, valid))), noAddress},
	{"REPLY with an address that failed", reply(mtReply, withIA(0, 0, &dhcpv6.OptIAAddress{
		IPv6Addr: ourIP, ValidLifetime: valid, Options: dhcpv6.AddressOptions{
			Options: dhcpv6.Options{&dhcpv6.OptStatusCode{StatusCode: iana.StatusUnspecFail}}},
	})), noAddress},
	{"REPLY with our address ended", reply(mtReply, grant("fd00::15", 0, 0)),
		outcomes{Informing: informed, Renewing: lost, Rebinding: lost}},
	{"REPLY with another address ended", reply(mtReply, grant("fd00::16", 0, 0)), noAddress},
	{"REPLY: UnspecFail", reply(mtReply, withStatus(iana.StatusUnspecFail)), nil},
	{"REPLY: UnspecFail in the IA_NA",
		reply(mtReply, withIAStatus(iana.StatusUnspecFail)), noAddress},
	{"REPLY: UseMulticast", reply(mtReply, withStatus(iana.StatusUseMulticast)), nil},
	{"REPLY: NoAddrsAvail", reply(mtReply, withStatus(iana.StatusNoAddrsAvail)),
		outcomes{Requesting: refused}},
	{"REPLY: NoAddrsAvail, rapid commit",
		reply(mtReply, withIAStatus(iana.StatusNoAddrsAvail), dhcpv6.WithRapidCommit),
		outcomes{Soliciting: stillRefused, Requesting: refused, Informing: informed}},
	{"REPLY: NoBinding", reply(mtReply, withStatus(iana.StatusNoBinding)),
		outcomes{Renewing: requested, Rebinding: requested}},
	{"REPLY: NoBinding in the IA_NA", reply(mtReply, withIAStatus(iana.StatusNoBinding)),
		outcomes{Informing: informed, Renewing: requested, Rebinding: requested}},
	{"REPLY of server B: NoBinding",
		reply(mtReply, from(serverB), withStatus(iana.StatusNoBinding)),
		outcomes{Rebinding: requested}},
	{"REPLY: NotOnLink", reply(mtReply, withStatus(iana.StatusNotOnLink)),
		outcomes{Requesting: refused, Renewing: lost, Rebinding: lost}},
	{"REPLY: NotOnLink in the IA_NA", reply(mtReply, withIAStatus(iana.StatusNotOnLink)),
		outcomes{Requesting: refused, Informing: informed, Renewing: lost, Rebinding: lost}},
	{"REPLY of another xid", edited(mtReply, wrongXID), nil},
	{"truncated REPLY", edited(mtReply, truncated), nil},
	{"REPLY of 3 bytes", edited(mtReply, func(b []byte) []byte { return b[:3] }), nil},
	{"REPLY with an option that overruns", edited(mtReply, func(b []byte) []byte {
		return append(b, 0, byte(dhcpv6.OptionDNSRecursiveNameServer), 0, 17, 0)
	}), nil},
	{"empty datagram", func(e *exchange) Event { return e.receive(nil) }, nil},
	{"SOLICIT", edited(mtReply, ofType(mtSolicit)), nil},
	{"REQUEST", edited(mtReply, ofType(mtRequest)), nil},
	{"RECONFIGURE", edited(mtReply, ofType(mtReconfigure)), nil},
	{"type 0", edited(mtReply, ofType(mtNone)), nil},
}

var timeTransitions = []transition{
	{"deadline", func(e *exchange) Event {
		if e.c.Deadline() == Infinite {
			return NoEvent
		}
		_, event := e.tick()
		return event
	}, outcomes{
		Soliciting: {Soliciting, NoEvent, mtSolicit}, Requesting: requested,
		Informing: {Informing, NoEvent, mtInformation}, Bound: {Renewing, NoEvent, mtRenew},
		Renewing: {Renewing, NoEvent, mtRenew}, Rebinding: {Rebinding, NoEvent, mtRebind},
	}},
	{"45 minutes pass", func(e *exchange) Event { // past T2
		return e.tickAt(5*time.Second + 45*time.Minute)
	}, outcomes{
		Soliciting: {Soliciting, NoEvent, mtSolicit}, Requesting: requested,
		Informing: {Informing, NoEvent, mtInformation}, Bound: {Rebinding, NoEvent, mtRebind},
		Renewing: {Rebinding, NoEvent, mtRebind}, Rebinding: {Rebinding, NoEvent, mtRebind},
	}},
	{"the host sleeps a day", func(e *exchange) Event {
		return e.tickAt(e.now + 24*time.Hour)
	}, outcomes{
		Soliciting: {Soliciting, NoEvent, mtSolicit}, Requesting: requested,
		Informing: {Informing, NoEvent, mtInformation},
		Bound:     lost, Renewing: lost, Rebinding: lost,
	}},
}

// TestTransitions applies every input in every state.
func TestTransitions(t *testing.T) {
	for _, c := range slices.Concat(advertiseTransitions, replyTransitions, timeTransitions) {
		for _, state := range allStates {
			t.Run(c.input+" in "+state.String(), func(t *testing.T) {
				checkTransition(t, c, state)
			})
		}
	}
}

func checkTransition(t *testing.T, c transition, state State) {
	e := reach(t, state)
	lease, deadline, count := e.c.Lease(), e.c.deadline, e.count
	got := outcome{event: c.do(e)}
	got.state = e.c.State()
	if e.count > count {
		got.sent = e.sent.MessageType
	}
	want, known := c.want[state]
	if !known {
		want = outcome{state, NoEvent, mtNone}
	}
	if got != want {
		t.Errorf("outcome = %v, want %v", got, want)
	}
	unchanged := e.c.Lease() == lease && e.c.deadline == deadline
	if got == (outcome{state, NoEvent, mtNone}) && !unchanged {
		t.Errorf("lease %v, deadline %v, want unchanged %v, %v",
			e.c.Lease(), e.c.deadline, lease, deadline)
	}
	if e.count > count+1 {
		t.Errorf("%d messages sent at once, want 1", e.count-count)
	}
	// A REQUEST after NoBinding does not drop the lease.
	wantLease := got.state >= Bound || got.state == Requesting && state >= Renewing
	if held := e.c.Lease() != nil; held != wantLease {
		t.Errorf("in %v: Lease() = %v, want one: %v", got.state, e.c.Lease(), wantLease)
	}
	if got, want := e.c.Listening(), e.c.State() != Init && e.c.State() != Bound; got != want {
		t.Errorf("in %v: Listening() = %v, want %v", e.c.State(), got, want)
	}
}
