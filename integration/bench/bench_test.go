package bench

import (
	"strings"
	"testing"
)

func TestParseStamps(t *testing.T) {
	const start, finish = "AAAAAAAAAAAAAABA", "AAAAAAAAAAAAACAP"
	for _, c := range []struct {
		console string
		want    uint64
		err     string
	}{
		{"noise\r\n" + stampName + start + finish + "\r\n", 0x20f - 0x10, ""},
		{stampName + start + start, 0, ""},
		{stampName + finish + start, 0, "went back"},
		{stampName + start, 0, "cut short"},
		{stampName + start + strings.ToLower(finish), 0, "letters from A to P"},
		{"no stamps", 0, "no times"},
	} {
		got, err := parseStamps([]byte(c.console))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("parseStamps(%q) = %d, %v, want %d, %q", c.console, got, err, c.want, c.err)
		}
	}
}

func TestSample(t *testing.T) {
	for _, c := range []struct {
		s                Sample
		median, min, max float64
	}{
		{Sample{3}, 3, 3, 3},
		{Sample{5, 1}, 3, 1, 5},
		{Sample{9, 1, 4}, 4, 1, 9},
	} {
		if c.s.Median() != c.median || c.s.Min() != c.min || c.s.Max() != c.max {
			t.Errorf("%v: median %v, min %v, max %v, want %v, %v, %v", c.s, c.s.Median(), c.s.Min(), c.s.Max(), c.median, c.min, c.max)
		}
	}
}

func TestParseStatus(t *testing.T) {
	got, err := parseStatus([]byte("Name:\tinit\nVmRSS:\t    2130 kB\nRssAnon:\t     516 kB\nThreads:\t3\n"))
	if want := (Memory{RSS: 2130, Anonymous: 516, Threads: 3}); err != nil || got != want {
		t.Errorf("parseStatus() = %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseStatus([]byte("VmRSS: 1 kB\nRssAnon: x kB\n")); err == nil {
		t.Error("parseStatus of a field that is no number = nil, want an error")
	}
	if _, err := parseStatus([]byte("VmRSS: 1 kB\n")); err == nil {
		t.Error("parseStatus without a field = nil, want an error")
	}
}

// A bar is broken only where the median and the least value say so.
func TestBars(t *testing.T) {
	row := func(name string, size int64, anon int, times ...float64) Row {
		r := Row{Name: name, Size: size, Memory: []Memory{{Anonymous: anon}}}
		for _, ms := range times {
			r.Starts = append(r.Starts, Start{Time: ms})
		}
		return r
	}
	r := Report{Nothing: row("nothing", 1, 0, 10, 10, 10), Inits: []Row{
		row("krunbox", maxSize+1, maxAnonymous, 60, 200, 300), // added: median 190, least 50
		row(CInit, 1, 1, 30, 60, 100),                         // 50, 20: ratios 3.8, 2.5
		row(PlainGo, 1, 1, 60, 110, 120),                      // 100, 50: ratios 1.9, 1
		row(PlainGoCalls, 1, 1, 60, 200, 300),
	}}
	want := []string{"unclear  time added, to that of plain Go: 1.9, ", "         time added, to that of plain Go, all calls: 1, ",
		"BROKEN   time added, to that of C init: 3.8, ", "BROKEN   size", "ok       anonymous"}
	bars := r.Bars()
	if len(bars) != len(want) {
		t.Fatalf("Bars() = %v, want %d", bars, len(want))
	}
	for i, bar := range bars {
		if !strings.HasPrefix(bar.String(), want[i]) {
			t.Errorf("bar %d is %q, want %q...", i, bar, want[i])
		}
	}
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil || strings.Count(table.String(), "\n") != 6 {
		t.Errorf("WriteTable() = %v:\n%s", err, table.String())
	}
}
