package dhcp6

import (
	"encoding/binary"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// TestMessages checks the message of each state against RFC 8415 section 18.2 and appendix B.
func TestMessages(t *testing.T) {
	codes := func(codes ...dhcpv6.OptionCode) []dhcpv6.OptionCode { return codes }
	stateful, stateless := codes(23, 24, 82), codes(23, 24, 32, 83)
	for _, c := range []struct {
		state     State
		kind      dhcpv6.MessageType
		options   []dhcpv6.OptionCode
		requested []dhcpv6.OptionCode
		addresses int
	}{
		{Soliciting, mtSolicit, codes(1, 3, 6, 8, 14), stateful, 0},
		{Requesting, mtRequest, codes(1, 2, 3, 6, 8), stateful, 1},
		{Informing, mtInformation, codes(1, 6, 8), stateless, 0},
		{Renewing, mtRenew, codes(1, 2, 3, 6, 8), stateful, 1},
		{Rebinding, mtRebind, codes(1, 3, 6, 8), stateful, 1},
	} {
		m := reach(t, c.state).sent
		var got []dhcpv6.OptionCode
		for _, o := range m.Options.Options {
			got = append(got, o.Code())
		}
		slices.Sort(got)
		if m.MessageType != c.kind || !slices.Equal(got, c.options) {
			t.Errorf("in %v: sent %v with options %v, want %v with %v",
				c.state, m.MessageType, got, c.kind, c.options)
		}
		if got := m.Options.RequestedOptions(); !slices.Equal(got, c.requested) {
			t.Errorf("in %v: requested options = %v, want %v", c.state, got, c.requested)
		}
		if got := m.Options.ClientID(); !ourDUID.Equal(got) {
			t.Errorf("in %v: client = %v, want %v", c.state, got, ourDUID)
		}
		if got := m.Options.ServerID(); got != nil && !serverA.Equal(got) {
			t.Errorf("in %v: server = %v, want %v", c.state, got, serverA)
		}
		if got := m.Options.ElapsedTime(); got != 0 {
			t.Errorf("in %v: elapsed time of the first message = %v, want 0", c.state, got)
		}
		ia := m.Options.OneIANA()
		if ia == nil {
			continue // the option codes were checked above
		}
		if len(m.Options.IANA()) != 1 || ia.IaId != ourIAID || ia.T1 != 0 || ia.T2 != 0 ||
			len(ia.Options.Options) != c.addresses {
			t.Errorf("in %v: IA_NA = %v, want one with %d addresses", c.state, ia, c.addresses)
		}
		for _, a := range ia.Options.Addresses() {
			if !a.IPv6Addr.Equal(ourIP) || a.PreferredLifetime != 0 || a.ValidLifetime != 0 {
				t.Errorf("in %v: address = %v, want %v without lifetimes", c.state, a, ourIP)
			}
		}
	}
}

// checkJitter fails unless got is within a tenth of want.
func checkJitter(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want*9/10 || got > want*11/10 {
		t.Errorf("%s after %v, want %v with 10 %% of jitter", what, got, want)
	}
}

// Section 15: each timeout is twice the one before, with jitter, up to the maximum.
func TestRetransmission(t *testing.T) {
	for name, random := range extremes {
		for _, c := range []struct {
			state      State
			first, max time.Duration
			messages   int
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
				checkRetransmission(t, e, c.first, c.max, c.messages)
				if c.state == Requesting { // the server does not answer: start over after a pause
					e.tick()
					e.expect(Init, mtRequest)
					d, _ := e.tick()
					checkJitter(t, "SOLICIT", d, firstTimeout)
					e.expect(Soliciting, mtSolicit)
				}
			})
		}
	}
}

func checkRetransmission(t *testing.T, e *exchange, first, longest time.Duration, messages int) {
	state, xid, began, kind := e.c.state, e.c.xid, e.now, e.sent.MessageType
	last := first / 2
	for i := 1; i < messages; i++ {
		d, _ := e.tick()
		switch {
		case i == 1:
			checkJitter(t, "the second message", d, first)
		case 2*last <= longest*9/10: // RT = 2*RTprev + RAND*RTprev
			if least, most := 2*last-last/10, 2*last+last/10; d < least || d > most {
				t.Errorf("message %d after %v, want %v to %v", i, d, least, most)
			}
		case 2*last > longest*10/9:
			checkJitter(t, "a late message", d, longest)
		}
		last = d
		e.expect(state, kind)
		elapsed := min((e.now - began).Truncate(10*time.Millisecond), 0xffff*10*time.Millisecond)
		if got := e.sent.Options.ElapsedTime(); got != elapsed {
			t.Errorf("message %d: elapsed time = %v, want %v", i, got, elapsed)
		}
		if got := e.sent.TransactionID; got != xid {
			t.Errorf("message %d: xid = %v, want %v", i, got, xid)
		}
	}
}

func TestJitter(t *testing.T) {
	least := NewClient(Config{Random: extremes["min"]})
	most := NewClient(Config{Random: extremes["max"]})
	if got := least.jitter(time.Hour); got != -6*time.Minute {
		t.Errorf("minimum jitter of an hour = %v, want -6m", got)
	}
	if got := most.jitter(time.Hour); got < 5*time.Minute+59*time.Second || got >= 6*time.Minute {
		t.Errorf("maximum jitter of an hour = %v, want almost 6m", got)
	}
}

// The server sets the maximum timeout, within the limits of the RFC.
func TestMaxTimeout(t *testing.T) {
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
	}{
		{60, time.Minute}, {86400, 24 * time.Hour},
		{59, time.Hour}, {86401, time.Hour}, {0xffffffff, time.Hour},
	} {
		value := binary.BigEndian.AppendUint32(nil, c.seconds)
		e := reach(t, Soliciting)
		// The option also counts in an ADVERTISE without an address.
		e.receive(e.reply(mtAdvertise, withStatus(iana.StatusNoAddrsAvail),
			withData(dhcpv6.OptionSolMaxRT, value...)))
		checkJitter(t, "SOLICIT", settle(e), c.want)
		e = reach(t, Informing)
		e.receive(e.reply(mtReply, withData(dhcpv6.OptionInfMaxRT, value...)))
		e.tick()
		e.expect(Informing, mtInformation)
		checkJitter(t, "INFORMATION-REQUEST", settle(e), c.want)
	}
	e := reach(t, Soliciting)
	e.receive(e.reply(mtAdvertise, withIA(0, 0), withData(dhcpv6.OptionSolMaxRT, 0, 60)))
	checkJitter(t, "SOLICIT after a malformed option", settle(e), time.Hour)
}

// Each exchange has its own transaction ID.
func TestXIDsDiffer(t *testing.T) {
	e := reach(t, Soliciting)
	seen := []dhcpv6.TransactionID{e.sent.TransactionID}
	for _, step := range []func(){
		func() { e.receive(e.reply(mtAdvertise)) },
		func() { e.receive(e.reply(mtReply)); e.tick() },
		e.tickThroughRenewing,
		func() { e.receive(e.reply(mtReply, withStatus(iana.StatusNoBinding))) },
		func() { e.receive(e.reply(mtReply, withStatus(iana.StatusNotOnLink))) },
	} {
		step()
		if slices.Contains(seen, e.sent.TransactionID) {
			t.Errorf("xid %v of a %v was used before", e.sent.TransactionID, e.sent.MessageType)
		}
		seen = append(seen, e.sent.TransactionID)
	}
}

// A server that refuses every request gets them at growing intervals.
func TestRefusals(t *testing.T) {
	e := newExchange(t, nil)
	e.start()
	want := firstTimeout
	for range 20 {
		e.receive(e.reply(mtAdvertise))
		event := e.receive(e.reply(mtReply, withStatus(iana.StatusNotOnLink)))
		if event != Refused {
			t.Fatalf("event after NotOnLink = %v, want Refused", event)
		}
		d, _ := e.tick()
		checkJitter(t, "SOLICIT", d, want)
		want = min(2*want, time.Hour)
		e.expect(Soliciting, mtSolicit)
		if len(e.sent.Options.OneIANA().Options.Options) != 0 {
			t.Error("the client asks again for the address that was refused")
		}
	}
	// A lease resets the interval.
	e.receive(e.reply(mtAdvertise))
	e.receive(e.reply(mtReply))
	e.tickAt(e.c.expireAt)
	e.receive(e.reply(mtAdvertise))
	e.receive(e.reply(mtReply, withStatus(iana.StatusNoAddrsAvail)))
	d, _ := e.tick()
	checkJitter(t, "SOLICIT", d, firstTimeout)
}

// A server without addresses gets SOLICIT at the same intervals as one that does not answer.
func TestNoAddresses(t *testing.T) {
	e, silent := reach(t, Soliciting), reach(t, Soliciting)
	for range 10 {
		event := e.receive(e.reply(mtAdvertise, withIAStatus(iana.StatusNoAddrsAvail)))
		if event != Refused {
			t.Fatalf("event after NoAddrsAvail = %v, want Refused", event)
		}
		got, _ := e.tick()
		if want, _ := silent.tick(); got != want {
			t.Errorf("SOLICIT after %v, want %v", got, want)
		}
	}
	if event := e.receive(e.reply(mtReply, dhcpv6.WithRapidCommit)); event != Acquired {
		t.Errorf("event after a REPLY with an address = %v, want Acquired", event)
	}
}

// A stateless client asks again after the time that the server set, and keeps its parameters until
// it gets an answer.
func TestInformationRefresh(t *testing.T) {
	refresh := func(d time.Duration) dhcpv6.Modifier { return dhcpv6.WithInformationRefreshTime(d) }
	for _, c := range []struct {
		option dhcpv6.Modifier
		want   time.Duration
	}{
		{func(dhcpv6.DHCPv6) {}, 24 * time.Hour},
		{refresh(time.Hour), time.Hour},
		{refresh(0), 600 * time.Second},
		{refresh(599 * time.Second), 600 * time.Second},
		{withData(dhcpv6.OptionInformationRefreshTime, 0, 60), 24 * time.Hour},
		{withData(dhcpv6.OptionInformationRefreshTime, 0xff, 0xff, 0xff, 0xff), Infinite},
	} {
		e := reach(t, Informing)
		event := e.receive(e.reply(mtReply, c.option, dhcpv6.WithDNS(net.ParseIP("fd00::53"))))
		if event != Acquired {
			t.Fatalf("event = %v, want Acquired", event)
		}
		lease := e.c.Lease()
		if lease.Refresh != c.want || len(lease.DNS) != 1 || len(lease.Addresses) != 0 ||
			lease.T1 != 0 || e.c.Listening() {
			t.Errorf("lease = %+v, want a refresh after %v", lease, c.want)
		}
		if e.c.Release() != nil {
			t.Error("Release() of a lease without addresses is not nil")
		}
		if c.want == Infinite {
			if at := e.c.Deadline(); at != Infinite {
				t.Errorf("Deadline() = %v, want none", at)
			}
			continue
		}
		if d, _ := e.tick(); d < c.want || d > c.want+time.Second {
			t.Errorf("refresh after %v, want up to a second after %v", d, c.want)
		}
		for range 10 {
			e.expect(Informing, mtInformation)
			if e.c.Lease() != lease {
				t.Error("the lease is lost before an answer arrives")
			}
			e.tick()
		}
		if event := e.receive(e.reply(mtReply)); event != Renewed || len(e.c.Lease().DNS) != 0 {
			t.Errorf("event = %v, lease = %+v, want Renewed, no name servers", event, e.c.Lease())
		}
	}
}

// A random delay spreads the refreshes of machines that were started together.
func TestRefreshDelay(t *testing.T) {
	for name, want := range map[string]time.Duration{"min": 0, "max": 999 * time.Millisecond} {
		e := reach(t, Informing)
		e.c.config.Random = extremes[name]
		e.receive(e.reply(mtReply))
		if d, _ := e.tick(); (d - 24*time.Hour).Truncate(time.Millisecond) != want {
			t.Errorf("%s: refresh after %v, want a day and %v", name, d, want)
		}
	}
}

func TestTransmitDoesNotAllocate(t *testing.T) {
	e := reach(t, Soliciting)
	if n := testing.AllocsPerRun(100, func() { e.c.Tick(e.now + 1000*time.Hour) }); n != 0 {
		t.Errorf("a retransmission makes %v allocations, want 0", n)
	}
}

// Messages fit into a packet of IPv6's minimum MTU of 1280 bytes, with the longest DUIDs and the
// most addresses.
func TestMessageSize(t *testing.T) {
	var options []dhcpv6.Option
	for i := range 100 {
		a := iaAddress("fd00::", preferred, valid)
		a.IPv6Addr[15] = byte(i)
		options = append(options, a)
	}
	long := make([]byte, maxDUID)
	e := newExchange(t, func(c *Config) { c.DUID = long })
	modifiers := []dhcpv6.Modifier{noServer, noClient, withData(dhcpv6.OptionServerID, long...),
		withData(dhcpv6.OptionClientID, long...), withIA(0, 0, options...)}
	e.start()
	e.receive(e.reply(mtAdvertise, modifiers...))
	e.expect(Requesting, mtRequest)
	e.receive(e.reply(mtReply, modifiers...))
	if got := len(e.c.Lease().Addresses); got != maxAddresses {
		t.Errorf("the lease has %d addresses, want %d", got, maxAddresses)
	}
	for e.c.State() != Soliciting {
		if got := len(e.c.message); got > 1280-40-8 {
			t.Errorf("length of a %v = %d, want at most 1232", e.sent.MessageType, got)
		}
		e.tick()
	}
}
