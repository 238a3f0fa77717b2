package dhcp6

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/krunbox/krunbox/internal/simtest"
)

// decade is ten years in the life of a client. Each day its server is in another mood.
type decade struct {
	*exchange
	random    *rand.Rand
	mood      string
	moodUntil time.Duration
	valid     time.Duration // lifetime of the address
	address   string
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
	for name, want := range map[string][]Event{
		"stateful":  {Acquired, Renewed, Refused, Lost},
		"stateless": {Acquired, Renewed},
	} {
		t.Run(name, func(t *testing.T) {
			d := &decade{
				exchange: newExchange(t, func(c *Config) { c.Stateful = name == "stateful" }),
				random:   rand.New(rand.NewPCG(1, 2)), //nolint:gosec // repeatable
				events:   map[Event]int{}, answerAt: Infinite,
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
			for _, event := range want {
				if event != Acquired && d.events[event] < 50 || d.events[event] == 0 {
					t.Errorf("event %d came %d times in ten years, want more", event, d.events[event])
				}
			}
		})
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
			d.note(d.c.Receive(d.now, Datagram{Payload: answer, Source: addrs("fe80::1")[0]}))
		}
	}
	d.note(d.c.Tick(d.now))
	if d.c.lease != nil && d.now >= d.c.expireAt {
		d.t.Errorf("at %v the client holds a lease that ended at %v", d.now, d.c.expireAt)
	}
	if at := d.c.Deadline(); at <= d.now {
		d.t.Errorf("at %v, after Tick, the deadline is %v in state %v", d.now, at, d.c.State())
	}
	return min(d.c.Deadline(), d.answerAt, d.moodUntil)
}

// nextDay changes the server's mood. It returns the time then: now and then the machine sleeps.
func (d *decade) nextDay() time.Duration {
	const day = 24 * time.Hour
	if limit := 5000; d.sentToday > limit {
		d.t.Errorf("the client sent %d messages on a day when the server was %s, want at most %d", d.sentToday, d.mood, limit)
	}
	d.sentToday = 0
	moods := []string{"well", "well", "well", "lossy", "garbling", "refusing", "forgetful", "silent", "repeating"}
	d.mood = moods[d.random.IntN(len(moods))]
	d.valid = []time.Duration{10 * time.Minute, time.Hour, day, 7 * day}[d.random.IntN(4)] // one for ever would be the last
	d.address = []string{"fd00::15", "fd00::16", "fd00::17"}[d.random.IntN(3)]
	if d.random.IntN(20) == 0 { // the machine sleeps
		d.now += d.upTo(30 * day)
	}
	d.moodUntil = d.now + day/4 + d.upTo(day)
	return d.now
}

// note carries out an action: the server answers what the client sends.
func (d *decade) note(a Action) {
	d.events[d.do(a)]++
	if len(a.Send) == 0 {
		return
	}
	d.sentToday++
	kind := mtReply
	if d.sent.MessageType == mtSolicit {
		kind = mtAdvertise
	}
	d.answerAt = d.now + delay
	var change []dhcpv6.Modifier
	switch {
	case d.mood == "silent", d.mood == "lossy" && d.random.IntN(2) == 0:
		return
	case !d.c.config.Stateful && d.mood == "refusing":
		change = append(change, withStatus(iana.StatusUnspecFail))
	case !d.c.config.Stateful:
		change = append(change, dhcpv6.WithOption(dhcpv6.OptInformationRefreshTime(d.valid)))
	case d.mood == "refusing":
		change = append(change, withIAStatus(iana.StatusNoAddrsAvail))
	case d.mood == "forgetful" && d.sent.MessageType == mtRenew:
		change = append(change, withIAStatus(iana.StatusNoBinding))
	default:
		change = append(change, withIA(0, 0, iaAddress(d.address, d.valid*2/3, d.valid)))
	}
	answer := d.reply(kind, change...)
	switch d.mood {
	case "garbling":
		garbled := slices.Clone(answer)
		for range 1 + d.random.IntN(20) {
			garbled[d.random.IntN(len(garbled))] = byte(d.random.Uint32())
		}
		d.answers = append(d.answers, garbled[:d.random.IntN(len(garbled)+1)])
		if d.random.IntN(2) == 0 {
			return
		}
	case "repeating":
		d.answers = append(d.answers, answer, answer)
	}
	d.answers = append(d.answers, answer)
}

// upTo returns a random duration less than limit.
func (d *decade) upTo(limit time.Duration) time.Duration {
	return time.Duration(d.random.Int64N(int64(limit)))
}
