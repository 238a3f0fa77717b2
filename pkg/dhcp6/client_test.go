package dhcp6

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

const (
	mtNone        = dhcpv6.MessageTypeNone
	mtSolicit     = dhcpv6.MessageTypeSolicit
	mtAdvertise   = dhcpv6.MessageTypeAdvertise
	mtRequest     = dhcpv6.MessageTypeRequest
	mtRenew       = dhcpv6.MessageTypeRenew
	mtRebind      = dhcpv6.MessageTypeRebind
	mtReply       = dhcpv6.MessageTypeReply
	mtRelease     = dhcpv6.MessageTypeRelease
	mtInformation = dhcpv6.MessageTypeInformationRequest
)

// TestTransitions puts every input to every state. What is not in the table's map leaves the client as it is.
func TestTransitions(t *testing.T) {
	type outcome struct {
		state State
		event Event
		sent  dhcpv6.MessageType // or mtNone
	}
	type outcomes map[State]outcome
	reply := func(kind dhcpv6.MessageType, modifiers ...dhcpv6.Modifier) func(*exchange) Event {
		return func(e *exchange) Event { return e.receive(e.reply(kind, modifiers...)) }
	}
	// edited is a right answer with some bytes changed.
	edited := func(kind dhcpv6.MessageType, edit func(b []byte) []byte) func(*exchange) Event {
		return func(e *exchange) Event { return e.receive(edit(e.reply(kind, dhcpv6.WithRapidCommit))) }
	}
	grant := func(ip string, preferred, valid time.Duration) dhcpv6.Modifier {
		return ia(renewal, rebinding, lifetimes(ip, preferred, valid))
	}
	wrongXID := func(b []byte) []byte { b[3] ^= 1; return b }
	kind := func(kind byte) func([]byte) []byte { return func(b []byte) []byte { b[0] = kind; return b } }
	otherIA := func(b []byte) []byte { return bytes.Replace(b, ourIAID[:], []byte{0, 0, 0, 2}, 1) }
	cutOff := func(b []byte) []byte { return b[:len(b)-1] }
	// What an IA_NA with a flaw leaves: nothing for addresses, but an answer for who asked for no address.
	informed := outcome{Bound, Acquired, mtNone}
	acquired, renewed := outcome{Bound, Acquired, mtNone}, outcome{Bound, Renewed, mtNone}
	lost := outcome{Soliciting, Lost, mtSolicit}
	again := outcome{Requesting, NoEvent, mtRequest}
	refused := outcome{Init, Refused, mtNone}
	replied := outcomes{Requesting: acquired, Informing: informed, Renewing: renewed, Rebinding: renewed}
	noAddress := outcomes{Informing: informed}
	for _, c := range []struct {
		input string
		do    func(*exchange) Event
		want  outcomes
	}{
		{"ADVERTISE", reply(mtAdvertise), outcomes{Soliciting: again}},
		{"ADVERTISE of server B", reply(mtAdvertise, from(serverB)), outcomes{Soliciting: again}},
		{"ADVERTISE with the least preference", reply(mtAdvertise, dhcpv6.WithPreference(0)), outcomes{Soliciting: again}},
		{"ADVERTISE without server", reply(mtAdvertise, noServer), nil},
		{"ADVERTISE to nobody", reply(mtAdvertise, noClient), nil},
		{"ADVERTISE to another client", reply(mtAdvertise, dhcpv6.WithClientID(serverA)), nil},
		{"ADVERTISE without IA_NA", reply(mtAdvertise, noIA), nil},
		{"ADVERTISE of another IA_NA", edited(mtAdvertise, otherIA), nil},
		{"ADVERTISE without address", reply(mtAdvertise, ia(0, 0)), nil},
		{"ADVERTISE: NoAddrsAvail", reply(mtAdvertise, status(iana.StatusNoAddrsAvail)),
			outcomes{Soliciting: {Soliciting, Refused, mtNone}}},
		{"ADVERTISE: NoAddrsAvail in the IA_NA", reply(mtAdvertise, iaStatus(iana.StatusNoAddrsAvail)),
			outcomes{Soliciting: {Soliciting, Refused, mtNone}}},
		{"ADVERTISE: UnspecFail", reply(mtAdvertise, status(iana.StatusUnspecFail)), nil},
		{"ADVERTISE of another xid", edited(mtAdvertise, wrongXID), nil},

		{"REPLY", reply(mtReply), replied},
		{"REPLY: Success", reply(mtReply, status(iana.StatusSuccess)), replied},
		{"REPLY, rapid commit", reply(mtReply, dhcpv6.WithRapidCommit), outcomes{Soliciting: acquired, Requesting: acquired,
			Informing: informed, Renewing: renewed, Rebinding: renewed}},
		{"REPLY of server B", reply(mtReply, from(serverB)), outcomes{Informing: informed, Rebinding: renewed}},
		{"REPLY of server B, rapid commit", reply(mtReply, from(serverB), dhcpv6.WithRapidCommit),
			outcomes{Soliciting: acquired, Informing: informed, Rebinding: renewed}},
		{"REPLY with another address", reply(mtReply, grant("fd00::16", preferred, valid)),
			outcomes{Requesting: acquired, Informing: informed, Renewing: acquired, Rebinding: acquired}},
		{"REPLY without server", reply(mtReply, noServer), nil},
		{"REPLY of a server with an empty DUID", reply(mtReply, noServer, generic(optServerID)), nil},
		{"REPLY of a server with a long DUID", reply(mtReply, noServer, generic(optServerID, make([]byte, maxDUID+1)...)), nil},
		{"REPLY to nobody", reply(mtReply, noClient), nil},
		{"REPLY to another client", reply(mtReply, dhcpv6.WithClientID(serverB)), nil},
		{"REPLY without IA_NA", reply(mtReply, noIA), noAddress},
		{"REPLY with another IA_NA", edited(mtReply, otherIA), noAddress},
		{"REPLY without address", reply(mtReply, ia(0, 0)), noAddress},
		{"REPLY with ::", reply(mtReply, grant("::", preferred, valid)), noAddress},
		{"REPLY with ::1", reply(mtReply, grant("::1", preferred, valid)), noAddress},
		{"REPLY with ff02::1", reply(mtReply, grant("ff02::1", preferred, valid)), noAddress},
		{"REPLY with fe80::15", reply(mtReply, grant("fe80::15", preferred, valid)), noAddress},
		{"REPLY preferred beyond validity", reply(mtReply, grant("fd00::15", valid+time.Second, valid)), noAddress},
		{"REPLY with T1 beyond T2", reply(mtReply, ia(11*time.Second, 10*time.Second, lifetimes("fd00::15", preferred, valid))), noAddress},
		{"REPLY with an address that failed", reply(mtReply, ia(0, 0, &dhcpv6.OptIAAddress{IPv6Addr: ourIP, ValidLifetime: valid,
			Options: dhcpv6.AddressOptions{Options: dhcpv6.Options{&dhcpv6.OptStatusCode{StatusCode: iana.StatusUnspecFail}}}})), noAddress},
		{"REPLY with our address ended", reply(mtReply, grant("fd00::15", 0, 0)),
			outcomes{Informing: informed, Renewing: lost, Rebinding: lost}},
		{"REPLY with another address ended", reply(mtReply, grant("fd00::16", 0, 0)), noAddress},
		{"REPLY: UnspecFail", reply(mtReply, status(iana.StatusUnspecFail)), nil},
		{"REPLY: UnspecFail in the IA_NA", reply(mtReply, iaStatus(iana.StatusUnspecFail)), noAddress},
		{"REPLY: UseMulticast", reply(mtReply, status(iana.StatusUseMulticast)), nil},
		{"REPLY: NoAddrsAvail", reply(mtReply, status(iana.StatusNoAddrsAvail)), outcomes{Requesting: refused}},
		{"REPLY: NoAddrsAvail, rapid commit", reply(mtReply, iaStatus(iana.StatusNoAddrsAvail), dhcpv6.WithRapidCommit),
			outcomes{Soliciting: {Soliciting, Refused, mtNone}, Requesting: refused, Informing: informed}},
		{"REPLY: NoBinding", reply(mtReply, status(iana.StatusNoBinding)), outcomes{Renewing: again, Rebinding: again}},
		{"REPLY: NoBinding in the IA_NA", reply(mtReply, iaStatus(iana.StatusNoBinding)),
			outcomes{Informing: informed, Renewing: again, Rebinding: again}},
		{"REPLY of server B: NoBinding", reply(mtReply, from(serverB), status(iana.StatusNoBinding)), outcomes{Rebinding: again}},
		{"REPLY: NotOnLink", reply(mtReply, status(iana.StatusNotOnLink)),
			outcomes{Requesting: refused, Renewing: lost, Rebinding: lost}},
		{"REPLY: NotOnLink in the IA_NA", reply(mtReply, iaStatus(iana.StatusNotOnLink)),
			outcomes{Requesting: refused, Informing: informed, Renewing: lost, Rebinding: lost}},
		{"REPLY of another xid", edited(mtReply, wrongXID), nil},
		{"REPLY cut off", edited(mtReply, cutOff), nil},
		{"REPLY of 3 bytes", edited(mtReply, func(b []byte) []byte { return b[:3] }), nil},
		{"REPLY with an option that overruns", edited(mtReply, func(b []byte) []byte { return append(b, 0, optDNS, 0, 17, 0) }), nil},
		{"nothing", func(e *exchange) Event { return e.receive(nil) }, nil},
		{"SOLICIT", edited(mtReply, kind(msgSolicit)), nil},
		{"REQUEST", edited(mtReply, kind(msgRequest)), nil},
		{"RECONFIGURE", edited(mtReply, kind(msgReconfigure)), nil},
		{"type 0", edited(mtReply, kind(0)), nil},

		{"deadline", func(e *exchange) Event {
			if _, ok := e.c.Deadline(); !ok {
				return NoEvent
			}
			_, event := e.tick()
			return event
		}, outcomes{
			Soliciting: {Soliciting, NoEvent, mtSolicit}, Requesting: again, Informing: {Informing, NoEvent, mtInformation},
			Bound: {Renewing, NoEvent, mtRenew}, Renewing: {Renewing, NoEvent, mtRenew}, Rebinding: {Rebinding, NoEvent, mtRebind},
		}},
		{"45 minutes pass", func(e *exchange) Event { return e.tickAt(5*time.Second + 45*time.Minute) }, outcomes{ // past T2
			Soliciting: {Soliciting, NoEvent, mtSolicit}, Requesting: again, Informing: {Informing, NoEvent, mtInformation},
			Bound: {Rebinding, NoEvent, mtRebind}, Renewing: {Rebinding, NoEvent, mtRebind}, Rebinding: {Rebinding, NoEvent, mtRebind},
		}},
		{"the host sleeps a day", func(e *exchange) Event { return e.tickAt(e.now + 24*time.Hour) }, outcomes{
			Soliciting: {Soliciting, NoEvent, mtSolicit}, Requesting: again, Informing: {Informing, NoEvent, mtInformation},
			Bound: lost, Renewing: lost, Rebinding: lost,
		}},
	} {
		for _, state := range allStates {
			t.Run(c.input+" in "+state.String(), func(t *testing.T) {
				e := reach(t, state)
				lease, deadline, count := e.c.Lease(), e.c.deadline, e.count
				event := c.do(e)
				got := outcome{e.c.State(), event, mtNone}
				if e.count > count {
					got.sent = e.sent.MessageType
				}
				want, known := c.want[state]
				if !known {
					want = outcome{state, NoEvent, mtNone}
				}
				if got != want {
					t.Errorf("got %v, want %v", got, want)
				}
				if got == (outcome{state, NoEvent, mtNone}) && (e.c.Lease() != lease || e.c.deadline != deadline) {
					t.Errorf("lease %v, deadline %v, want them to stay %v, %v", e.c.Lease(), e.c.deadline, lease, deadline)
				}
				if e.count > count+1 {
					t.Errorf("%d messages sent at once", e.count-count)
				}
				// A REQUEST after NoBinding leaves the lease as it is.
				if held := e.c.Lease() != nil; held != (got.state >= Bound || got.state == Requesting && state >= Renewing) {
					t.Errorf("in %v lease = %v", got.state, e.c.Lease())
				}
				if got, want := e.c.Listening(), e.c.State() != Init && e.c.State() != Bound; got != want {
					t.Errorf("in %v Listening() = %v, want %v", e.c.State(), got, want)
				}
			})
		}
	}
}

// TestMessages checks what is sent in each state against RFC 8415 section 18.2 and the table of its appendix B.
func TestMessages(t *testing.T) {
	codes := func(codes ...dhcpv6.OptionCode) []dhcpv6.OptionCode { return codes }
	stateful, stateless := codes(23, 24, 82), codes(23, 24, 32, 83)
	for _, c := range []struct {
		state   State
		kind    dhcpv6.MessageType
		options []dhcpv6.OptionCode
		asks    []dhcpv6.OptionCode
		hint    bool // the address is in the IA_NA
	}{
		{Soliciting, mtSolicit, codes(1, 3, 6, 8, 14), stateful, false},
		{Requesting, mtRequest, codes(1, 2, 3, 6, 8), stateful, true},
		{Informing, mtInformation, codes(1, 6, 8), stateless, false},
		{Renewing, mtRenew, codes(1, 2, 3, 6, 8), stateful, true},
		{Rebinding, mtRebind, codes(1, 3, 6, 8), stateful, true},
	} {
		e := reach(t, c.state)
		m := e.sent
		var got []dhcpv6.OptionCode
		for _, o := range m.Options.Options {
			got = append(got, o.Code())
		}
		slices.Sort(got)
		if m.MessageType != c.kind || !slices.Equal(got, c.options) {
			t.Errorf("in %v: sent %v with options %v, want %v with %v", c.state, m.MessageType, got, c.kind, c.options)
		}
		if got := m.Options.RequestedOptions(); !slices.Equal(got, c.asks) {
			t.Errorf("in %v: asks for %v, want %v", c.state, got, c.asks)
		}
		if got := m.Options.ClientID(); !ourDUID.Equal(got) {
			t.Errorf("in %v: client %v, want %v", c.state, got, ourDUID)
		}
		if got := m.Options.ServerID(); got != nil && !serverA.Equal(got) {
			t.Errorf("in %v: server %v, want %v", c.state, got, serverA)
		}
		if got := m.Options.ElapsedTime(); got != 0 {
			t.Errorf("in %v: %v elapsed at the first message, want 0", c.state, got)
		}
		if got, want := len(m.Options.IANA()), map[bool]int{true: 1}[c.state != Informing]; got != want {
			t.Errorf("in %v: %d IA_NA, want %d", c.state, got, want)
		}
		if ia := m.Options.OneIANA(); ia != nil {
			if ia.IaId != ourIAID || ia.T1 != 0 || ia.T2 != 0 || len(ia.Options.Options) != map[bool]int{true: 1}[c.hint] {
				t.Errorf("in %v: %v", c.state, ia)
			}
			if a := ia.Options.OneAddress(); c.hint && (!a.IPv6Addr.Equal(ourIP) || a.PreferredLifetime != 0 || a.ValidLifetime != 0) {
				t.Errorf("in %v: %v, want %v without lifetimes", c.state, a, ourIP)
			}
		}
	}
}

// within fails if d is not d0, more or less a tenth.
func within(t *testing.T, what string, d, d0 time.Duration) {
	t.Helper()
	if d < d0*9/10 || d > d0*11/10 {
		t.Errorf("%s after %v, want %v with 10 %% of jitter", what, d, d0)
	}
}

// TestRetransmission follows section 15: each timeout is twice the last one, with jitter, up to the limit.
func TestRetransmission(t *testing.T) {
	for name, random := range extremes {
		for _, c := range []struct {
			state          State
			first, longest time.Duration
			most           int // messages
		}{
			{Soliciting, firstTimeout, time.Hour, 30},
			{Requesting, firstTimeout, 30 * time.Second, 10},
			{Informing, firstTimeout, time.Hour, 30},
			{Renewing, 10 * time.Second, 10 * time.Minute, 4},
			{Rebinding, 10 * time.Second, 10 * time.Minute, 4},
		} {
			t.Run(name+" in "+c.state.String(), func(t *testing.T) {
				e := reach(t, c.state)
				e.c.config.Random = random
				e.c.begin(e.now, c.state)
				xid, began := e.c.xid, e.now
				kind := e.sent.MessageType
				last := c.first / 2
				for i := 1; i < c.most; i++ {
					d, _ := e.tick()
					switch {
					case 2*last <= c.longest*9/10: // RT = 2*RTprev + RAND*RTprev
						if least, most := 2*last-last/10, 2*last+last/10; i > 1 && (d < least || d > most) {
							t.Errorf("message %d after %v, want %v to %v", i, d, least, most)
						}
						if i == 1 {
							within(t, "the second message", d, c.first)
						}
					case 2*last > c.longest*10/9:
						within(t, "a late message", d, c.longest)
					}
					last = d
					e.expect(c.state, kind)
					if got, want := e.sent.Options.ElapsedTime(), min((e.now-began).Truncate(10*time.Millisecond), 0xffff*10*time.Millisecond); got != want {
						t.Errorf("message %d: %v elapsed, want %v", i, got, want)
					}
					if got := binary.BigEndian.Uint32(append([]byte{0}, e.sent.TransactionID[:]...)); got != xid {
						t.Errorf("message %d: xid %#x, want %#x", i, got, xid)
					}
				}
				if c.state == Requesting { // the server is gone: start over, with a pause
					e.tick()
					e.expect(Init, mtRequest)
					d, _ := e.tick()
					within(t, "SOLICIT", d, firstTimeout)
					e.expect(Soliciting, mtSolicit)
				}
			})
		}
	}
}

// Clients that were started together do not stay together: timeouts differ by up to a tenth either way.
func TestJitter(t *testing.T) {
	least, most := NewClient(Config{Random: extremes["least"]}), NewClient(Config{Random: extremes["most"]})
	if got := least.jitter(time.Hour); got != -6*time.Minute {
		t.Errorf("least jitter of an hour = %v, want -6m", got)
	}
	if got := most.jitter(time.Hour); got < 5*time.Minute+59*time.Second || got >= 6*time.Minute {
		t.Errorf("most jitter of an hour = %v, want almost 6m", got)
	}
}

// The server sets how long a timeout can get, as far as the RFC lets it.
func TestLongestTimeout(t *testing.T) {
	settle := func(e *exchange) time.Duration {
		for range 30 {
			e.tick()
		}
		d, _ := e.tick()
		return d
	}
	for _, c := range []struct {
		seconds uint32
		want    time.Duration
	}{{60, time.Minute}, {86400, 24 * time.Hour}, {59, time.Hour}, {86401, time.Hour}, {0xffffffff, time.Hour}} {
		value := binary.BigEndian.AppendUint32(nil, c.seconds)
		e := reach(t, Soliciting)
		// An ADVERTISE without an address says so, too.
		e.receive(e.reply(mtAdvertise, status(iana.StatusNoAddrsAvail), generic(optSolMaxRT, value...)))
		within(t, "SOLICIT", settle(e), c.want)
		e = reach(t, Informing)
		e.receive(e.reply(mtReply, generic(optInfMaxRT, value...)))
		e.tick()
		e.expect(Informing, mtInformation)
		within(t, "INFORMATION-REQUEST", settle(e), c.want)
	}
	e := reach(t, Soliciting)
	e.receive(e.reply(mtAdvertise, ia(0, 0), generic(optSolMaxRT, 0, 60)))
	within(t, "SOLICIT after a limit of two bytes", settle(e), time.Hour)
}

// Each exchange has a transaction ID of its own.
func TestXIDsDiffer(t *testing.T) {
	e := reach(t, Soliciting)
	seen := []dhcpv6.TransactionID{e.sent.TransactionID}
	for _, step := range []func(){
		func() { e.receive(e.reply(mtAdvertise)) },
		func() { e.receive(e.reply(mtReply)); e.tick() },
		func() {
			for e.c.State() == Renewing {
				e.tick()
			}
		},
		func() { e.receive(e.reply(mtReply, status(iana.StatusNoBinding))) },
		func() { e.receive(e.reply(mtReply, status(iana.StatusNotOnLink))) },
	} {
		step()
		if slices.Contains(seen, e.sent.TransactionID) {
			t.Errorf("the xid %v of a %v was used before", e.sent.TransactionID, e.sent.MessageType)
		}
		seen = append(seen, e.sent.TransactionID)
	}
}

// A server that refuses whatever it is asked for is asked less and less often.
func TestRefusals(t *testing.T) {
	e := newExchange(t, nil)
	e.start()
	want := firstTimeout
	for range 20 {
		e.receive(e.reply(mtAdvertise))
		if event := e.receive(e.reply(mtReply, status(iana.StatusNotOnLink))); event != Refused {
			t.Fatalf("NotOnLink makes event %v, want Refused", event)
		}
		d, _ := e.tick()
		within(t, "SOLICIT", d, want)
		want = min(2*want, time.Hour)
		e.expect(Soliciting, mtSolicit)
		if len(e.sent.Options.OneIANA().Options.Options) != 0 {
			t.Error("the address that was refused is asked for again")
		}
	}
	// A lease that was held makes that forgotten.
	e.receive(e.reply(mtAdvertise))
	e.receive(e.reply(mtReply))
	e.tickAt(e.c.expireAt)
	e.receive(e.reply(mtAdvertise))
	e.receive(e.reply(mtReply, status(iana.StatusNoAddrsAvail)))
	d, _ := e.tick()
	within(t, "SOLICIT", d, firstTimeout)
}

// A server without addresses is asked again as one that does not answer is.
func TestNoAddresses(t *testing.T) {
	e, silent := reach(t, Soliciting), reach(t, Soliciting)
	for range 10 {
		if event := e.receive(e.reply(mtAdvertise, iaStatus(iana.StatusNoAddrsAvail))); event != Refused {
			t.Fatalf("NoAddrsAvail makes event %v, want Refused", event)
		}
		got, _ := e.tick()
		if want, _ := silent.tick(); got != want {
			t.Errorf("SOLICIT after %v, want %v", got, want)
		}
	}
	if event := e.receive(e.reply(mtReply, dhcpv6.WithRapidCommit)); event != Acquired {
		t.Errorf("with an address at last: event %v, want Acquired", event)
	}
}

// Answers that come late, twice, or from two servers make one lease.
func TestDelayAndDuplicates(t *testing.T) {
	e := newExchange(t, nil)
	e.start()
	late, second := e.reply(mtAdvertise), e.reply(mtAdvertise, from(serverB))
	rapid := e.reply(mtReply, dhcpv6.WithRapidCommit)
	e.tick()
	again := e.reply(mtAdvertise)
	e.receive(late)
	e.expect(Requesting, mtRequest)
	count := e.count
	for _, b := range [][]byte{late, again, second, rapid} {
		if event := e.receive(b); event != NoEvent || e.count != count {
			t.Errorf("another answer to the SOLICIT makes event %v, %d messages", event, e.count-count)
		}
	}
	if got := e.sent.Options.ServerID(); !serverA.Equal(got) {
		t.Errorf("REQUEST to %v, want %v, which was first", got, serverA)
	}
	right, refusal := e.reply(mtReply), e.reply(mtReply, from(serverB), status(iana.StatusNoAddrsAvail))
	e.now += 50 * time.Millisecond
	if event := e.receive(refusal); event != NoEvent {
		t.Errorf("server B's refusal makes event %v", event)
	}
	buf := bytes.Clone(right)
	if event := e.receive(buf); event != Acquired {
		t.Errorf("the REPLY makes event %v, want Acquired", event)
	}
	clear(buf) // whose it is
	if got, want := e.c.expireAt, e.now+valid; got != want {
		t.Errorf("the lease ends at %v, want %v: an hour from the REPLY", got, want)
	}
	for _, b := range [][]byte{right, late, rapid, e.reply(mtReply, status(iana.StatusNotOnLink))} {
		if event := e.receive(b); event != NoEvent || e.c.State() != Bound {
			t.Errorf("an answer too many makes event %v, state %v", event, e.c.State())
		}
	}
	if e.tick(); !serverA.Equal(e.sent.Options.ServerID()) {
		t.Errorf("RENEW to %v, want %v", e.sent.Options.ServerID(), serverA)
	}
}

// Every message and every answer is lost as often as not, and comes late: the client gets its lease.
func TestLoss(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 6))
		e := newExchange(t, func(c *Config) { c.Random = random.Uint32 })
		e.start()
		for e.c.State() != Bound {
			if e.count > 60 {
				t.Fatalf("seed %d: no lease after %d messages", seed, e.count)
			}
			if random.IntN(2) == 0 && e.c.Listening() {
				kind := map[State]dhcpv6.MessageType{Soliciting: mtAdvertise, Requesting: mtReply}[e.c.State()]
				e.now += min(time.Duration(random.IntN(300))*time.Millisecond, e.c.deadline-e.now)
				e.receive(e.reply(kind))
			} else {
				e.tick()
			}
		}
	}
}

// A lease of seconds is renewed, rebound and lost in time, and had again when the server is back.
func TestLeaseOfSeconds(t *testing.T) {
	for name, random := range extremes {
		t.Run(name, func(t *testing.T) {
			seconds := ia(0, 0, lifetimes("fd00::15", 40*time.Second, 100*time.Second))
			e := newExchange(t, func(c *Config) { c.Random = random })
			e.start()
			e.receive(e.reply(mtReply, seconds, dhcpv6.WithRapidCommit))
			for range 3 {
				d, _ := e.tick()
				e.expect(Renewing, mtRenew)
				if d != 20*time.Second {
					t.Errorf("renewal after %v, want 20s", d)
				}
				if event := e.receive(e.reply(mtReply, seconds)); event != Renewed {
					t.Fatalf("the REPLY makes event %v, want Renewed", event)
				}
			}
			began := e.now // of the lease: the server answered at once
			var sent []dhcpv6.MessageType
			for {
				if _, event := e.tick(); event == Lost {
					break
				}
				sent = append(sent, e.sent.MessageType)
				if want := map[bool]State{true: Rebinding, false: Renewing}[e.now-began >= 32*time.Second]; e.c.State() != want {
					t.Errorf("after %v the client is %v, want %v", e.now-began, e.c.State(), want)
				}
			}
			if want := []dhcpv6.MessageType{mtRenew, mtRenew, mtRebind, mtRebind, mtRebind}; len(sent) > 6 || !slices.Equal(sent[:5], want) {
				t.Errorf("sent %v, want %v and maybe another", sent, want)
			}
			if e.now-began != 100*time.Second {
				t.Errorf("the lease was lost after %v, want 100s", e.now-began)
			}
			e.expect(Soliciting, mtSolicit)
			for range 10 {
				e.tick()
			}
			e.receive(e.reply(mtAdvertise, seconds))
			if event := e.receive(e.reply(mtReply, seconds)); event != Acquired {
				t.Errorf("the server is back: event %v, want Acquired", event)
			}
		})
	}
}

// The shortest lease that there is, of one second, does not keep the client busy.
func TestLeaseOfASecond(t *testing.T) {
	e := newExchange(t, nil)
	second := ia(0, 0, lifetimes("fd00::15", time.Second, time.Second))
	e.start()
	e.receive(e.reply(mtReply, second, dhcpv6.WithRapidCommit))
	for range 10 {
		if d, _ := e.tick(); d < 500*time.Millisecond {
			t.Errorf("renewal after %v, want half a second", d)
		}
		e.receive(e.reply(mtReply, second))
	}
	e.tick()
	e.tick()
	if d, event := e.tick(); event != Lost || d != 200*time.Millisecond {
		t.Errorf("event %v %v after the REBIND, want Lost after 200ms", event, d)
	}
}

// When the server knows nothing of the lease, the client asks for it again, and holds it for as long as it is valid.
func TestNoBinding(t *testing.T) {
	requesting := func() *exchange {
		e := reach(t, Rebinding)
		e.receive(e.reply(mtReply, from(serverB), status(iana.StatusNoBinding)))
		e.expect(Requesting, mtRequest)
		if got := e.sent.Options.ServerID(); !serverB.Equal(got) {
			t.Errorf("REQUEST to %v, want %v", got, serverB)
		}
		if a := e.sent.Options.OneIANA().Options.OneAddress(); a == nil || !a.IPv6Addr.Equal(ourIP) {
			t.Errorf("REQUEST for %v, want %v", a, ourIP)
		}
		return e
	}
	e := requesting()
	if event := e.receive(e.reply(mtReply, from(serverB))); event != Renewed || !bytes.Equal(e.c.Lease().Server, serverB.ToBytes()) {
		t.Errorf("a REPLY with the same address: event %v, server %x", event, e.c.Lease().Server)
	}
	e = requesting()
	other := ia(0, 0, lifetimes("fd00::16", preferred, valid))
	if event := e.receive(e.reply(mtReply, from(serverB), other)); event != Acquired || e.c.Lease().Addresses[0].Addr != addr("fd00::16") {
		t.Errorf("a REPLY with another address: event %v, lease %+v", event, e.c.Lease())
	}
	e = requesting()
	if event := e.receive(e.reply(mtReply, from(serverB), status(iana.StatusNoBinding))); event != NoEvent || e.c.State() != Requesting {
		t.Errorf("NoBinding again: event %v, state %v", event, e.c.State())
	}
	if event := e.receive(e.reply(mtReply, from(serverB), iaStatus(iana.StatusNoAddrsAvail))); event != Lost {
		t.Errorf("NoAddrsAvail: event %v, want Lost", event)
	}
	e.expect(Soliciting, mtSolicit)
	// The server is gone: the lease is too, after the last REQUEST.
	e = requesting()
	for count := e.count; ; {
		if _, event := e.tick(); event == Lost {
			if got := e.count - count; got != requests {
				t.Errorf("%d messages, want %d and a SOLICIT", got, requests)
			}
			break
		}
		e.expect(Requesting, mtRequest)
	}
	// But not beyond its time.
	e = reach(t, Rebinding)
	e.now = e.c.expireAt - time.Second
	e.receive(e.reply(mtReply, status(iana.StatusNoBinding)))
	for e.c.State() == Requesting {
		e.tick()
	}
	if want := 5*time.Second + valid; e.now != want || e.c.Lease() != nil {
		t.Errorf("the lease ends at %v, want %v", e.now, want)
	}
}

func TestInfiniteLease(t *testing.T) {
	const infinite = 0xffffffff * time.Second
	e := newExchange(t, nil)
	e.start()
	forever := ia(0, 0, lifetimes("fd00::15", infinite, infinite))
	if event := e.receive(e.reply(mtReply, forever, dhcpv6.WithRapidCommit)); event != Acquired {
		t.Fatalf("event %v, want Acquired", event)
	}
	if at, ok := e.c.Deadline(); ok || e.c.Listening() {
		t.Errorf("an infinite lease has a deadline at %v", at)
	}
	if a := e.c.Tick(1e6 * time.Hour); a.Send != nil || a.Event != NoEvent || e.c.State() != Bound {
		t.Errorf("Tick = %+v, state %v", a, e.c.State())
	}
	// The server may want to be asked all the same. Then the address stays whatever it says.
	e = newExchange(t, nil)
	e.start()
	e.receive(e.reply(mtReply, ia(10*time.Second, 20*time.Second, lifetimes("fd00::15", infinite, infinite)), dhcpv6.WithRapidCommit))
	for range 1000 {
		if _, event := e.tick(); event != NoEvent {
			t.Fatalf("event %v after %v", event, e.now)
		}
	}
	e.expect(Rebinding, mtRebind)
}

// The lease lasts as long as its last address.
func TestTwoAddresses(t *testing.T) {
	e := newExchange(t, nil)
	e.start()
	e.receive(e.reply(mtReply, dhcpv6.WithRapidCommit, ia(0, 0, lifetimes("fd00::1", 100*time.Second, 200*time.Second),
		lifetimes("fd00::2", 300*time.Second, 400*time.Second))))
	if l := e.c.Lease(); l.T1 != 50*time.Second || l.T2 != 80*time.Second {
		t.Errorf("T1 %v, T2 %v, want 50s, 80s", l.T1, l.T2)
	}
	began := e.now
	e.tick()
	if got := len(e.sent.Options.OneIANA().Options.Addresses()); got != 2 {
		t.Errorf("RENEW of %d addresses, want 2", got)
	}
	swapped := ia(0, 0, lifetimes("fd00::2", 300*time.Second, 400*time.Second), lifetimes("fd00::1", 100*time.Second, 200*time.Second))
	if event := e.receive(e.reply(mtReply, swapped)); event != Renewed {
		t.Errorf("the same addresses: event %v, want Renewed", event)
	}
	e.tick()
	one := ia(0, 0, lifetimes("fd00::2", 300*time.Second, 400*time.Second), lifetimes("fd00::1", 0, 0))
	if event := e.receive(e.reply(mtReply, one)); event != Acquired || len(e.c.Lease().Addresses) != 1 {
		t.Errorf("an address less: event %v, lease %+v, want Acquired", event, e.c.Lease())
	}
	for e.c.Lease() != nil {
		e.tick()
	}
	if got := e.now - began; got != 500*time.Second {
		t.Errorf("lost after %v, want 500s: 50s, 50s and 400s", got)
	}
}

// A stateless client asks again when the server said, and keeps what it has until there is an answer.
func TestInformationRefresh(t *testing.T) {
	for _, c := range []struct {
		option []dhcpv6.Modifier
		want   time.Duration
	}{
		{nil, 24 * time.Hour},
		{[]dhcpv6.Modifier{dhcpv6.WithInformationRefreshTime(time.Hour)}, time.Hour},
		{[]dhcpv6.Modifier{dhcpv6.WithInformationRefreshTime(0)}, 600 * time.Second},
		{[]dhcpv6.Modifier{dhcpv6.WithInformationRefreshTime(599 * time.Second)}, 600 * time.Second},
		{[]dhcpv6.Modifier{generic(optRefresh, 0, 60)}, 24 * time.Hour},
		{[]dhcpv6.Modifier{generic(optRefresh, 0xff, 0xff, 0xff, 0xff)}, Infinite},
	} {
		e := reach(t, Informing)
		if event := e.receive(e.reply(mtReply, append(c.option, dhcpv6.WithDNS(net.ParseIP("fd00::53")))...)); event != Acquired {
			t.Fatalf("event %v, want Acquired", event)
		}
		lease := e.c.Lease()
		if lease.Refresh != c.want || len(lease.DNS) != 1 || len(lease.Addresses) != 0 || lease.T1 != 0 || e.c.Listening() {
			t.Errorf("lease %+v, want a refresh after %v", lease, c.want)
		}
		if e.c.Release() != nil {
			t.Error("Release() of a lease without addresses")
		}
		if c.want == Infinite {
			if at, ok := e.c.Deadline(); ok {
				t.Errorf("infinite, yet with a deadline at %v", at)
			}
			continue
		}
		if d, _ := e.tick(); d < c.want || d > c.want+time.Second {
			t.Errorf("refresh after %v, want up to a second after %v", d, c.want)
		}
		for range 10 {
			e.expect(Informing, mtInformation)
			if e.c.Lease() != lease {
				t.Error("the lease is lost")
			}
			e.tick()
		}
		if event := e.receive(e.reply(mtReply)); event != Renewed || len(e.c.Lease().DNS) != 0 {
			t.Errorf("event %v, lease %+v, want Renewed, without name servers", event, e.c.Lease())
		}
	}
}

// Machines that were started together do not ask again together.
func TestRefreshIsSpread(t *testing.T) {
	for name, want := range map[string]time.Duration{"least": 0, "most": 999 * time.Millisecond} {
		e := reach(t, Informing)
		e.c.config.Random = extremes[name]
		e.receive(e.reply(mtReply))
		if d, _ := e.tick(); (d - 24*time.Hour).Truncate(time.Millisecond) != want {
			t.Errorf("%s: refresh after %v, want a day and %v", name, d, want)
		}
	}
}

func TestOfferOnly(t *testing.T) {
	for _, stateful := range []bool{true, false} {
		e := newExchange(t, func(c *Config) { c.OfferOnly, c.Stateful = true, stateful })
		e.start()
		if e.sent.GetOneOption(dhcpv6.OptionRapidCommit) != nil {
			t.Error("a SOLICIT that is to take nothing has Rapid Commit")
		}
		right := mtReply
		if stateful {
			right = mtAdvertise
			if event := e.receive(e.reply(mtReply, dhcpv6.WithRapidCommit)); event != NoEvent || e.c.Lease() != nil {
				t.Errorf("a REPLY makes event %v, lease %v", event, e.c.Lease())
			}
		}
		if event := e.receive(e.reply(right)); event != Offered || e.count != 1 {
			t.Errorf("a %v makes event %v after %d messages, want Offered after 1", right, event, e.count)
		}
		if l := e.c.Lease(); l == nil || stateful && l.Addresses[0].Addr != addr("fd00::15") {
			t.Errorf("offer = %+v", l)
		}
		if _, ok := e.c.Deadline(); ok || e.c.Listening() || e.c.Release() != nil {
			t.Error("it goes on after the offer")
		}
		if a := e.c.Tick(1e6 * time.Hour); a.Send != nil || a.Event != NoEvent || e.c.Lease() == nil {
			t.Errorf("Tick = %+v", a)
		}
	}
}

func TestRelease(t *testing.T) {
	for _, state := range allStates {
		e := reach(t, state)
		b := e.c.Release()
		if state < Bound {
			if b != nil {
				t.Errorf("in %v: Release() = %x, want nothing", state, b)
			}
			continue
		}
		m, err := dhcpv6.MessageFromBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		if m.MessageType != mtRelease || !ourDUID.Equal(m.Options.ClientID()) || !serverA.Equal(m.Options.ServerID()) ||
			m.TransactionID == e.sent.TransactionID || m.GetOneOption(dhcpv6.OptionElapsedTime) == nil || len(m.Options.Options) != 4 {
			t.Errorf("in %v: %v", state, m)
		}
		if ia := m.Options.OneIANA(); ia == nil || ia.IaId != ourIAID || !ia.Options.OneAddress().IPv6Addr.Equal(ourIP) {
			t.Errorf("in %v: %v", state, ia)
		}
	}
}

// Every message fits into a packet of the least MTU, 1280, however much a server grants and however long the DUIDs are.
func TestMessageSize(t *testing.T) {
	var inside []dhcpv6.Option
	for i := range 100 {
		inside = append(inside, lifetimes(net.IP(append(make([]byte, 15, 16), byte(i))).String(), preferred, valid))
		inside[i].(*dhcpv6.OptIAAddress).IPv6Addr[0] = 0xfd
	}
	long := generic(optServerID, make([]byte, maxDUID)...)
	e := newExchange(t, func(c *Config) { c.DUID = make([]byte, maxDUID) })
	e.start()
	client := generic(optClientID, make([]byte, maxDUID)...)
	e.receive(e.reply(mtAdvertise, noServer, noClient, long, client, ia(0, 0, inside...)))
	e.expect(Requesting, mtRequest)
	e.receive(e.reply(mtReply, noServer, noClient, long, client, ia(0, 0, inside...)))
	if got := len(e.c.Lease().Addresses); got != mostAddresses {
		t.Errorf("%d addresses, want %d", got, mostAddresses)
	}
	for e.c.State() != Soliciting {
		if got := len(e.c.buf); got > 1280-40-8 {
			t.Errorf("a %v of %d bytes", e.sent.MessageType, got)
		}
		e.tick()
	}
}

// hostile makes packets: replies with bytes changed, and no replies at all. None is an answer to the client.
type hostile struct {
	random *rand.Rand
	right  [][]byte // what the answers would be
	client *Client
	buf    [1500]byte
}

func (h *hostile) next() []byte {
	right := h.right[h.random.IntN(len(h.right))]
	b := h.buf[:copy(h.buf[:], right)]
	if h.random.IntN(4) == 0 {
		b = h.buf[:h.random.IntN(len(h.buf))]
		for i := range b {
			b[i] = byte(h.random.Uint32())
		}
		if len(b) >= headerSize && h.random.IntN(2) == 0 {
			copy(b, right[:headerSize])
		}
	}
	for range h.random.IntN(6) {
		if len(b) > 0 {
			b[h.random.IntN(len(b))] = byte(h.random.Uint32())
		}
	}
	if h.random.IntN(4) == 0 {
		b = b[:h.random.IntN(len(b)+1)]
	}
	if m, ok := parse(b); ok && m.xid == h.client.xid && bytes.Equal(m.find(optClientID), h.client.config.DUID) {
		b[1+h.random.IntN(3)] ^= 1 << h.random.IntN(8)
	}
	return b
}

// TestHostilePackets sends 100,000 packets that are not the answer to one client, in every state that listens.
func TestHostilePackets(t *testing.T) {
	const packets = 100_000
	states := []State{Soliciting, Requesting, Informing, Renewing, Rebinding}
	for _, state := range states {
		t.Run(state.String(), func(t *testing.T) {
			e := reach(t, state)
			h := &hostile{random: rand.New(rand.NewPCG(1, uint64(state))), client: e.c, right: [][]byte{
				e.reply(mtAdvertise), e.reply(mtReply), e.reply(mtReply, dhcpv6.WithRapidCommit),
				e.reply(mtReply, status(iana.StatusNotOnLink)), e.reply(mtReply, from(serverB), iaStatus(iana.StatusNoBinding))}}
			lease, deadline := e.c.Lease(), e.c.deadline
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range packets / len(states) {
				if a := e.c.Receive(e.now, Datagram{Payload: h.next()}); a.Send != nil || a.Event != NoEvent {
					t.Fatalf("Receive(%x) = %+v", h.buf, a)
				}
			}
			runtime.ReadMemStats(&after)
			if allocated := after.Mallocs - before.Mallocs; allocated > 100 { // the runtime's own
				t.Errorf("%d allocations", allocated)
			}
			if e.c.State() != state || e.c.Lease() != lease || e.c.deadline != deadline {
				t.Errorf("state %v, lease %v, deadline %v", e.c.State(), e.c.Lease(), e.c.deadline)
			}
			// It still hears the right one.
			kind := mtReply
			if state == Soliciting {
				kind = mtAdvertise
			}
			if e.receive(e.reply(kind)); e.c.State() == state {
				t.Errorf("still %v after the right answer", state)
			}
		})
	}
}

// An answerer that knows transaction ID and client, and grants nothing, costs no memory that stays, nor messages.
func TestHostileServer(t *testing.T) {
	const packets = 100_000
	for _, state := range []State{Soliciting, Requesting, Renewing, Rebinding} {
		e := reach(t, state)
		lease, deadline, count := e.c.Lease(), e.c.deadline, e.count
		useless := [][]byte{e.reply(mtAdvertise, noIA), e.reply(mtReply, status(iana.StatusUnspecFail)), e.reply(mtReply, ia(0, 0)),
			e.reply(mtReply, dhcpv6.WithRapidCommit, ia(2, 1, lifetimes("::1", valid, valid)))}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range packets {
			if event := e.receive(useless[i%len(useless)]); event != NoEvent {
				t.Fatalf("event %v", event)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
			t.Errorf("in %v: %d bytes more", state, grown)
		}
		if e.c.Lease() != lease || e.c.deadline != deadline || e.count != count {
			t.Errorf("in %v: lease %v, deadline %v, %d messages", state, e.c.Lease(), e.c.deadline, e.count-count)
		}
	}
}

func TestTransmittingDoesNotAllocate(t *testing.T) {
	e := reach(t, Soliciting)
	if n := testing.AllocsPerRun(100, func() { e.c.Tick(e.now + 1000*time.Hour) }); n != 0 {
		t.Errorf("a retransmission makes %v allocations", n)
	}
}

func TestStateString(t *testing.T) {
	var got []string
	for _, s := range allStates {
		got = append(got, s.String())
	}
	want := []string{"INIT", "SOLICITING", "REQUESTING", "INFORMING", "BOUND", "RENEWING", "REBINDING"}
	if !slices.Equal(got, want) {
		t.Errorf("states = %v, want %v", got, want)
	}
}

// FuzzClient has a client receive two packets in any state. It never takes a lease from what does not match, and what it
// takes is sound. What it sends is not read here: it has the server's DUID, and insomniacslk/dhcp does not take any.
func FuzzClient(f *testing.F) {
	e := reach(&testing.T{}, Requesting)
	for state := range allStates {
		f.Add(uint8(state), e.reply(mtAdvertise), e.reply(mtReply), true)
		f.Add(uint8(state), e.reply(mtReply, dhcpv6.WithRapidCommit), e.reply(mtReply, iaStatus(iana.StatusNoBinding)), true)
		f.Add(uint8(state), e.reply(mtReply, from(serverB)), e.reply(mtReply, status(iana.StatusNotOnLink)), false)
	}
	f.Fuzz(func(t *testing.T, n uint8, first, second []byte, match bool) {
		e := reach(t, allStates[int(n)%len(allStates)])
		for _, b := range [][]byte{first, second} {
			if match && len(b) >= headerSize { // else hardly any would get further than the xid
				b[1], b[2], b[3] = byte(e.c.xid>>16), byte(e.c.xid>>8), byte(e.c.xid)
			}
			m, ok := parse(b)
			matches := ok && m.xid == e.c.xid && bytes.Equal(m.find(optClientID), ourDUID.ToBytes()) && len(m.find(optServerID)) > 0
			state, lease := e.c.State(), e.c.Lease()
			event := e.c.Receive(e.now, Datagram{Payload: b}).Event
			if (e.c.Lease() != lease || event != NoEvent || e.c.State() != state) && (!matches || state == Init || state == Bound) {
				t.Fatalf("in %v a packet that does not match makes event %v, state %v", state, event, e.c.State())
			}
			if l := e.c.Lease(); l != nil {
				checkLease(t, l, e.c.config.Stateful)
			}
			if len(e.c.buf) > 1232 {
				t.Errorf("%d bytes to send", len(e.c.buf))
			}
		}
		// Time goes on, whatever happened, and a client never gets stuck or busy.
		for range 20 {
			at, ok := e.c.Deadline()
			if !ok {
				break
			}
			if e.c.Tick(at); e.c.deadline <= at {
				t.Fatalf("in %v: nothing waited for at %v", e.c.State(), at)
			}
		}
	})
}
