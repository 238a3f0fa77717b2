package dhcp4

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// hostile makes packets: answers with changed bytes, and random ones. None has the xid of a client.
type hostile struct {
	random *rand.Rand
	right  [][]byte // correct answers
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

// TestHostilePackets sends 100,000 packets that a client must ignore, in all states in which it
// listens.
func TestHostilePackets(t *testing.T) {
	const packets = 100_000
	states := []State{Selecting, Requesting, Renewing, Rebinding}
	for _, state := range states {
		t.Run(state.String(), func(t *testing.T) {
			e := reach(t, state)
			right := [][]byte{
				e.reply(mtOffer), e.reply(mtAck), e.reply(mtNak), e.reply(mtAck, from(serverB)),
			}
			random := rand.New(rand.NewPCG(1, uint64(state)))
			h := &hostile{random: random, xid: e.c.xid, right: right}
			lease, deadline := e.c.Lease(), e.c.deadline
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range packets / len(states) {
				a := e.c.Receive(e.now, Datagram{Payload: h.next()})
				if a.Send != nil || a.Event != NoEvent {
					t.Fatalf("Receive(%x) = %+v, want nothing", h.buf, a)
				}
			}
			runtime.ReadMemStats(&after)
			if allocated := after.Mallocs - before.Mallocs; allocated > 100 { // the runtime's own
				t.Errorf("%d allocations, want none", allocated)
			}
			if e.c.State() != state || e.c.Lease() != lease || e.c.deadline != deadline {
				t.Errorf("state %v, lease %v, deadline %v, want %v, %v, %v",
					e.c.State(), e.c.Lease(), e.c.deadline, state, lease, deadline)
			}
			kind := mtAck
			if state == Selecting {
				kind = mtOffer
			}
			if e.receive(e.reply(kind)); e.c.State() == state {
				t.Errorf("still %v after the right answer", state)
			}
		})
	}
}

// TestIgnoringDoesNotAllocate checks that answers with the right xid that grant nothing, and
// retransmissions, do not allocate memory.
func TestIgnoringDoesNotAllocate(t *testing.T) {
	e := reach(t, Requesting)
	for name, b := range map[string][]byte{
		"OFFER":          e.reply(mtOffer),
		"another server": e.reply(mtAck, from(serverB)),
		"no server":      e.reply(mtAck, noServer),
		"no lease time":  e.reply(mtAck, dhcpv4.WithLeaseTime(0)),
		"no address":     e.reply(mtAck, dhcpv4.WithYourIP(net.IPv4zero)),
		"no type":        e.reply(mtAck, dhcpv4.WithMessageType(99)),
		"malformed":      append(e.reply(mtAck)[:fixedSize], 15, 200),
	} {
		d := Datagram{Payload: b}
		if n := testing.AllocsPerRun(100, func() { e.c.Receive(e.now, d) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
	e = reach(t, Selecting)
	if n := testing.AllocsPerRun(100, func() { e.c.Tick(e.now + 1000*time.Hour) }); n != 0 {
		t.Errorf("a retransmission: %v allocations, want none", n)
	}
}

// FuzzClient passes two packets to a client in any state. The client must ignore those that do not
// match, and hold only sound leases.
func FuzzClient(f *testing.F) {
	e := reach(&testing.T{}, Requesting)
	for state := range allStates {
		f.Add(uint8(state), e.reply(mtOffer), e.reply(mtAck), true)
		f.Add(uint8(state), e.reply(mtAck, from(serverB)), e.reply(mtNak), false)
	}
	f.Fuzz(func(t *testing.T, n uint8, first, second []byte, match bool) {
		e := reach(t, allStates[int(n)%len(allStates)])
		for _, b := range [][]byte{first, second} {
			if match && len(b) >= fixedSize { // else hardly any packet would match
				binary.BigEndian.PutUint32(b[offXID:], e.c.xid)
				copy(b[offCHAddr:], ourMAC[:])
			}
			fuzzReceive(t, e, b)
		}
		// Afterwards the client continues, and is never busy.
		for range 20 {
			if e.c.Deadline() == Infinite {
				break
			}
			if e.tick(); e.c.deadline <= e.now {
				t.Fatalf("in %v: the deadline stays at %v", e.c.State(), e.now)
			}
		}
	})
}

func fuzzReceive(t *testing.T, e *exchange, b []byte) {
	t.Helper()
	matches := len(b) >= fixedSize && binary.BigEndian.Uint32(b[offXID:]) == e.c.xid &&
		bytes.Equal(b[offCHAddr:][:6], ourMAC[:])
	state, lease := e.c.State(), e.c.Lease()
	event := e.receive(b)
	changed := e.c.Lease() != lease || event != NoEvent || e.c.State() != state
	if changed && (!matches || state == Init || state == Bound) {
		t.Fatalf("in %v a packet that does not match causes event %v, state %v",
			state, event, e.c.State())
	}
	if l := e.c.Lease(); l != nil {
		checkLease(t, l)
		if l.Duration == 0 || e.c.State() < Bound {
			t.Errorf("in %v: a lease of %v", e.c.State(), l.Duration)
		}
	}
	if len(e.c.buf) > 576 || len(e.c.ack) > max(len(b), 1500) {
		t.Errorf("%d bytes to send, %d of an ACK", len(e.c.buf), len(e.c.ack))
	}
}
