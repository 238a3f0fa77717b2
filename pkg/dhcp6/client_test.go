package dhcp6

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

func TestStateString(t *testing.T) {
	var got []string
	for _, s := range allStates {
		got = append(got, s.String())
	}
	want := []string{
		"INIT", "SOLICITING", "REQUESTING", "INFORMING", "BOUND", "RENEWING", "REBINDING",
	}
	if !slices.Equal(got, want) {
		t.Errorf("states = %v, want %v", got, want)
	}
}

// Late, duplicate and competing answers result in one lease.
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
			t.Errorf("after another answer to SOLICIT: event %v, %d messages, want none",
				event, e.count-count)
		}
	}
	if got := e.sent.Options.ServerID(); !serverA.Equal(got) {
		t.Errorf("REQUEST to %v, want %v, which answered first", got, serverA)
	}
	right := e.reply(mtReply)
	refusal := e.reply(mtReply, from(serverB), withStatus(iana.StatusNoAddrsAvail))
	e.now += 50 * time.Millisecond
	if event := e.receive(refusal); event != NoEvent {
		t.Errorf("event after server B's refusal = %v, want none", event)
	}
	buf := bytes.Clone(right)
	if event := e.receive(buf); event != Acquired {
		t.Errorf("event after the REPLY = %v, want Acquired", event)
	}
	clear(buf) // the lease must not refer to the datagram
	if got, want := e.c.expireAt, e.now+valid; got != want {
		t.Errorf("the lease ends at %v, want %v: an hour after the REPLY", got, want)
	}
	notOnLink := e.reply(mtReply, withStatus(iana.StatusNotOnLink))
	for _, b := range [][]byte{right, late, rapid, notOnLink} {
		if event := e.receive(b); event != NoEvent || e.c.State() != Bound {
			t.Errorf("after a superfluous answer: event %v, state %v, want none, BOUND",
				event, e.c.State())
		}
	}
	if e.tick(); !serverA.Equal(e.sent.Options.ServerID()) {
		t.Errorf("RENEW to %v, want %v", e.sent.Options.ServerID(), serverA)
	}
}

// The client gets its lease although half of the messages and answers are lost, and others are
// late.
func TestLoss(t *testing.T) {
	answers := map[State]dhcpv6.MessageType{Soliciting: mtAdvertise, Requesting: mtReply}
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 6))
		e := newExchange(t, func(c *Config) { c.Random = random.Uint32 })
		e.start()
		for e.c.State() != Bound {
			if e.count > 60 {
				t.Fatalf("seed %d: no lease after %d messages", seed, e.count)
			}
			if random.IntN(2) == 0 && e.c.Listening() {
				e.now += min(time.Duration(random.IntN(300))*time.Millisecond, e.c.deadline-e.now)
				e.receive(e.reply(answers[e.c.State()]))
			} else {
				e.tick()
			}
		}
	}
}

// A short lease is renewed, rebound and lost in time, and acquired again when the server is back.
func TestShortLease(t *testing.T) {
	for name, random := range extremes {
		t.Run(name, func(t *testing.T) {
			address := withIA(0, 0, iaAddress("fd00::15", 40*time.Second, 100*time.Second))
			e := newExchange(t, func(c *Config) { c.Random = random })
			e.start()
			e.receive(e.reply(mtReply, address, dhcpv6.WithRapidCommit))
			for range 3 {
				d, _ := e.tick()
				e.expect(Renewing, mtRenew)
				if d != 20*time.Second {
					t.Errorf("renewal after %v, want 20s", d)
				}
				if event := e.receive(e.reply(mtReply, address)); event != Renewed {
					t.Fatalf("event after the REPLY = %v, want Renewed", event)
				}
			}
			began := e.now
			var sent []dhcpv6.MessageType
			for {
				if _, event := e.tick(); event == Lost {
					break
				}
				sent = append(sent, e.sent.MessageType)
				want := Renewing
				if e.now-began >= 32*time.Second {
					want = Rebinding
				}
				if e.c.State() != want {
					t.Errorf("after %v: state %v, want %v", e.now-began, e.c.State(), want)
				}
			}
			want := []dhcpv6.MessageType{mtRenew, mtRenew, mtRebind, mtRebind, mtRebind}
			if len(sent) > 6 || !slices.Equal(sent[:5], want) {
				t.Errorf("sent %v, want %v and possibly another REBIND", sent, want)
			}
			if e.now-began != 100*time.Second {
				t.Errorf("lease lost after %v, want 100s", e.now-began)
			}
			e.expect(Soliciting, mtSolicit)
			for range 10 {
				e.tick()
			}
			e.receive(e.reply(mtAdvertise, address))
			if event := e.receive(e.reply(mtReply, address)); event != Acquired {
				t.Errorf("event after the server is back = %v, want Acquired", event)
			}
		})
	}
}

// The shortest possible lease, of one second, does not make the client send without pauses.
func TestLeaseOfASecond(t *testing.T) {
	e := newExchange(t, nil)
	second := withIA(0, 0, iaAddress("fd00::15", time.Second, time.Second))
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
		t.Errorf("event %v %v after REBIND, want Lost after 200ms", event, d)
	}
}

// rebindingWithoutBinding returns a client that asks server B again for its address, because that
// server answered REBIND with NoBinding.
func rebindingWithoutBinding(t *testing.T) *exchange {
	e := reach(t, Rebinding)
	e.receive(e.reply(mtReply, from(serverB), withStatus(iana.StatusNoBinding)))
	e.expect(Requesting, mtRequest)
	if got := e.sent.Options.ServerID(); !serverB.Equal(got) {
		t.Errorf("REQUEST to %v, want %v", got, serverB)
	}
	if a := e.sent.Options.OneIANA().Options.OneAddress(); a == nil || !a.IPv6Addr.Equal(ourIP) {
		t.Errorf("REQUEST for %v, want %v", a, ourIP)
	}
	return e
}

// A client whose server does not know the lease asks for its addresses again.
func TestNoBinding(t *testing.T) {
	e := rebindingWithoutBinding(t)
	event := e.receive(e.reply(mtReply, from(serverB)))
	if event != Renewed || !bytes.Equal(e.c.Lease().Server, serverB.ToBytes()) {
		t.Errorf("after the same address: event %v, server %x, want Renewed, %v",
			event, e.c.Lease().Server, serverB)
	}
	e = rebindingWithoutBinding(t)
	other := withIA(0, 0, iaAddress("fd00::16", preferred, valid))
	event = e.receive(e.reply(mtReply, from(serverB), other))
	if event != Acquired || e.c.Lease().Addresses[0].Addr != netip.MustParseAddr("fd00::16") {
		t.Errorf("after another address: event %v, lease %+v, want Acquired", event, e.c.Lease())
	}
	e = rebindingWithoutBinding(t)
	event = e.receive(e.reply(mtReply, from(serverB), withStatus(iana.StatusNoBinding)))
	if event != NoEvent || e.c.State() != Requesting {
		t.Errorf("after NoBinding again: event %v, state %v, want none, REQUESTING",
			event, e.c.State())
	}
	event = e.receive(e.reply(mtReply, from(serverB), withIAStatus(iana.StatusNoAddrsAvail)))
	if event != Lost {
		t.Errorf("event after NoAddrsAvail = %v, want Lost", event)
	}
	e.expect(Soliciting, mtSolicit)
}

// A client whose server does not know the lease keeps it until it expires, or until the last
// REQUEST has no answer.
func TestNoBindingAndSilence(t *testing.T) {
	e := rebindingWithoutBinding(t)
	for count := e.count; ; {
		if _, event := e.tick(); event == Lost {
			if got := e.count - count; got != maxRequests {
				t.Errorf("%d messages sent, want %d, SOLICIT included", got, maxRequests)
			}
			break
		}
		e.expect(Requesting, mtRequest)
	}
	e = reach(t, Rebinding)
	e.now = e.c.expireAt - time.Second
	e.receive(e.reply(mtReply, withStatus(iana.StatusNoBinding)))
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
	address := iaAddress("fd00::15", infinite, infinite)
	event := e.receive(e.reply(mtReply, withIA(0, 0, address), dhcpv6.WithRapidCommit))
	if event != Acquired {
		t.Fatalf("event = %v, want Acquired", event)
	}
	if at := e.c.Deadline(); at != Infinite || e.c.Listening() {
		t.Errorf("Deadline() = %v, want Infinite for an infinite lease", at)
	}
	if a := e.c.Tick(1e6 * time.Hour); a.Send != nil || a.Event != NoEvent || e.c.State() != Bound {
		t.Errorf("Tick() = %+v, state %v, want nothing, BOUND", a, e.c.State())
	}
	// If the server sets T1 and T2 nevertheless, the client keeps the address without an answer.
	e = newExchange(t, nil)
	e.start()
	withTimes := withIA(10*time.Second, 20*time.Second, address)
	e.receive(e.reply(mtReply, withTimes, dhcpv6.WithRapidCommit))
	for range 1000 {
		if _, event := e.tick(); event != NoEvent {
			t.Fatalf("event after %v = %v, want none", e.now, event)
		}
	}
	e.expect(Rebinding, mtRebind)
}

// A lease lasts as long as its last address.
func TestTwoAddresses(t *testing.T) {
	short := iaAddress("fd00::1", 100*time.Second, 200*time.Second)
	long := iaAddress("fd00::2", 300*time.Second, 400*time.Second)
	e := newExchange(t, nil)
	e.start()
	e.receive(e.reply(mtReply, dhcpv6.WithRapidCommit, withIA(0, 0, short, long)))
	if l := e.c.Lease(); l.T1 != 50*time.Second || l.T2 != 80*time.Second {
		t.Errorf("T1 = %v, T2 = %v, want 50s, 80s", l.T1, l.T2)
	}
	began := e.now
	e.tick()
	if got := len(e.sent.Options.OneIANA().Options.Addresses()); got != 2 {
		t.Errorf("RENEW of %d addresses, want 2", got)
	}
	if event := e.receive(e.reply(mtReply, withIA(0, 0, long, short))); event != Renewed {
		t.Errorf("event after the same addresses = %v, want Renewed", event)
	}
	e.tick()
	event := e.receive(e.reply(mtReply, withIA(0, 0, long, iaAddress("fd00::1", 0, 0))))
	if event != Acquired || len(e.c.Lease().Addresses) != 1 {
		t.Errorf("after an address is withdrawn: event %v, lease %+v, want Acquired",
			event, e.c.Lease())
	}
	for e.c.Lease() != nil {
		e.tick()
	}
	if got := e.now - began; got != 500*time.Second {
		t.Errorf("lost after %v, want 500s: 50s, 50s and 400s", got)
	}
}

func TestOfferOnly(t *testing.T) {
	for _, stateful := range []bool{true, false} {
		e := newExchange(t, func(c *Config) { c.OfferOnly, c.Stateful = true, stateful })
		e.start()
		if e.sent.GetOneOption(dhcpv6.OptionRapidCommit) != nil {
			t.Error("an OfferOnly client sends Rapid Commit")
		}
		right := mtReply
		if stateful {
			right = mtAdvertise
			event := e.receive(e.reply(mtReply, dhcpv6.WithRapidCommit))
			if event != NoEvent || e.c.Lease() != nil {
				t.Errorf("after a REPLY: event %v, lease %v, want none", event, e.c.Lease())
			}
		}
		if event := e.receive(e.reply(right)); event != Offered || e.count != 1 {
			t.Errorf("after a %v: event %v, %d messages, want Offered, 1", right, event, e.count)
		}
		address := netip.MustParseAddr("fd00::15")
		if l := e.c.Lease(); l == nil || stateful && l.Addresses[0].Addr != address {
			t.Errorf("Lease() = %+v, want an offer", l)
		}
		if e.c.Deadline() != Infinite || e.c.Listening() || e.c.Release() != nil {
			t.Error("the client goes on after the offer")
		}
		a := e.c.Tick(1e6 * time.Hour)
		if a.Send != nil || a.Event != NoEvent || e.c.Lease() == nil {
			t.Errorf("Tick() after the offer = %+v, want nothing", a)
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
		m, err := dhcpv6.MessageFromBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		if m.MessageType != mtRelease || m.TransactionID == e.sent.TransactionID ||
			!ourDUID.Equal(m.Options.ClientID()) || !serverA.Equal(m.Options.ServerID()) ||
			m.GetOneOption(dhcpv6.OptionElapsedTime) == nil || len(m.Options.Options) != 4 {
			t.Errorf("in %v: Release() = %v, want a RELEASE to server A", state, m)
		}
		ia := m.Options.OneIANA()
		if ia == nil || ia.IaId != ourIAID || !ia.Options.OneAddress().IPv6Addr.Equal(ourIP) {
			t.Errorf("in %v: IA_NA = %v, want %v", state, ia, ourIP)
		}
	}
}
