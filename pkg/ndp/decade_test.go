package ndp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/krunbox/krunbox/internal/simtest"
)

// TestDecade keeps a table for ten years: of two routers that advertise every few minutes, of others
// that come and go or lie, and of a machine that sleeps for weeks.
func TestDecade(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable
	upTo := func(limit time.Duration) time.Duration { return time.Duration(random.Int64N(int64(limit))) }
	routers := []netip.Addr{addr("fe80::1"), addr("fe80::2")}
	var table Table
	var advertised time.Duration // when the next advertisement is due
	known := 0                   // checks that found both routers
	steps := simtest.Decade(t, func(now time.Duration) time.Duration {
		if now >= advertised {
			a := Advertisement{Router: routers[random.IntN(2)], RouterLifetime: 30 * time.Minute}
			lifetime := time.Hour
			if random.IntN(4) == 0 { // a stranger
				a.Router = netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(3 + random.IntN(100))})
				a.RouterLifetime = []time.Duration{0, time.Second, 18 * time.Hour}[random.IntN(3)]
				lifetime = []time.Duration{0, time.Second, 30 * 24 * time.Hour, Infinite}[random.IntN(4)]
			}
			a.Managed, a.Other = random.IntN(2) == 0, random.IntN(2) == 0
			for range random.IntN(5) {
				n := random.IntN(100)
				a.Servers = append(a.Servers, Server{netip.AddrFrom16([16]byte{0xfd, 15: byte(n)}), lifetime})
				a.Search = append(a.Search, Domain{fmt.Sprintf("d%d.example", n), lifetime})
			}
			table.Update(now, a)
			advertised = now + upTo(20*time.Minute)
			if random.IntN(5000) == 0 { // the machine sleeps
				return now + upTo(30*24*time.Hour)
			}
		}
		table.Expire(now)
		all := table.Routers(now)
		if len(all) > maxRouters || len(table.routers) > maxRouters {
			t.Errorf("at %v the table has %d routers, want at most %d", now, len(table.routers), maxRouters)
		}
		if n := len(table.Servers(now)); n > maxRouters*maxValues {
			t.Errorf("at %v the table has %d servers, want at most %d", now, n, maxRouters*maxValues)
		}
		for _, r := range all {
			if r == routers[0] {
				known++
			}
		}
		if at := table.Deadline(); at <= now {
			t.Errorf("at %v, after Expire, the deadline is %v", now, at)
		}
		return min(table.Deadline(), max(advertised, now+1))
	})
	t.Logf("%d steps, the first router was known in %d", steps, known)
	if known < steps/2 {
		t.Errorf("the first router was known in %d of %d steps, want most", known, steps)
	}
}
