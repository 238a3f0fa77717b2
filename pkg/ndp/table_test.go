package ndp

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// said parses an advertisement from a router.
func said(t *testing.T, router string, b []byte) Advertisement {
	t.Helper()
	a, err := Parse(b, addr(router), 255)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// describe returns the contents of a table in one line.
func describe(table *Table, now time.Duration) string {
	var b []string
	for _, r := range table.Routers(now) {
		b = append(b, "router "+r.String())
	}
	for _, s := range table.Servers(now) {
		b = append(b, s.String())
	}
	b = append(b, table.Search(now)...)
	if table.Managed() {
		b = append(b, "managed")
	}
	if table.Other() {
		b = append(b, "other")
	}
	if at := table.Deadline(); at != Infinite {
		b = append(b, "until "+strconv.Itoa(int(at/time.Second)))
	}
	return strings.Join(b, ", ")
}

// step is an advertisement, or a call of Expire, and the contents of a table after it.
type step struct {
	at     int    // seconds
	router string // "" calls Expire
	b      []byte
	want   string
}

const routerA, routerB = "fe80::a", "fe80::b"

var tableSteps = map[string][]step{
	"empty": {{0, "", nil, ""}},
	"expires": {
		{10, routerA, message(0x40, 1800, rdnss(600, "fd00::1", "fd00::2"), dnssl(300, "lan")),
			"router fe80::a, fd00::1, fd00::2, lan, other, until 310"},
		{309, "", nil, "router fe80::a, fd00::1, fd00::2, lan, other, until 310"},
		{310, "", nil, "router fe80::a, fd00::1, fd00::2, other, until 610"},
		{610, "", nil, "router fe80::a, other, until 1810"},
		{1810, "", nil, ""},
	},
	"the host sleeps": {
		{10, routerA, message(0, 1800, rdnss(600, "fd00::1"), rdnss(0xffffffff, "fd00::2")),
			"router fe80::a, fd00::1, fd00::2, until 610"},
		{1e6, "", nil, "fd00::2"},
		{1e6, routerB, message(0, 0, dnssl(10, "lan")), "fd00::2, lan, until 1000010"},
	},
	"advertised again": {
		{10, routerA, message(0, 1800, rdnss(600, "fd00::1")),
			"router fe80::a, fd00::1, until 610"},
		{400, routerA, message(0, 1800, rdnss(600, "fd00::1")),
			"router fe80::a, fd00::1, until 1000"},
		{500, routerA, message(0, 1800, rdnss(10, "fd00::1")),
			"router fe80::a, fd00::1, until 510"},
		{505, routerA, message(0, 1800, rdnss(0xffffffff, "fd00::1")),
			"router fe80::a, fd00::1, until 2305"},
		{2305, "", nil, "fd00::1"},
	},
	"in parts": { // each part leaves the entries of the other in place
		{0, routerA, message(0, 0, rdnss(600, "fd00::1"), dnssl(600, "one")),
			"fd00::1, one, until 600"},
		{1, routerA, message(0, 0, rdnss(600, "fd00::2"), dnssl(600, "two")),
			"fd00::1, fd00::2, one, two, until 600"},
		{2, routerA, message(0, 0, rdnss(600, "fd00::1"), dnssl(600, "one")),
			"fd00::1, fd00::2, one, two, until 601"},
	},
	"withdrawn": {
		{0, routerA, message(0, 1800, rdnss(600, "fd00::1", "fd00::2"), dnssl(600, "one", "two")),
			"router fe80::a, fd00::1, fd00::2, one, two, until 600"},
		{1, routerA, message(0, 1800, rdnss(0, "fd00::1"), dnssl(0, "two")),
			"router fe80::a, fd00::2, one, until 600"},
		{2, routerA, message(0, 1800, rdnss(0, "fd00::2"), dnssl(0, "one")),
			"router fe80::a, until 1802"},
		{3, routerA, message(0, 1800, rdnss(0, "fd00::9"), dnssl(0, "nine")),
			"router fe80::a, until 1803"},
		{4, routerA, message(0, 0), ""},
	},
	"two routers": {
		{0, routerA, message(0x80, 1800, rdnss(600, "fd00::1"), dnssl(600, "lan")),
			"router fe80::a, fd00::1, lan, managed, until 600"},
		{1, routerB, message(0x40, 1800, rdnss(100, "fd00::2", "fd00::1"), dnssl(100, "lan")),
			"router fe80::a, router fe80::b, fd00::1, fd00::2, lan, managed, other, until 101"},
		// An entry that one router withdraws stays valid for the other.
		{2, routerA, message(0, 1800, rdnss(0, "fd00::1"), dnssl(0, "lan")),
			"router fe80::a, router fe80::b, fd00::2, fd00::1, lan, other, until 101"},
		{101, "", nil, "router fe80::a, router fe80::b, other, until 1801"},
		{200, routerB, message(0, 1800), "router fe80::a, router fe80::b, until 1802"},
	},
	"no default router": { // its name servers are valid nevertheless
		{0, routerA, message(0, 1800, rdnss(600, "fd00::1")), "router fe80::a, fd00::1, until 600"},
		{1, routerA, message(0x40, 0), "fd00::1, other, until 600"},
		{2, routerB, message(0x80, 0), "fd00::1, managed, other, until 600"},
		{3, "", nil, "fd00::1, other, until 600"}, // router b has no valid entries
	},
}

// TestTable checks the contents of a table step by step.
func TestTable(t *testing.T) {
	for name, steps := range tableSteps {
		t.Run(name, func(t *testing.T) {
			var table Table
			for _, s := range steps {
				now := time.Duration(s.at) * time.Second
				if s.router == "" {
					table.Expire(now)
				} else {
					table.Update(now, said(t, s.router, s.b))
				}
				if got := describe(&table, now); got != s.want {
					t.Fatalf("at %d: table = %s, want %s", s.at, got, s.want)
				}
			}
		})
	}
}

// Expired entries are not returned, even before Expire is called.
func TestTableBeforeExpire(t *testing.T) {
	var table Table
	table.Update(0, said(t, "fe80::1", message(0, 60, rdnss(60, "fd00::1"), dnssl(60, "lan"))))
	if got, want := describe(&table, 60*time.Second), "until 60"; got != want {
		t.Errorf("after 60 seconds: table = %s, want %s", got, want)
	}
}

func TestTableLimits(t *testing.T) {
	address := func(i int) string { return "fd00::" + strconv.FormatInt(int64(i+1), 16) }
	var table Table
	var want []netip.Addr
	for i := range 2 * maxValues {
		b := message(0, 60, rdnss(60, address(i)), dnssl(60, "n"+strconv.Itoa(i)))
		table.Update(0, said(t, "fe80::1", b))
		if i < maxValues {
			want = append(want, addr(address(i)))
		}
	}
	if got := table.Servers(0); !slices.Equal(got, want) {
		t.Errorf("servers = %v, want the first ones, %v", got, want)
	}
	if got := table.Search(0); len(got) != maxValues {
		t.Errorf("search list = %v, want %d domains", got, maxValues)
	}
	// A new entry takes the place of one that the same advertisement withdraws.
	b := message(0, 60, rdnss(0, address(0)), rdnss(60, "fd00::ffff"))
	table.Update(0, said(t, "fe80::1", b))
	if want = append(want[1:], addr("fd00::ffff")); !slices.Equal(table.Servers(0), want) {
		t.Errorf("servers = %v, want %v", table.Servers(0), want)
	}
	for i := range 2 * maxRouters {
		table.Update(0, said(t, "fe80::"+strconv.Itoa(i+1), message(0x80, 60)))
	}
	if got := table.Routers(0); len(got) != maxRouters || got[0] != addr("fe80::1") {
		t.Errorf("routers = %v, want the first %d", got, maxRouters)
	}
	// Expired routers make room for others.
	table.Update(60*time.Second, said(t, "fe80::ff", message(0, 60)))
	if got, want := describe(&table, 60*time.Second), "router fe80::ff, until 120"; got != want {
		t.Errorf("after 60 seconds: table = %s, want %s", got, want)
	}
}

// model is a Table without limits or order. It maps routers to values to the end of their validity.
type model map[netip.Addr]map[string]time.Duration

func (m model) update(now time.Duration, a Advertisement) {
	values := m[a.Router]
	if values == nil {
		values = map[string]time.Duration{}
		m[a.Router] = values
	}
	set := func(value string, lifetime time.Duration) {
		values[value] = Infinite
		if lifetime != Infinite {
			values[value] = now + lifetime
		}
	}
	set("router "+a.Router.String(), a.RouterLifetime)
	for _, s := range a.Servers {
		set(s.Addr.String(), s.Lifetime)
	}
	for _, d := range a.Search {
		set(d.Name, d.Lifetime)
	}
}

func (m model) valid(now time.Duration) []string {
	all := []string{}
	for _, values := range m {
		for value, until := range values {
			if until > now {
				all = append(all, value)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// compare fails if the table's contents differ from those of the model.
func (m model) compare(t *testing.T, table *Table, now time.Duration) {
	t.Helper()
	got := []string{}
	for _, r := range table.Routers(now) {
		got = append(got, "router "+r.String())
	}
	for _, s := range table.Servers(now) {
		got = append(got, s.String())
	}
	got = append(got, table.Search(now)...)
	slices.Sort(got)
	if want := m.valid(now); !slices.Equal(got, want) {
		t.Fatalf("at %v: table = %v, want %v", now, got, want)
	}
	if len(table.routers) > maxRouters {
		t.Errorf("%d routers, want at most %d", len(table.routers), maxRouters)
	}
}

// FuzzTable updates a table and a model with the same advertisements, of few routers and values,
// and compares the two. Each byte of ops adds an option: three bits select a value, two a lifetime,
// two the router, and the last one ends the advertisement. Then raw, any advertisement, must keep
// the limits.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0x00, 0x81, 0x49, 0xff, 0x12, 0x9a},
		message(0xc0, 1800, rdnss(60, "fd00::1"), dnssl(1, "lan")))
	f.Add([]byte{0x87, 0x8f, 0x97, 0x9f}, message(0, 0, rdnss(0, "fd00::1")))
	servers := [...]string{"fd00::1", "fd00::2", "fd00::3", "fe80::1"}
	domains := [...]string{"lan", "example.com", "a.b", "c"}
	lifetimes := [...]uint32{0, 10, 100, 0xffffffff}
	f.Fuzz(func(t *testing.T, ops, raw []byte) {
		var table Table
		m := model{}
		var now time.Duration
		var options [][]byte
		for _, op := range ops {
			about, lifetime := op&7, lifetimes[op>>3&3]
			if about < 4 {
				options = append(options, rdnss(lifetime, servers[about]))
			} else {
				options = append(options, dnssl(lifetime, domains[about-4]))
			}
			if op&0x80 == 0 {
				continue
			}
			router := "fe80::" + strconv.Itoa(int(op>>5&3))
			a := said(t, router, message(0, uint16(min(lifetime, 0xffff)), options...))
			options = nil
			table.Update(now, a)
			m.update(now, a)
			m.compare(t, &table, now)
			now += 7 * time.Second
			m.compare(t, &table, now)
		}
		if a, err := Parse(raw, addr("fe80::99"), 255); err == nil {
			table.Update(now, a)
			for _, r := range table.routers {
				if len(r.servers) > maxValues || len(r.search) > maxValues {
					t.Errorf("%d servers, %d domains of a router, want at most %d",
						len(r.servers), len(r.search), maxValues)
				}
			}
		}
		// All entries except infinite ones expire, and each Expire moves the deadline.
		for {
			at := table.Deadline()
			if at == Infinite {
				break
			}
			if now = max(now, at); now > 1<<62 {
				t.Fatalf("Deadline() = %v, want one in reach", at)
			}
			table.Expire(now)
			if again := table.Deadline(); again <= now {
				t.Fatalf("at %v: deadline %v after Expire", now, again)
			}
		}
	})
}

// A table that gets 100,000 random advertisements of random routers keeps its limits.
func TestHostileAdvertisements(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	good := message(0xc0, 1800, mtu, rdnss(60, "fd00::1", "fe80::1"), prefix,
		dnssl(60, "example.com", "lan"), rdnss(0xffffffff, "fd00::2"))
	var table Table
	var buf [1500]byte
	var before, after runtime.MemStats
	taken := 0
	measure := func(m *runtime.MemStats) {
		runtime.GC()
		runtime.ReadMemStats(m)
	}
	for i := range 100_000 {
		if i == 1000 {
			measure(&before)
		}
		b := buf[:copy(buf[:], good)]
		for range random.IntN(20) {
			b[16+random.IntN(len(b)-16)] = byte(random.Uint32())
		}
		if random.IntN(4) == 0 {
			b = b[:random.IntN(len(b)+1)]
		}
		router := netip.AddrFrom16([16]byte{
			0: 0xfe, 1: 0x80, 14: byte(random.Uint32()), 15: byte(random.Uint32()),
		})
		a, err := Parse(b, router, 255)
		if err != nil {
			continue
		}
		taken++
		checkAdvertisement(t, a, len(b))
		now := time.Duration(i) * time.Millisecond
		table.Update(now, a)
		const most = maxRouters * maxValues
		s, d, r := len(table.Servers(now)), len(table.Search(now)), len(table.routers)
		if s > most || d > most || r > maxRouters {
			t.Fatalf("%d servers, %d domains, %d routers, want at most %d, %d, %d",
				s, d, r, most, most, maxRouters)
		}
	}
	measure(&after)
	if taken < 10_000 {
		t.Errorf("%d well-formed advertisements, want at least 10,000", taken)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<10 {
		t.Errorf("the heap grew by %d bytes, want at most 64 KiB", grown)
	}
	runtime.KeepAlive(&table)
}
