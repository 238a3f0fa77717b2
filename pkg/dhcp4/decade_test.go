package dhcp4

import (
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/krunbox/krunbox/internal/simtest"
)

// decade is ten years in the life of a client. Each day its server is in another mood.
type decade struct {
	*exchange
	random    *rand.Rand
	mood      string
	moodUntil time.Duration
	lease     uint32 // seconds
	address   net.IP
	answers   [][]byte // due at answerAt
	answerAt  time.Duration
	sentToday int
	events    map[Event]int
}

// delay is how long an answer takes.
const delay = 20 * time.Millisecond

// TestDecade has a server that is silent, refuses, loses and garbles messages, gives other addresses
// and lifetimes from day to day, and a machine that sleeps for weeks.
func TestDecade(t *testing.T) {
	d := &decade{
		exchange: newExchange(t, nil), random: rand.New(rand.NewPCG(1, 2)), //nolint:gosec // repeatable
		address: ourIP, events: map[Event]int{}, answerAt: Infinite,
	}
	began := false
	steps := simtest.Decade(t, func(now time.Duration) time.Duration {
		d.now = now
		if !began {
			began = true
			d.note(d.c.Start(now))
		}
		return d.step()
	})
	t.Logf("%d steps, events %v", steps, d.events)
	for _, event := range []Event{Acquired, Renewed, Refused, Lost} {
		if d.events[event] < 100 {
			t.Errorf("event %d came %d times in ten years, want 100 or more", event, d.events[event])
		}
	}
}

// step does what is due at d.now, and returns the time of the next step.
func (d *decade) step() time.Duration {
	if d.now >= d.moodUntil {
		return d.nextDay()
	}
	if d.now >= d.answerAt {
		answers := d.answers
		d.answers, d.answerAt = nil, Infinite
		for _, answer := range answers {
			d.note(d.c.Receive(d.now, Datagram{Payload: answer, Source: addr("10.0.2.2")}))
		}
	}
	d.note(d.c.Tick(d.now))
	if d.c.ack != nil && d.now >= d.c.Expiry() {
		d.t.Errorf("at %v the client holds a lease that ended at %v", d.now, d.c.Expiry())
	}
	if at := d.c.Deadline(); at <= d.now {
		d.t.Errorf("at %v, after Tick, the deadline is %v in state %v", d.now, at, d.c.State())
	}
	return min(d.c.Deadline(), d.answerAt, d.moodUntil)
}

// nextDay changes the server's mood. It returns the time then: now and then the machine sleeps.
func (d *decade) nextDay() time.Duration {
	const day = 24 * time.Hour
	// A REQUEST after 64 s at most, besides exchanges that start over.
	if limit := 5000; d.sentToday > limit {
		d.t.Errorf("the client sent %d messages on a day when the server was %s, want at most %d", d.sentToday, d.mood, limit)
	}
	d.sentToday = 0
	moods := []string{"well", "well", "well", "lossy", "garbling", "refusing", "silent", "repeating"}
	d.mood = moods[d.random.IntN(len(moods))]
	d.lease = []uint32{600, 3600, 86400, 7 * 86400, 0xffffffff}[d.random.IntN(5)]
	d.address = net.IP{10, 0, 2, byte(15 + d.random.IntN(3))}
	wake := d.random.IntN(20)
	if wake == 0 { // the machine sleeps
		d.now += d.upTo(30 * day)
	}
	d.moodUntil = d.now + day/4 + d.upTo(day)
	if d.mood == "silent" || d.mood == "refusing" {
		d.moodUntil = d.now + d.upTo(6*time.Hour)
	}
	if wake <= 1 { // it woke up, or the link was down
		d.note(d.c.Confirm(d.now))
	}
	return d.now
}

// note carries out an action: the server answers what the client sends.
func (d *decade) note(a Action) {
	d.events[d.do(a)]++
	if len(a.Send) == 0 {
		return
	}
	d.sentToday++
	kind := mtOffer
	if d.sent.MessageType() == mtRequest {
		kind = mtAck
		if d.mood == "refusing" {
			kind = mtNak
		}
	}
	answer := d.reply(kind, dhcpv4.WithYourIP(d.address), dhcpv4.WithLeaseTime(d.lease))
	d.answerAt = d.now + delay
	switch {
	case d.mood == "silent", d.mood == "lossy" && d.random.IntN(2) == 0:
		return
	case d.mood == "garbling":
		garbled := append([]byte(nil), answer...)
		for range 1 + d.random.IntN(20) {
			garbled[d.random.IntN(len(garbled))] = byte(d.random.Uint32())
		}
		d.answers = append(d.answers, garbled[:d.random.IntN(len(garbled)+1)])
		if d.random.IntN(2) == 0 {
			return
		}
	case d.mood == "repeating":
		d.answers = append(d.answers, answer, answer)
	}
	d.answers = append(d.answers, answer)
}

// upTo returns a random duration less than limit.
func (d *decade) upTo(limit time.Duration) time.Duration {
	return time.Duration(d.random.Int64N(int64(limit)))
}
