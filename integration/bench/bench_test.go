package bench

import (
	"os"
	"path/filepath"
	"slices"
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
		if got != c.want || (err == nil) != (c.err == "") ||
			err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("parseStamps(%q) = %d, %v, want %d, %q", c.console, got, err, c.want, c.err)
		}
	}
}

func TestSample(t *testing.T) {
	for _, c := range []struct {
		s           Sample
		median, min float64
	}{
		{Sample{3}, 3, 3},
		{Sample{5, 1}, 3, 1},
		{Sample{9, 1, 4}, 4, 1},
	} {
		if c.s.Median() != c.median || c.s.Min() != c.min {
			t.Errorf("%v: median %v, min %v, want %v, %v", c.s, c.s.Median(), c.s.Min(), c.median, c.min)
		}
	}
}

func TestParseStatus(t *testing.T) {
	const status = "Name:\tinit\nVmRSS:\t    2130 kB\nRssAnon:\t     516 kB\nThreads:\t3\n"
	got, err := parseStatus([]byte(status))
	if want := (Memory{RSS: 2130, Anonymous: 516, Threads: 3}); err != nil || got != want {
		t.Errorf("parseStatus() = %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseStatus([]byte("VmRSS: 1 kB\nThreads: 3\nRssAnon: x kB\n")); err == nil {
		t.Error("parseStatus of a field that is no number = nil, want an error")
	}
	if _, err := parseStatus([]byte("VmRSS: 1 kB\n")); err == nil {
		t.Error("parseStatus without a field = nil, want an error")
	}
}

// testReport returns a report with a row for each bar.
func testReport() Report {
	row := func(name string, native Sample, instructions ...float64) Row {
		r := Row{Name: name, Size: maxSize, Starts: map[Unit][]Start{}, Native: native}
		r.Memory = &Memory{Anonymous: maxAnonymous + 1}
		for _, n := range instructions {
			start := Start{Value: n, Requests: Requests{All: maxRequests}}
			r.Starts[Instructions] = append(r.Starts[Instructions], start)
			r.Starts[Time] = append(r.Starts[Time], start)
		}
		return r
	}
	report := Report{Rows: []Row{
		row("nothing", nil, 1, 1, 1),
		row("krunbox", Sample{900, 1650, 1700}, 5, 9, 10), // added: median 8, least 4
		row(CInit, nil, 3, 3, 3),
		row(PlainGo, Sample{1000, 1000, 1100}, 4, 4, 4),
		row("krunbox"+WithDHCP, nil, 9, 14, 15), // DHCP adds 5, 4
		row(CInit+WithDHCP, nil, 5, 5, 5),       // 2: ratios 2.5, 2
		row("krunbox"+WithOCI, nil, 11, 11, 12),
	}}
	report.Rows[1].Streams = map[Transfer]Sample{100: {30, 20}, Input: {410}}
	report.Rows[2].Streams = map[Transfer]Sample{100: {50, 50}, Input: {200}}
	return report
}

// A bar is broken only where the median and the least value say so.
func TestBars(t *testing.T) {
	r := testReport()
	want := []string{
		"unclear  instructions added, millions: 8, by the least values 4; at most 7.5",
		"ok       instructions added with an OCI configuration, millions: 10; at most 10",
		"BROKEN   instructions that DHCP adds, to those of C init: 2.5, by the least values 2; " +
			"at most 1.5",
		"ok       requests: 95; at most 95",
		"ok       size, bytes: 4800000; at most 4800000",
		"BROKEN   anonymous memory, kB: 1101; at most 1100",
		"unclear  native start, to that of plain Go: 1.65, by the least values 0.9; at most 1.6",
		"ok       time of 40 MB, writes of 100 bytes, to that of C init: 0.5, by the least values 0.4; " +
			"at most 0.5",
		"BROKEN   time of 40 MB, input, to that of C init: 2.05; at most 2",
	}
	bars := r.Bars()
	if len(bars) != len(want) {
		t.Fatalf("Bars() = %v, want %d", bars, len(want))
	}
	for i, bar := range bars {
		if bar.String() != want[i] {
			t.Errorf("bar %d is %q, want %q", i, bar, want[i])
		}
	}

	few := Report{Rows: slices.Clone(r.Rows)}
	for i, row := range few.Rows {
		few.Rows[i].Starts = map[Unit][]Start{Instructions: row.Starts[Instructions][:minRounds-1]}
	}
	bar := few.Bars()[2].String()
	if want := "unclear  instructions that DHCP adds"; !strings.HasPrefix(bar, want) {
		t.Errorf("after few rounds a bar is %q, want %q...", bar, want)
	}
	r.Rows = r.Rows[:2]
	if bars := r.Bars(); len(bars) != 4 {
		t.Errorf("Bars() without the other rows = %v, want 4", bars)
	}
}

func TestWriteTable(t *testing.T) {
	r := testReport()
	r.Rows[0].Memory = nil
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil {
		t.Fatalf("WriteTable() = %v", err)
	}
	lines := strings.Split(table.String(), "\n")
	if got, want := strings.Join(strings.Fields(lines[0]), " "),
		"instructions added ms added requests lookups reads RSS anon threads size native"; got != want {
		t.Errorf("WriteTable() begins with %q, want %q", got, want)
	}
	if got, want := strings.Join(strings.Fields(lines[2]), " "),
		"krunbox 9.00 8.00 9.00 8.00 95 0 0 0 1101 0 4800000 1650"; got != want {
		t.Errorf("WriteTable() has the row %q, want %q", got, want)
	}
}

// Programs run on the host without the rights of root, with one processor and the name krunbox.
func TestMeasureNative(t *testing.T) {
	script := func(commands string) Init {
		path := filepath.Join(t.TempDir(), "init.krun")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+commands+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return Init{Name: commands, Path: path, Native: true}
	}
	failing := script("exit 3")
	foreign := script("exit 0")
	foreign.Native = false
	inits := []Init{
		foreign,
		script(`[ $(id -u) != 0 ]`),
		script(`[ $(nproc) = 1 ]`),
		script(`[ "${0##*/}" = krunbox ]`),
		failing,
	}
	rows := make([]Row, len(inits))
	var progress []string
	tell := func(line string) { progress = append(progress, line) }
	if err := measureNative(t.Context(), rows, inits, 2, tell); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{0, 2, 2, 2, 0} {
		if got := len(rows[i].Native); got != want {
			t.Errorf("%s: %d native starts, want %d", inits[i].Name, got, want)
		}
	}
	if len(progress) != 1 || !strings.Contains(progress[0], "exit 3: no native start: exit status 3") {
		t.Errorf("progress = %q, want a line on %q", progress, failing.Name)
	}
}
