package dhcp4

import (
	"bytes"
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

const broadcast = "255.255.255.255"

// fields are the fields of a message that differ between the states.
type fields struct {
	kind      dhcpv4.MessageType
	to        string
	broadcast bool
	ciaddr    string
	options   []uint8 // all but 53, in ascending order
}

// TestMessages compares the messages of each state with RFC 2131 table 5 and section 4.3.6.
func TestMessages(t *testing.T) {
	for state, want := range map[State]fields{
		Selecting:  {mtDiscover, broadcast, true, "0.0.0.0", []uint8{12, 55, 57, 61, 80}},
		Requesting: {mtRequest, broadcast, true, "0.0.0.0", []uint8{12, 50, 54, 55, 57, 61}},
		Renewing:   {mtRequest, "10.0.2.2", false, "10.0.2.15", []uint8{12, 55, 57, 61}},
		Rebinding:  {mtRequest, broadcast, false, "10.0.2.15", []uint8{12, 55, 57, 61}},
	} {
		e := reach(t, state)
		m := e.sent
		got := fields{m.MessageType(), e.to.String(), m.IsBroadcast(), m.ClientIPAddr.String(), nil}
		for code := range m.Options {
			if code != 53 && code != 255 {
				got.options = append(got.options, code)
			}
		}
		slices.Sort(got.options)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("in %v: sent %+v, want %+v", state, got, want)
		}
		least, most := uint16(0), uint16(0)
		if state == Rebinding { // T2 - T1, and what T1 was early
			least, most = 60*22, 60*25
		}
		if m.NumSeconds < least || m.NumSeconds > most {
			t.Errorf("in %v: secs %d, want %d to %d", state, m.NumSeconds, least, most)
		}
		checkCommon(t, state, m)
		address, server := m.RequestedIPAddress(), m.ServerIdentifier()
		if state == Requesting && (!address.Equal(ourIP) || !server.Equal(serverA)) {
			t.Errorf("REQUEST of %v at %v, want %v at %v", address, server, ourIP, serverA)
		}
		if n := len(e.c.buf); n < 300 || n > 548 {
			t.Errorf("in %v: sent %d bytes, want 300 to 548, which all relays forward", state, n)
		}
	}
}

// checkCommon checks the fields that do not depend on the state.
func checkCommon(t *testing.T, state State, m *dhcpv4.DHCPv4) {
	t.Helper()
	if m.OpCode != dhcpv4.OpcodeBootRequest || m.HWType != 1 || m.HopCount != 0 ||
		!bytes.Equal(m.ClientHWAddr, ourMAC[:]) || !m.YourIPAddr.Equal(net.IPv4zero) ||
		!m.ServerIPAddr.Equal(net.IPv4zero) || !m.GatewayIPAddr.Equal(net.IPv4zero) ||
		m.ServerHostName != "" || m.BootFileName != "" {
		t.Errorf("in %v: sent %v", state, m.Summary())
	}
	asks := []byte{1, 121, 249, 3, 6, 12, 15, 26, 28, 58, 59, 119}
	if got := m.GetOneOption(dhcpv4.OptionParameterRequestList); !bytes.Equal(got, asks) {
		t.Errorf("in %v: asks for %v, want %v", state, got, asks)
	}
	id := append([]byte{1}, ourMAC[:]...)
	if got := m.GetOneOption(dhcpv4.OptionClientIdentifier); !bytes.Equal(got, id) {
		t.Errorf("in %v: client identifier %x, want %x", state, got, id)
	}
	if size, err := m.MaxMessageSize(); size != 1472 || err != nil {
		t.Errorf("in %v: maximum message size %d, %v, want 1472", state, size, err)
	}
	if got := m.HostName(); got != "box" {
		t.Errorf("in %v: host name %q, want box", state, got)
	}
}

func TestConfig(t *testing.T) {
	id := []byte{0xff, 1, 2, 3}
	e := newExchange(t, func(c *Config) {
		c.ClientID = id
		c.Hostname = ""
		c.Requested = addr("192.0.2.9")
	})
	e.start()
	if got := e.sent.GetOneOption(dhcpv4.OptionClientIdentifier); !bytes.Equal(got, id) {
		t.Errorf("client identifier %x, want %x", got, id)
	}
	if e.sent.Options.Has(dhcpv4.OptionHostName) {
		t.Errorf("sent the host name %q, want none", e.sent.HostName())
	}
	if got := e.sent.RequestedIPAddress(); !got.Equal(net.IPv4(192, 0, 2, 9)) {
		t.Errorf("requested %v, want 192.0.2.9", got)
	}
	e = newExchange(t, func(c *Config) {
		c.Hostname = string(bytes.Repeat([]byte("x"), 255))
		c.Requested = addr("2001:db8::1")
	})
	e.start()
	if len(e.sent.HostName()) != 255 || e.sent.Options.Has(dhcpv4.OptionRequestedIPAddress) {
		t.Errorf("sent %v, want a host name of 255 bytes and no requested address", e.sent.Summary())
	}
	e = newExchange(t, func(c *Config) { c.Hostname = string(make([]byte, 256)) })
	if e.start(); e.sent.Options.Has(dhcpv4.OptionHostName) || e.sent.ParameterRequestList() == nil {
		t.Errorf("sent %v, want no host name", e.sent.Summary())
	}
}

func TestOfferOnly(t *testing.T) {
	e := newExchange(t, func(c *Config) { c.OfferOnly = true })
	e.start()
	if e.sent.Options.Has(dhcpv4.OptionRapidCommit) {
		t.Error("a DISCOVER with OfferOnly has the option Rapid Commit")
	}
	if event := e.receive(e.reply(mtAck)); event != NoEvent || e.c.Lease() != nil {
		t.Errorf("an ACK causes event %v, lease %v, want none", event, e.c.Lease())
	}
	if event := e.receive(e.reply(mtOffer)); event != Offered || e.count != 1 {
		t.Errorf("an OFFER causes event %v after %d messages, want Offered after 1", event, e.count)
	}
	if l := e.c.Lease(); l == nil || l.Address.String() != "10.0.2.15/24" {
		t.Errorf("offer = %+v, want one of 10.0.2.15/24", l)
	}
	if e.c.Deadline() != Infinite || e.c.Listening() || e.c.Ack() != nil {
		t.Error("the client continues after the OFFER")
	}
	m, err := dhcpv4.FromBytes(e.c.Release())
	if err != nil || m.MessageType() != dhcpv4.MessageTypeRelease ||
		m.ClientIPAddr.String() != "10.0.2.15" || m.ServerIdentifier().String() != "10.0.2.2" {
		t.Errorf("Release() = %v, %v, want the RELEASE of the offered address", m, err)
	}
}

func TestXIDsDiffer(t *testing.T) {
	e := reach(t, Requesting)
	first := e.sent.TransactionID
	e.receive(e.reply(mtNak))
	if e.tick(); e.sent.TransactionID == first {
		t.Error("the xid is the same after a NAK")
	}
	if e.sent.Options.Has(dhcpv4.OptionRequestedIPAddress) {
		t.Error("the client asks again for the refused address")
	}
	e = reach(t, Bound)
	acquisition := e.sent.TransactionID
	e.tick()
	renewal := e.sent.TransactionID
	if renewal == acquisition {
		t.Error("the renewal has the xid of the acquisition")
	}
	for e.c.State() == Renewing {
		if e.tick(); e.sent.TransactionID != renewal {
			t.Error("the xid changes within the renewal")
		}
	}
}

// TestDelayAndDuplicates checks that late, repeated and second answers do not change the outcome.
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
			t.Errorf("another OFFER causes event %v, %d messages, want none", event, e.count-count)
		}
	}
	if !e.sent.ServerIdentifier().Equal(serverA) {
		t.Errorf("REQUEST to %v, want %v, which was first", e.sent.ServerIdentifier(), serverA)
	}
	ack, nakB := e.reply(mtAck), e.reply(mtNak, from(serverB))
	sent := e.now
	e.now += 50 * time.Millisecond
	if event := e.receive(nakB); event != NoEvent {
		t.Errorf("server B's NAK causes event %v, want none", event)
	}
	buf := bytes.Clone(ack)
	if event := e.receive(buf); event != Acquired {
		t.Errorf("the ACK causes event %v, want Acquired", event)
	}
	clear(buf) // the caller reuses its buffer
	if got, want := e.c.expireAt, sent+time.Hour; got != want {
		t.Errorf("the lease expires at %v, want %v: an hour after the REQUEST", got, want)
	}
	for _, b := range [][]byte{ack, late, e.reply(mtNak)} {
		if event := e.receive(b); event != NoEvent || e.c.State() != Bound {
			t.Errorf("a late answer causes event %v, state %v, want none, BOUND", event, e.c.State())
		}
	}
	if !bytes.Equal(e.c.Ack(), ack) {
		t.Errorf("Ack() = %x, want %x", e.c.Ack(), ack)
	}
}

func TestResume(t *testing.T) {
	e := reach(t, Bound)
	ack, began := bytes.Clone(e.c.Ack()), e.now
	for _, c := range []struct {
		after time.Duration
		want  outcome
	}{
		{0, outcome{Bound, NoEvent, mtNone}},
		{20 * time.Minute, outcome{Bound, NoEvent, mtNone}},
		{40 * time.Minute, outcome{Renewing, NoEvent, mtRequest}},
		{55 * time.Minute, outcome{Rebinding, NoEvent, mtRequest}},
		{time.Hour, lost},
		{1000 * time.Hour, lost},
	} {
		r := newExchange(t, nil)
		a, err := r.c.Resume(began+c.after, ack, began)
		if err != nil {
			t.Fatal(err)
		}
		got := outcome{event: r.do(a), state: r.c.State()}
		if r.sent != nil {
			got.sent = r.sent.MessageType()
		}
		if got != c.want {
			t.Errorf("after %v: got %v, want %v", c.after, got, c.want)
		}
		resumed := reflect.DeepEqual(r.c.Lease(), e.c.Lease()) && bytes.Equal(r.c.Ack(), ack)
		if c.want.state >= Bound && !resumed {
			t.Errorf("after %v: lease %+v, want %+v", c.after, r.c.Lease(), e.c.Lease())
		}
	}
	otherMAC := dhcpv4.WithHwAddr(net.HardwareAddr{1, 2, 3, 4, 5, 6})
	for name, bad := range map[string][]byte{
		"nothing":              nil,
		"an OFFER":             e.reply(mtOffer),
		"no lease time":        e.reply(mtAck, dhcpv4.WithLeaseTime(0)),
		"another interface's":  e.reply(mtAck, otherMAC),
		"an ACK of no address": e.reply(mtAck, dhcpv4.WithYourIP(net.IPv4zero)),
	} {
		c := newExchange(t, nil).c
		a, err := c.Resume(began, bad, began)
		if err == nil || a.Send != nil || c.State() != Init || c.Lease() != nil {
			t.Errorf("Resume(%s) = %+v, %v, want an error", name, a, err)
		}
	}
}

// TestConfirm checks that any server can confirm a lease, that the client asks as often as for a
// new lease, and that asking does not extend the lease.
func TestConfirm(t *testing.T) {
	for _, state := range []State{Bound, Renewing, Rebinding} {
		e := reach(t, state)
		xid, end := e.sent.TransactionID, e.c.expireAt
		e.do(e.c.Confirm(e.now))
		e.expect(Rebinding, mtRequest)
		if e.to != limitedBroadcast() || !e.sent.ClientIPAddr.Equal(ourIP) ||
			e.sent.TransactionID == xid || e.sent.Options.Has(dhcpv4.OptionServerIdentifier) {
			t.Errorf("in %v: sent %v to %v", state, e.sent, e.to)
		}
		for n := range 4 {
			want := firstInterval << n
			if passed, event := e.tick(); passed > want*5/4 || event != NoEvent {
				t.Errorf("in %v: event %v after %v, want a REQUEST after %v", state, event, passed, want)
			}
			e.expect(Rebinding, mtRequest)
		}
		if event := e.receive(e.reply(mtAck, from(serverB))); event != Renewed || e.c.State() != Bound {
			t.Errorf("in %v: event %v, state %v, want a renewal", state, event, e.c.State())
		}
		// The next extension is requested at the usual intervals.
		e.tick()
		if passed, _ := e.tick(); passed < time.Minute {
			t.Errorf("in %v: the second REQUEST of RENEWING after %v, want a minute", state, passed)
		}

		e = reach(t, state)
		e.do(e.c.Confirm(e.now))
		event := e.receive(e.reply(mtNak, from(serverB)))
		if event != Lost || e.c.State() != Selecting || e.c.Lease() != nil {
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

// A name that is set during an exchange is in the messages from then on, also in those sent again.
func TestSetHostname(t *testing.T) {
	for _, state := range allStates {
		e := reach(t, state)
		xid := uint32(0)
		if e.c.Listening() {
			xid = e.c.xid
		}
		e.c.SetHostname("later")
		if e.c.State() == Init {
			e.start()
		} else {
			e.tick()
		}
		if got := e.sent.HostName(); got != "later" {
			t.Errorf("in %v: host name = %q, want later", state, got)
		}
		if xid != 0 && state < Bound && e.c.xid != xid {
			t.Errorf("in %v: the message that is sent again has another transaction ID", state)
		}
	}
}

func TestRelease(t *testing.T) {
	for _, state := range allStates {
		e := reach(t, state)
		b := e.c.Release()
		if state < Bound {
			if b != nil {
				t.Errorf("in %v: Release() = %x, want nil", state, b)
			}
			continue
		}
		m, err := dhcpv4.FromBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		if m.MessageType() != dhcpv4.MessageTypeRelease || !m.ClientIPAddr.Equal(ourIP) ||
			!m.ServerIdentifier().Equal(serverA) || m.IsBroadcast() || m.NumSeconds != 0 ||
			m.TransactionID == e.sent.TransactionID || !bytes.Equal(m.ClientHWAddr, ourMAC[:]) {
			t.Errorf("in %v: Release() = %v", state, m.Summary())
		}
		// RFC 2131 table 5 forbids 50, 51, 52, 55, 57.
		if len(m.Options) != 3 || !m.Options.Has(dhcpv4.OptionClientIdentifier) {
			t.Errorf("in %v: Release() = %v, want options 53, 54 and 61", state, m.Summary())
		}
	}
}

func TestStateString(t *testing.T) {
	var got []string
	for _, s := range allStates {
		got = append(got, s.String())
	}
	want := []string{"INIT", "SELECTING", "REQUESTING", "BOUND", "RENEWING", "REBINDING"}
	if !slices.Equal(got, want) {
		t.Errorf("states = %v, want %v", got, want)
	}
}
