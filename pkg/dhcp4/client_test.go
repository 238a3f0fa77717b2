package dhcp4

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

const (
	mtDiscover = dhcpv4.MessageTypeDiscover
	mtOffer    = dhcpv4.MessageTypeOffer
	mtRequest  = dhcpv4.MessageTypeRequest
	mtAck      = dhcpv4.MessageTypeAck
	mtNak      = dhcpv4.MessageTypeNak
	mtNone     = dhcpv4.MessageTypeNone
)

// TestTransitions puts every input to every state. What is not in the table's map leaves the client as it is.
func TestTransitions(t *testing.T) {
	type outcome struct {
		state State
		event Event
		sent  dhcpv4.MessageType // or mtNone
	}
	reply := func(kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) func(*exchange) Event {
		return func(e *exchange) Event { return e.receive(e.reply(kind, modifiers...)) }
	}
	// edited is a right answer with some bytes changed.
	edited := func(kind dhcpv4.MessageType, edit func(b []byte) []byte) func(*exchange) Event {
		return func(e *exchange) Event { return e.receive(edit(e.reply(kind))) }
	}
	wrongXID := func(b []byte) []byte { b[offXID+3] ^= 1; return b }
	wrongMAC := func(b []byte) []byte { b[offCHAddr+5] ^= 1; return b }
	option := func(code byte, value ...byte) dhcpv4.Modifier {
		return dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), value)
	}
	lost := outcome{Selecting, Lost, mtDiscover}
	acquired, renewed := outcome{Bound, Acquired, mtNone}, outcome{Bound, Renewed, mtNone}
	for _, c := range []struct {
		input string
		do    func(*exchange) Event
		want  map[State]outcome
	}{
		{"OFFER", reply(mtOffer), map[State]outcome{Selecting: {Requesting, NoEvent, mtRequest}}},
		{"OFFER of server B", reply(mtOffer, from(serverB)), map[State]outcome{Selecting: {Requesting, NoEvent, mtRequest}}},
		{"OFFER without lease time", reply(mtOffer, dhcpv4.WithoutOption(dhcpv4.OptionIPAddressLeaseTime)),
			map[State]outcome{Selecting: {Requesting, NoEvent, mtRequest}}},
		{"OFFER without server", reply(mtOffer, noServer), nil},
		{"OFFER of server 0.0.0.0", reply(mtOffer, from(net.IPv4zero)), nil},
		{"OFFER of 0.0.0.0", reply(mtOffer, dhcpv4.WithYourIP(net.IPv4zero)), nil},
		{"OFFER of 127.0.0.1", reply(mtOffer, dhcpv4.WithYourIP(net.IPv4(127, 0, 0, 1))), nil},
		{"OFFER of 255.255.255.255", reply(mtOffer, dhcpv4.WithYourIP(net.IPv4bcast)), nil},
		{"OFFER of another xid", edited(mtOffer, wrongXID), nil},
		{"OFFER to another chaddr", edited(mtOffer, wrongMAC), nil},

		{"ACK", reply(mtAck), map[State]outcome{Selecting: acquired, Requesting: acquired, Renewing: renewed, Rebinding: renewed}},
		{"ACK, rapid commit", reply(mtAck, option(optRapidCommit)),
			map[State]outcome{Selecting: acquired, Requesting: acquired, Renewing: renewed, Rebinding: renewed}},
		{"ACK of server B", reply(mtAck, from(serverB)), map[State]outcome{Selecting: acquired, Rebinding: renewed}},
		{"ACK of another address", reply(mtAck, dhcpv4.WithYourIP(serverB)),
			map[State]outcome{Selecting: acquired, Requesting: acquired, Renewing: acquired, Rebinding: acquired}},
		{"ACK without server", reply(mtAck, noServer), nil},
		{"ACK without lease time", reply(mtAck, dhcpv4.WithoutOption(dhcpv4.OptionIPAddressLeaseTime)), nil},
		{"ACK of lease time 0", reply(mtAck, dhcpv4.WithLeaseTime(0)), nil},
		{"ACK of 0.0.0.0", reply(mtAck, dhcpv4.WithYourIP(net.IPv4zero)), nil},
		{"ACK of another xid", edited(mtAck, wrongXID), nil},
		{"ACK to another chaddr", edited(mtAck, wrongMAC), nil},
		{"ACK that is a request", edited(mtAck, func(b []byte) []byte { b[0] = bootRequest; return b }), nil},
		{"ACK of another hardware type", edited(mtAck, func(b []byte) []byte { b[1] = 6; return b }), nil},
		{"ACK of another hardware address length", edited(mtAck, func(b []byte) []byte { b[2] = 16; return b }), nil},
		{"ACK without cookie", edited(mtAck, func(b []byte) []byte { b[offCookie] = 0; return b }), nil},
		{"ACK cut off in its options", edited(mtAck, func(b []byte) []byte { return b[:fixedSize+4] }), nil},
		{"ACK cut off before its options", edited(mtAck, func(b []byte) []byte { return b[:fixedSize-1] }), nil},
		{"ACK with an option that overruns", edited(mtAck, func(b []byte) []byte {
			return append(b[:bytes.LastIndexByte(b, optEnd)], optDomain, 200, 'a')
		}), nil},
		{"ACK with a type of two bytes", reply(mtAck, option(optMessageType, dhcpAck, dhcpAck)), nil},
		{"ACK with an overload of 4", reply(mtAck, option(optOverload, 4)), nil},
		{"nothing", func(e *exchange) Event { return e.receive(nil) }, nil},

		{"NAK", reply(mtNak), map[State]outcome{Requesting: {Init, Refused, mtNone}, Renewing: lost, Rebinding: lost}},
		{"NAK of server B", reply(mtNak, from(serverB)), map[State]outcome{Rebinding: lost}},
		{"NAK without server", reply(mtNak, noServer), nil},
		{"NAK of another xid", edited(mtNak, wrongXID), nil},
		{"NAK to another chaddr", edited(mtNak, wrongMAC), nil},
		{"DISCOVER as reply", reply(mtDiscover), nil},
		{"no type", reply(mtAck, dhcpv4.WithoutOption(dhcpv4.OptionDHCPMessageType)), nil},

		{"deadline", func(e *exchange) Event {
			if _, ok := e.c.Deadline(); !ok {
				return NoEvent
			}
			_, event := e.tick()
			return event
		}, map[State]outcome{
			Selecting: {Selecting, NoEvent, mtDiscover}, Requesting: {Requesting, NoEvent, mtRequest},
			Bound: {Renewing, NoEvent, mtRequest}, Renewing: {Renewing, NoEvent, mtRequest}, Rebinding: {Rebinding, NoEvent, mtRequest},
		}},
		{"55 minutes pass", func(e *exchange) Event { // past T2
			e.now = 5*time.Second + 55*time.Minute
			return e.do(e.c.Tick(e.now))
		}, map[State]outcome{
			Selecting: {Selecting, NoEvent, mtDiscover}, Requesting: {Requesting, NoEvent, mtRequest},
			Bound: {Rebinding, NoEvent, mtRequest}, Renewing: {Rebinding, NoEvent, mtRequest},
		}},
		{"the host sleeps a day", func(e *exchange) Event {
			e.now += 24 * time.Hour
			return e.do(e.c.Tick(e.now))
		}, map[State]outcome{
			Selecting: {Selecting, NoEvent, mtDiscover}, Requesting: {Requesting, NoEvent, mtRequest},
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
					got.sent = e.sent.MessageType()
				}
				want, known := c.want[state]
				if !known {
					want = outcome{state, NoEvent, mtNone}
					if e.c.Lease() != lease || e.c.deadline != deadline {
						t.Errorf("lease %v, deadline %v, want them to stay %v, %v", e.c.Lease(), e.c.deadline, lease, deadline)
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
			})
		}
	}
}

// TestMessages checks the fields of what is sent in each state against RFC 2131 table 5 and section 4.3.6.
func TestMessages(t *testing.T) {
	asks := []byte{1, 121, 249, 3, 6, 12, 15, 26, 28, 58, 59, 119}
	id := append([]byte{1}, ourMAC[:]...)
	type fields struct {
		kind      dhcpv4.MessageType
		to        string
		broadcast bool
		ciaddr    net.IP
		secs      uint16
		options   []uint8 // all but 53, in ascending order
	}
	broadcast := "255.255.255.255"
	for _, c := range []struct {
		state State
		want  fields
	}{
		{Selecting, fields{mtDiscover, broadcast, true, net.IPv4zero, 0, []uint8{12, 55, 57, 61, 80}}},
		{Requesting, fields{mtRequest, broadcast, true, net.IPv4zero, 0, []uint8{12, 50, 54, 55, 57, 61}}},
		{Renewing, fields{mtRequest, "10.0.2.2", false, ourIP, 0, []uint8{12, 55, 57, 61}}},
		{Rebinding, fields{mtRequest, broadcast, false, ourIP, 60 * 22, []uint8{12, 55, 57, 61}}},
	} {
		e := reach(t, c.state)
		m := e.sent
		got := fields{m.MessageType(), e.to.String(), m.IsBroadcast(), m.ClientIPAddr.To4(), m.NumSeconds, nil}
		for code := range m.Options {
			if code != optMessageType && code != optEnd {
				got.options = append(got.options, code)
			}
		}
		slices.Sort(got.options)
		if c.state == Rebinding && m.NumSeconds > 60*22 && m.NumSeconds < 60*25 {
			got.secs = 60 * 22 // T2 - T1 and T1's fuzz
		}
		c.want.ciaddr = c.want.ciaddr.To4()
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("in %v: sent %+v, want %+v", c.state, got, c.want)
		}
		if m.OpCode != dhcpv4.OpcodeBootRequest || m.HWType != 1 || !bytes.Equal(m.ClientHWAddr, ourMAC[:]) || m.HopCount != 0 ||
			!m.YourIPAddr.Equal(net.IPv4zero) || !m.ServerIPAddr.Equal(net.IPv4zero) || !m.GatewayIPAddr.Equal(net.IPv4zero) ||
			m.ServerHostName != "" || m.BootFileName != "" {
			t.Errorf("in %v: sent %v", c.state, m.Summary())
		}
		if got := m.GetOneOption(dhcpv4.OptionParameterRequestList); !bytes.Equal(got, asks) {
			t.Errorf("in %v: asks for %v, want %v", c.state, got, asks)
		}
		if got := m.GetOneOption(dhcpv4.OptionClientIdentifier); !bytes.Equal(got, id) {
			t.Errorf("in %v: client identifier %x, want %x", c.state, got, id)
		}
		if size, err := m.MaxMessageSize(); size != 1472 || err != nil {
			t.Errorf("in %v: maximum message size %d, %v, want 1472", c.state, size, err)
		}
		if got := m.HostName(); got != "box" {
			t.Errorf("in %v: host name %q, want box", c.state, got)
		}
		if c.state == Requesting && (!m.RequestedIPAddress().Equal(ourIP) || !m.ServerIdentifier().Equal(serverA)) {
			t.Errorf("REQUEST of %v at %v, want %v at %v", m.RequestedIPAddress(), m.ServerIdentifier(), ourIP, serverA)
		}
		if len(e.c.buf) < 300 || len(e.c.buf) > 548 {
			t.Errorf("in %v: sent %d bytes, want at least 300, and what any relay takes", c.state, len(e.c.buf))
		}
	}
}

func TestConfig(t *testing.T) {
	e := newExchange(t, func(c *Config) {
		c.ClientID = []byte{0xff, 1, 2, 3}
		c.Hostname = ""
		c.Requested = addr("192.0.2.9")
	})
	e.start()
	if got := e.sent.GetOneOption(dhcpv4.OptionClientIdentifier); !bytes.Equal(got, []byte{0xff, 1, 2, 3}) {
		t.Errorf("client identifier %x, want ff010203", got)
	}
	if e.sent.Options.Has(dhcpv4.OptionHostName) {
		t.Error("sent a host name")
	}
	if got := e.sent.RequestedIPAddress(); !got.Equal(net.IPv4(192, 0, 2, 9)) {
		t.Errorf("requested %v, want 192.0.2.9", got)
	}
	// What can't be encoded is left out; the rest is as it was.
	e = newExchange(t, func(c *Config) { c.Hostname = string(make([]byte, 256)) })
	if e.start(); e.sent.Options.Has(dhcpv4.OptionHostName) || !e.sent.Options.Has(dhcpv4.OptionParameterRequestList) {
		t.Errorf("sent %v, want no host name", e.sent.Summary())
	}
}

func TestOfferOnly(t *testing.T) {
	e := newExchange(t, func(c *Config) { c.OfferOnly = true })
	e.start()
	if e.sent.Options.Has(dhcpv4.OptionRapidCommit) {
		t.Error("a DISCOVER that is to take nothing has Rapid Commit")
	}
	if event := e.receive(e.reply(mtAck)); event != NoEvent || e.c.Lease() != nil {
		t.Errorf("an ACK makes event %v, lease %v", event, e.c.Lease())
	}
	if event := e.receive(e.reply(mtOffer)); event != Offered || e.count != 1 {
		t.Errorf("an OFFER makes event %v after %d messages, want Offered after 1", event, e.count)
	}
	if l := e.c.Lease(); l == nil || l.Address.String() != "10.0.2.15/24" {
		t.Errorf("offer = %+v", l)
	}
	if _, ok := e.c.Deadline(); ok || e.c.Listening() || e.c.Ack() != nil {
		t.Error("it goes on after the OFFER")
	}
	if m, err := dhcpv4.FromBytes(e.c.Release()); err != nil || m.MessageType() != dhcpv4.MessageTypeRelease ||
		m.ClientIPAddr.String() != "10.0.2.15" || m.ServerIdentifier().String() != "10.0.2.2" {
		t.Errorf("Release() = %v, %v, want one for the offered address", m, err)
	}
}

// within fails if d is not d0, more or less a quarter.
func within(t *testing.T, what string, d, d0 time.Duration) {
	t.Helper()
	if d < d0*3/4 || d > d0*5/4 {
		t.Errorf("%s after %v, want %v with 25 %% of jitter", what, d, d0)
	}
}

func TestRetransmission(t *testing.T) {
	for name, random := range extremes {
		t.Run(name, func(t *testing.T) {
			e := newExchange(t, func(c *Config) { c.Random = random })
			e.start()
			xid, began := e.sent.TransactionID, e.now
			want := firstInterval
			for range 20 {
				d, _ := e.tick()
				within(t, "DISCOVER", d, want)
				want = min(2*want, maxInterval)
				e.expect(Selecting, mtDiscover)
				if got := time.Duration(e.sent.NumSeconds); e.sent.TransactionID != xid || got != (e.now-began)/time.Second {
					t.Errorf("xid %v, secs %d, want %v, %d", e.sent.TransactionID, got, xid, (e.now-began)/time.Second)
				}
			}
			// The REQUEST has xid and secs of the last DISCOVER, however often it is sent.
			secs := e.sent.NumSeconds
			e.now += 3 * time.Second
			e.receive(e.reply(mtOffer))
			want = firstInterval
			for i := range requests {
				e.expect(Requesting, mtRequest)
				if e.sent.TransactionID != xid || e.sent.NumSeconds != secs {
					t.Errorf("REQUEST %d: xid %v, secs %d, want %v, %d", i, e.sent.TransactionID, e.sent.NumSeconds, xid, secs)
				}
				d, _ := e.tick()
				within(t, "REQUEST", d, want)
				want *= 2
			}
			// The server is gone: start over, with a pause.
			e.expect(Init, mtRequest)
			d, _ := e.tick()
			within(t, "DISCOVER", d, firstInterval)
			e.expect(Selecting, mtDiscover)
		})
	}
}

func TestXIDsDiffer(t *testing.T) {
	e := reach(t, Requesting)
	first := e.sent.TransactionID
	e.receive(e.reply(mtNak))
	if e.tick(); e.sent.TransactionID == first {
		t.Error("the xid stays after a NAK")
	}
	if e.sent.Options.Has(dhcpv4.OptionRequestedIPAddress) {
		t.Error("the address that was refused is asked for again")
	}
	e = reach(t, Bound)
	acquired := e.sent.TransactionID
	e.tick()
	renewal := e.sent.TransactionID
	if renewal == acquired {
		t.Error("the xid stays at the renewal")
	}
	for e.c.State() == Renewing {
		if e.tick(); e.sent.TransactionID != renewal {
			t.Error("the xid changes in the renewal")
		}
	}
}

// A server that refuses whatever it is asked for is asked less and less often.
func TestRefusals(t *testing.T) {
	e := newExchange(t, nil)
	e.start()
	want := firstInterval
	for range 20 {
		e.receive(e.reply(mtOffer))
		if event := e.receive(e.reply(mtNak)); event != Refused {
			t.Fatalf("a NAK makes event %v, want Refused", event)
		}
		d, _ := e.tick()
		within(t, "DISCOVER", d, want)
		want = min(2*want, maxInterval)
		e.expect(Selecting, mtDiscover)
	}
	// A lease that was held makes that forgotten.
	e.receive(e.reply(mtOffer))
	e.receive(e.reply(mtAck))
	e.now = e.c.expireAt
	e.do(e.c.Tick(e.now))
	e.receive(e.reply(mtOffer))
	e.receive(e.reply(mtNak))
	d, _ := e.tick()
	within(t, "DISCOVER", d, firstInterval)
}

// Answers that come late, twice, or from two servers make one lease.
func TestDelayAndDuplicates(t *testing.T) {
	e := newExchange(t, nil)
	e.start()
	late, second := e.reply(mtOffer), e.reply(mtOffer, from(serverB))
	e.tick()
	again := e.reply(mtOffer)
	e.receive(late)
	e.expect(Requesting, mtRequest)
	count := e.count
	for _, b := range [][]byte{late, again, second} {
		if event := e.receive(b); event != NoEvent || e.count != count {
			t.Errorf("another OFFER makes event %v, %d messages", event, e.count-count)
		}
	}
	if !e.sent.ServerIdentifier().Equal(serverA) {
		t.Errorf("REQUEST to %v, want %v, which was first", e.sent.ServerIdentifier(), serverA)
	}
	ack, nakB := e.reply(mtAck), e.reply(mtNak, from(serverB))
	sent := e.now
	e.now += 50 * time.Millisecond
	if event := e.receive(nakB); event != NoEvent {
		t.Errorf("server B's NAK makes event %v", event)
	}
	buf := bytes.Clone(ack)
	if event := e.receive(buf); event != Acquired {
		t.Errorf("the ACK makes event %v, want Acquired", event)
	}
	clear(buf) // whose it is
	if got, want := e.c.expireAt, sent+time.Hour; got != want {
		t.Errorf("the lease ends at %v, want %v: an hour from the REQUEST", got, want)
	}
	for _, b := range [][]byte{ack, late, e.reply(mtNak)} {
		if event := e.receive(b); event != NoEvent || e.c.State() != Bound {
			t.Errorf("an answer too many makes event %v, state %v", event, e.c.State())
		}
	}
	if !bytes.Equal(e.c.Ack(), ack) {
		t.Error("Ack() is not the ACK")
	}
}

// A lease of four seconds is renewed, rebound and lost in time, and had again when the server is back.
func TestLeaseOfSeconds(t *testing.T) {
	for name, random := range extremes {
		t.Run(name, func(t *testing.T) {
			seconds := dhcpv4.WithLeaseTime(4)
			e := newExchange(t, func(c *Config) { c.Random = random })
			e.start()
			e.receive(e.reply(mtOffer, seconds))
			e.receive(e.reply(mtAck, seconds))
			for range 3 {
				d, _ := e.tick()
				e.expect(Renewing, mtRequest)
				if d > 2*time.Second || d < 2*time.Second*31/32 {
					t.Errorf("renewal after %v, want about 2s", d)
				}
				if event := e.receive(e.reply(mtAck, seconds)); event != Renewed {
					t.Fatalf("the ACK makes event %v, want Renewed", event)
				}
			}
			began := e.now // of the lease: the server answered at once
			states := []State{}
			for count := e.count; ; {
				at := e.now
				_, event := e.tick()
				if event == Lost {
					break
				}
				if e.now == at {
					t.Fatal("the client is busy")
				}
				states = append(states, e.c.State())
				if e.count-count > 20 {
					t.Fatalf("%d messages for a lease of four seconds", e.count-count)
				}
				if want := map[bool]State{true: Rebinding, false: Renewing}[e.now-began >= 3500*time.Millisecond]; e.c.State() != want {
					t.Errorf("after %v the client is %v, want %v", e.now-began, e.c.State(), want)
				}
			}
			if e.now-began != 4*time.Second {
				t.Errorf("the lease was lost after %v, want 4s", e.now-began)
			}
			if !slices.Contains(states, Renewing) || !slices.Contains(states, Rebinding) || len(states) < 4 {
				t.Errorf("states on the way: %v, want tries in RENEWING and REBINDING", states)
			}
			e.expect(Selecting, mtDiscover)
			if !e.sent.RequestedIPAddress().Equal(ourIP) || e.sent.NumSeconds != 0 {
				t.Errorf("after the loss: %v, want a new DISCOVER for %v", e.sent.Summary(), ourIP)
			}
			for range 10 {
				e.tick()
			}
			e.receive(e.reply(mtOffer, seconds))
			if event := e.receive(e.reply(mtAck, seconds)); event != Acquired {
				t.Errorf("the server is back: event %v, want Acquired", event)
			}
		})
	}
}

// A lease of a day is not asked for more often than once a minute, and no message is sent for as long as it is good.
func TestLeaseOfADay(t *testing.T) {
	e := newExchange(t, nil)
	day := dhcpv4.WithLeaseTime(86400)
	e.start()
	e.receive(e.reply(mtOffer, day))
	e.receive(e.reply(mtAck, day))
	began, count := e.now, e.count
	for e.count-count < 100 {
		d, event := e.tick()
		if event == Lost {
			break
		}
		end := e.now == e.c.rebindAt || e.c.deadline == e.c.rebindAt || e.c.deadline == e.c.expireAt
		if d < time.Minute && !end {
			t.Errorf("%v: a message %v after the last", e.now-began, d)
		}
	}
	if e.now-began != 24*time.Hour || e.count-count > 25 {
		t.Errorf("lost after %v and %d messages", e.now-began, e.count-count)
	}
}

func TestInfiniteLease(t *testing.T) {
	e := newExchange(t, nil)
	e.start()
	if event := e.receive(e.reply(mtAck, dhcpv4.WithLeaseTime(0xffffffff))); event != Acquired {
		t.Fatalf("event %v, want Acquired", event)
	}
	if at, ok := e.c.Deadline(); ok || e.c.Listening() {
		t.Errorf("an infinite lease has a deadline at %v", at)
	}
	if a := e.c.Tick(1e6 * time.Hour); a.Send != nil || a.Event != NoEvent || e.c.State() != Bound {
		t.Errorf("Tick = %+v, state %v", a, e.c.State())
	}
}

// An ACK that was on its way until its lease had ended grants nothing.
func TestStaleAck(t *testing.T) {
	e := reach(t, Requesting)
	ack := e.reply(mtAck)
	e.now += time.Hour
	if event := e.receive(ack); event != NoEvent || e.c.Lease() != nil {
		t.Errorf("event %v, lease %v, want none", event, e.c.Lease())
	}
}

func TestResume(t *testing.T) {
	e := reach(t, Bound)
	ack, acquired := bytes.Clone(e.c.Ack()), e.now
	for _, c := range []struct {
		after time.Duration
		state State
		event Event
		sent  dhcpv4.MessageType
	}{
		{0, Bound, NoEvent, mtNone},
		{20 * time.Minute, Bound, NoEvent, mtNone},
		{40 * time.Minute, Renewing, NoEvent, mtRequest},
		{55 * time.Minute, Rebinding, NoEvent, mtRequest},
		{time.Hour, Selecting, Lost, mtDiscover},
		{1000 * time.Hour, Selecting, Lost, mtDiscover},
	} {
		r := newExchange(t, nil)
		a, err := r.c.Resume(acquired+c.after, ack, acquired)
		if err != nil {
			t.Fatal(err)
		}
		event := r.do(a)
		sent := mtNone
		if r.sent != nil {
			sent = r.sent.MessageType()
		}
		if r.c.State() != c.state || event != c.event || sent != c.sent {
			t.Errorf("after %v: state %v, event %v, sent %v, want %+v", c.after, r.c.State(), event, sent, c)
		}
		if c.state >= Bound && (!reflect.DeepEqual(r.c.Lease(), e.c.Lease()) || !bytes.Equal(r.c.Ack(), ack)) {
			t.Errorf("after %v: lease %+v, want %+v", c.after, r.c.Lease(), e.c.Lease())
		}
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "an OFFER": e.reply(mtOffer), "no lease time": e.reply(mtAck, dhcpv4.WithLeaseTime(0)),
		"another interface's": e.reply(mtAck, dhcpv4.WithHwAddr(net.HardwareAddr{1, 2, 3, 4, 5, 6})),
	} {
		c := newExchange(t, nil).c
		if a, err := c.Resume(acquired, bad, acquired); err == nil || a.Send != nil || c.State() != Init || c.Lease() != nil {
			t.Errorf("Resume(%s) = %+v, %v, want an error", name, a, err)
		}
	}
}

// A lease is confirmed by any server, which is asked as often as for a new one, and is not prolonged by being asked about.
func TestConfirm(t *testing.T) {
	for _, state := range []State{Bound, Renewing, Rebinding} {
		e := reach(t, state)
		xid, end := e.sent.TransactionID, e.c.expireAt
		e.do(e.c.Confirm(e.now))
		e.expect(Rebinding, mtRequest)
		if e.to != limitedBroadcast() || !e.sent.ClientIPAddr.Equal(ourIP) || e.sent.TransactionID == xid || e.sent.Options.Has(dhcpv4.OptionServerIdentifier) {
			t.Errorf("in %v: sent %v to %v", state, e.sent, e.to)
		}
		for _, most := range []time.Duration{firstInterval, 2 * firstInterval, 4 * firstInterval, 8 * firstInterval} {
			if passed, event := e.tick(); passed > most*5/4 || event != NoEvent {
				t.Errorf("in %v: after %v, event %v, want a REQUEST after %v", state, passed, event, most)
			}
			e.expect(Rebinding, mtRequest)
		}
		if event := e.receive(e.reply(mtAck, from(serverB))); event != Renewed || e.c.State() != Bound {
			t.Errorf("in %v: event %v, state %v, want a renewal", state, event, e.c.State())
		}
		// The next extension is not asked for that often.
		e.tick()
		if passed, _ := e.tick(); passed < time.Minute {
			t.Errorf("in %v: the second REQUEST of RENEWING after %v", state, passed)
		}

		e = reach(t, state)
		e.do(e.c.Confirm(e.now))
		if event := e.receive(e.reply(mtNak, from(serverB))); event != Lost || e.c.State() != Selecting || e.c.Lease() != nil {
			t.Errorf("in %v: event %v, state %v, want the lease lost", state, event, e.c.State())
		}
		e = reach(t, state)
		e.do(e.c.Confirm(e.now))
		for e.c.State() == Rebinding {
			e.tick()
		}
		if e.now != end {
			t.Errorf("in %v: the lease was lost at %v, want %v", state, e.now, end)
		}
	}
	e := newExchange(t, nil)
	e.do(e.c.Confirm(e.now))
	e.expect(Selecting, mtDiscover)
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
		m, err := dhcpv4.FromBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		if m.MessageType() != dhcpv4.MessageTypeRelease || !m.ClientIPAddr.Equal(ourIP) || !m.ServerIdentifier().Equal(serverA) ||
			m.IsBroadcast() || m.NumSeconds != 0 || m.TransactionID == e.sent.TransactionID || !bytes.Equal(m.ClientHWAddr, ourMAC[:]) {
			t.Errorf("in %v: %v", state, m.Summary())
		}
		// RFC 2131 table 5 forbids 50, 51, 52, 55, 57.
		if got, want := len(m.Options), 3; got != want || !m.Options.Has(dhcpv4.OptionClientIdentifier) {
			t.Errorf("in %v: %v, want options 53, 54 and 61", state, m.Summary())
		}
	}
}

// hostile makes packets: replies with bytes changed, and no replies at all. None is an answer to xid.
type hostile struct {
	random *rand.Rand
	right  [][]byte // what the answers would be
	xid    uint32
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
		if len(b) >= fixedSize && h.random.IntN(2) == 0 {
			copy(b, right[:fixedSize])
		}
	}
	for range h.random.IntN(6) {
		if len(b) > 0 {
			b[h.random.IntN(len(b))] = byte(h.random.Uint32())
		}
	}
	if len(b) > offXID+4 {
		if xid := binary.BigEndian.Uint32(b[offXID:]); xid == h.xid {
			binary.BigEndian.PutUint32(b[offXID:], xid^1<<h.random.IntN(32))
		}
	}
	if h.random.IntN(4) == 0 {
		b = b[:h.random.IntN(len(b)+1)]
	}
	return b
}

// TestHostilePackets sends 100,000 packets that are not the answer to one client, in every state that listens.
func TestHostilePackets(t *testing.T) {
	const packets = 100_000
	states := []State{Selecting, Requesting, Renewing, Rebinding}
	for _, state := range states {
		t.Run(state.String(), func(t *testing.T) {
			e := reach(t, state)
			h := &hostile{random: rand.New(rand.NewPCG(1, uint64(state))), xid: e.c.xid, right: [][]byte{
				e.reply(mtOffer), e.reply(mtAck), e.reply(mtNak), e.reply(mtAck, from(serverB))}}
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
			right := map[State]dhcpv4.MessageType{Selecting: mtOffer}
			kind, ok := right[state]
			if !ok {
				kind = mtAck
			}
			if e.receive(e.reply(kind)); e.c.State() == state {
				t.Errorf("still %v after the right answer", state)
			}
		})
	}
}

// Answers with the right xid that grant nothing cost no memory either.
func TestIgnoringDoesNotAllocate(t *testing.T) {
	e := reach(t, Requesting)
	for name, b := range map[string][]byte{
		"OFFER": e.reply(mtOffer), "another server": e.reply(mtAck, from(serverB)), "no server": e.reply(mtAck, noServer),
		"malformed": append(e.reply(mtAck)[:fixedSize], optDomain, 200),
	} {
		d := Datagram{Payload: b}
		if n := testing.AllocsPerRun(100, func() { e.c.Receive(e.now, d) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	e = reach(t, Selecting)
	if n := testing.AllocsPerRun(100, func() { e.c.Tick(e.now + 1000*time.Hour) }); n != 0 {
		t.Errorf("a retransmission makes %v allocations", n)
	}
}

func TestStateString(t *testing.T) {
	var got []string
	for _, s := range allStates {
		got = append(got, s.String())
	}
	if want := []string{"INIT", "SELECTING", "REQUESTING", "BOUND", "RENEWING", "REBINDING"}; !slices.Equal(got, want) {
		t.Errorf("states = %v, want %v", got, want)
	}
}

// FuzzClient has a client receive two packets in any state. It never takes a lease from what does not match, and what it
// takes is sound.
func FuzzClient(f *testing.F) {
	e := reach(&testing.T{}, Requesting)
	for state := range allStates {
		f.Add(uint8(state), e.reply(mtOffer), e.reply(mtAck), true)
		f.Add(uint8(state), e.reply(mtAck, from(serverB)), e.reply(mtNak), false)
	}
	f.Fuzz(func(t *testing.T, n uint8, first, second []byte, match bool) {
		e := reach(t, allStates[int(n)%len(allStates)])
		for _, b := range [][]byte{first, second} {
			if match && len(b) >= fixedSize { // else hardly any would get further than the xid
				binary.BigEndian.PutUint32(b[offXID:], e.c.xid)
				copy(b[offCHAddr:], ourMAC[:])
			}
			matches := len(b) >= fixedSize && binary.BigEndian.Uint32(b[offXID:]) == e.c.xid && bytes.Equal(b[offCHAddr:][:6], ourMAC[:])
			state, lease := e.c.State(), e.c.Lease()
			event := e.receive(b)
			if (e.c.Lease() != lease || event != NoEvent || e.c.State() != state) && (!matches || state == Init || state == Bound) {
				t.Fatalf("in %v a packet that does not match makes event %v, state %v", state, event, e.c.State())
			}
			if l := e.c.Lease(); l != nil {
				checkLease(t, l)
				if l.Duration == 0 || e.c.State() < Bound {
					t.Errorf("in %v: a lease of %v", e.c.State(), l.Duration)
				}
			}
			if len(e.c.buf) > 576 || !bytes.Equal(e.c.ack, nil) && len(e.c.ack) > max(len(b), 1500) {
				t.Errorf("%d bytes to send, %d of an ACK", len(e.c.buf), len(e.c.ack))
			}
		}
		// Time goes on, whatever happened, and a client never gets stuck or busy.
		for range 20 {
			if _, ok := e.c.Deadline(); !ok {
				break
			}
			if e.tick(); e.c.deadline <= e.now {
				t.Fatalf("in %v: nothing waited for at %v", e.c.State(), e.now)
			}
		}
	})
}
