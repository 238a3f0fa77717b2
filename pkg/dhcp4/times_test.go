package dhcp4

import (
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// within fails if d differs from want by more than a quarter.
func within(t *testing.T, what string, d, want time.Duration) {
	t.Helper()
	if d < want*3/4 || d > want*5/4 {
		t.Errorf("%s after %v, want %v with 25 %% of jitter", what, d, want)
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
				secs := uint16((e.now - began) / time.Second)
				if e.sent.TransactionID != xid || e.sent.NumSeconds != secs {
					t.Errorf("xid %v, secs %d, want %v, %d", e.sent.TransactionID, e.sent.NumSeconds, xid, secs)
				}
			}
			// All REQUESTs have the xid and secs of the last DISCOVER.
			secs := e.sent.NumSeconds
			e.now += 3 * time.Second
			e.receive(e.reply(mtOffer))
			want = firstInterval
			for i := range maxRequests {
				e.expect(Requesting, mtRequest)
				if e.sent.TransactionID != xid || e.sent.NumSeconds != secs {
					t.Errorf("REQUEST %d: xid %v, secs %d, want %v, %d",
						i, e.sent.TransactionID, e.sent.NumSeconds, xid, secs)
				}
				d, _ := e.tick()
				within(t, "REQUEST", d, want)
				want *= 2
			}
			// The server does not answer any more: the client pauses and starts over.
			e.expect(Init, mtRequest)
			d, _ := e.tick()
			within(t, "DISCOVER", d, firstInterval)
			e.expect(Selecting, mtDiscover)
		})
	}
}

// TestRefusals checks that a server which refuses all requests is asked less and less often.
func TestRefusals(t *testing.T) {
	e := newExchange(t, nil)
	e.start()
	want := firstInterval
	for range 20 {
		e.receive(e.reply(mtOffer))
		if event := e.receive(e.reply(mtNak)); event != Refused {
			t.Fatalf("a NAK causes event %v, want Refused", event)
		}
		d, _ := e.tick()
		within(t, "DISCOVER", d, want)
		want = min(2*want, maxInterval)
		e.expect(Selecting, mtDiscover)
	}
	// A lease resets the pause.
	e.receive(e.reply(mtOffer))
	e.receive(e.reply(mtAck))
	e.now = e.c.expireAt
	e.do(e.c.Tick(e.now))
	e.receive(e.reply(mtOffer))
	e.receive(e.reply(mtNak))
	d, _ := e.tick()
	within(t, "DISCOVER", d, firstInterval)
}

// TestLeaseOfSeconds checks that a lease of four seconds is renewed, rebound and lost in time, and
// acquired again when the server is back.
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
					t.Fatalf("the ACK causes event %v, want Renewed", event)
				}
			}
			loseLeaseOfSeconds(t, e)
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

// loseLeaseOfSeconds lets a lease of four seconds, granted just now, expire without an answer.
func loseLeaseOfSeconds(t *testing.T, e *exchange) {
	t.Helper()
	began, count := e.now, e.count
	states := []State{}
	for {
		at := e.now
		_, event := e.tick()
		if event == Lost {
			break
		}
		if e.now == at {
			t.Fatal("the client's deadline is now, again and again")
		}
		states = append(states, e.c.State())
		if e.count-count > 20 {
			t.Fatalf("%d messages for a lease of four seconds", e.count-count)
		}
		want := Renewing
		if e.now-began >= 3500*time.Millisecond {
			want = Rebinding
		}
		if e.c.State() != want {
			t.Errorf("after %v the client is %v, want %v", e.now-began, e.c.State(), want)
		}
	}
	if e.now-began != 4*time.Second {
		t.Errorf("the lease was lost after %v, want 4s", e.now-began)
	}
	if !slices.Contains(states, Renewing) || !slices.Contains(states, Rebinding) || len(states) < 4 {
		t.Errorf("states before the loss: %v, want requests in RENEWING and REBINDING", states)
	}
}

// TestLeaseOfADay checks that the client requests the extension of a long lease at most once a
// minute, and sends nothing before T1.
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
		t.Errorf("lost after %v and %d messages, want 24h and at most 25", e.now-began, e.count-count)
	}
}

func TestInfiniteLease(t *testing.T) {
	e := newExchange(t, nil)
	e.start()
	if event := e.receive(e.reply(mtAck, dhcpv4.WithLeaseTime(0xffffffff))); event != Acquired {
		t.Fatalf("event %v, want Acquired", event)
	}
	if at := e.c.Deadline(); at != Infinite || e.c.Listening() {
		t.Errorf("an infinite lease has a deadline at %v", at)
	}
	if a := e.c.Tick(1e6 * time.Hour); a.Send != nil || a.Event != NoEvent || e.c.State() != Bound {
		t.Errorf("Tick = %+v, state %v, want nothing, BOUND", a, e.c.State())
	}
}

// TestStaleAck checks that the client ignores an ACK whose lease has expired when it arrives.
func TestStaleAck(t *testing.T) {
	e := reach(t, Requesting)
	ack := e.reply(mtAck)
	e.now += time.Hour
	if event := e.receive(ack); event != NoEvent || e.c.Lease() != nil {
		t.Errorf("event %v, lease %v, want none", event, e.c.Lease())
	}
}
