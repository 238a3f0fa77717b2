package dhcp6

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// matches reports whether a datagram is a well-formed message to the client, with the transaction
// ID of the client's exchange.
func matches(c *Client, b []byte) bool {
	if len(b) < headerSize || !bytes.Equal(b[1:headerSize], c.xid[:]) {
		return false
	}
	id, ok := find(b[headerSize:], dhcpv6.OptionClientID)
	return ok && bytes.Equal(id, c.config.DUID)
}

// hostile makes random datagrams that do not match: answers with some bytes changed, and noise.
type hostile struct {
	random  *rand.Rand
	answers [][]byte
	client  *Client
	buf     [1500]byte
}

func (h *hostile) next() []byte {
	answer := h.answers[h.random.IntN(len(h.answers))]
	b := h.buf[:copy(h.buf[:], answer)]
	if h.random.IntN(4) == 0 {
		b = h.buf[:h.random.IntN(len(h.buf))]
		for i := range b {
			b[i] = byte(h.random.Uint32())
		}
		if len(b) >= headerSize && h.random.IntN(2) == 0 {
			copy(b, answer[:headerSize])
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
	if matches(h.client, b) {
		b[1+h.random.IntN(3)] ^= 1 << h.random.IntN(8)
	}
	return b
}

// Datagrams that do not match have no effect, and cost no memory.
func TestHostilePackets(t *testing.T) {
	const packets = 20_000
	for _, state := range []State{Soliciting, Requesting, Informing, Renewing, Rebinding} {
		t.Run(state.String(), func(t *testing.T) {
			e := reach(t, state)
			random := rand.New(rand.NewPCG(1, uint64(state)))
			h := &hostile{random: random, client: e.c, answers: [][]byte{
				e.reply(mtAdvertise), e.reply(mtReply), e.reply(mtReply, dhcpv6.WithRapidCommit),
				e.reply(mtReply, withStatus(iana.StatusNotOnLink)),
				e.reply(mtReply, from(serverB), withIAStatus(iana.StatusNoBinding)),
			}}
			lease, deadline := e.c.Lease(), e.c.deadline
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range packets {
				b := h.next()
				a := e.c.Receive(e.now, Datagram{Payload: b})
				if a.Send != nil || a.Event != NoEvent {
					t.Fatalf("Receive(%x) = %+v, want nothing", b, a)
				}
			}
			runtime.ReadMemStats(&after)
			if n := after.Mallocs - before.Mallocs; n > 100 { // the runtime makes some
				t.Errorf("%d allocations, want at most 100", n)
			}
			if e.c.State() != state || e.c.Lease() != lease || e.c.deadline != deadline {
				t.Errorf("state %v, lease %v, deadline %v, want no change",
					e.c.State(), e.c.Lease(), e.c.deadline)
			}
			kind := mtReply
			if state == Soliciting {
				kind = mtAdvertise
			}
			if e.receive(e.reply(kind)); e.c.State() == state {
				t.Errorf("still %v after a matching answer", state)
			}
		})
	}
}

// A server whose answers match but grant nothing makes the client neither grow nor send.
func TestHostileServer(t *testing.T) {
	const packets = 100_000
	for _, state := range []State{Soliciting, Requesting, Renewing, Rebinding} {
		e := reach(t, state)
		lease, deadline, count := e.c.Lease(), e.c.deadline, e.count
		useless := [][]byte{
			e.reply(mtAdvertise, noIA), e.reply(mtReply, withStatus(iana.StatusUnspecFail)),
			e.reply(mtReply, withIA(0, 0)),
			e.reply(mtReply, dhcpv6.WithRapidCommit, withIA(2, 1, iaAddress("::1", valid, valid))),
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range packets {
			if event := e.receive(useless[i%len(useless)]); event != NoEvent {
				t.Fatalf("in %v: event = %v, want none", state, event)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
			t.Errorf("in %v: the heap grew by %d bytes", state, grown)
		}
		if e.c.Lease() != lease || e.c.deadline != deadline || e.count != count {
			t.Errorf("in %v: lease %v, deadline %v, %d messages, want no change",
				state, e.c.Lease(), e.c.deadline, e.count-count)
		}
	}
}

// FuzzClient passes two datagrams to a client in any state. Datagrams that do not match have no
// effect, and every lease keeps the promises of its documentation.
func FuzzClient(f *testing.F) {
	e := reach(&testing.T{}, Requesting)
	for state := range allStates {
		f.Add(uint8(state), e.reply(mtAdvertise), e.reply(mtReply), true)
		f.Add(uint8(state), e.reply(mtReply, dhcpv6.WithRapidCommit),
			e.reply(mtReply, withIAStatus(iana.StatusNoBinding)), true)
		f.Add(uint8(state), e.reply(mtReply, from(serverB)),
			e.reply(mtReply, withStatus(iana.StatusNotOnLink)), false)
	}
	f.Fuzz(func(t *testing.T, n uint8, first, second []byte, match bool) {
		e := reach(t, allStates[int(n)%len(allStates)])
		for _, b := range [][]byte{first, second} {
			if match && len(b) >= headerSize { // otherwise few datagrams would get past the xid
				copy(b[1:], e.c.xid[:])
			}
			ignored := !matches(e.c, b) || !e.c.Listening()
			state, lease := e.c.State(), e.c.Lease()
			event := e.c.Receive(e.now, Datagram{Payload: b}).Event
			if ignored && (e.c.Lease() != lease || event != NoEvent || e.c.State() != state) {
				t.Fatalf("in %v: event %v, state %v after a datagram to ignore",
					state, event, e.c.State())
			}
			if l := e.c.Lease(); l != nil {
				checkLease(t, l, e.c.config.Stateful)
			}
			// Package dhcpv6 cannot read every message: it rejects some server DUIDs.
			if _, ok := parse(e.c.message); len(e.c.message) > 1232 || !ok && state != Init {
				t.Errorf("in %v: message = %x, want a well-formed one", e.c.State(), e.c.message)
			}
		}
		// Time goes on: the deadline always moves.
		for range 20 {
			at := e.c.Deadline()
			if at == Infinite {
				break
			}
			if e.c.Tick(at); e.c.deadline <= at {
				t.Fatalf("in %v: the deadline stays at %v", e.c.State(), at)
			}
		}
	})
}

// TestNewTransactionID checks that an exchange without an answer does not keep its transaction ID,
// which somebody could guess, and that its intervals go on growing.
func TestNewTransactionID(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		var random uint32
		c := NewClient(Config{DUID: []byte{0, 3, 0, 1, 2}, Stateful: stateful, Random: func() uint32 {
			random++
			return random
		}})
		a := c.Start(0)
		ids := map[string]int{}
		var last time.Duration
		for range 4 * triesPerID {
			ids[string(a.Send[1:headerSize])]++
			if interval := c.timeout; interval < last-last/5 {
				t.Fatalf("an interval of %v follows one of %v", interval, last)
			}
			last = c.timeout
			a = c.Tick(c.Deadline())
		}
		if len(ids) != 4 {
			t.Errorf("stateful %t: %d messages have %d transaction IDs, want 4", stateful, 4*triesPerID, len(ids))
		}
	}
}
