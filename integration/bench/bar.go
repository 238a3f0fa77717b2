package bench

import (
	"fmt"
	"math"
	"strconv"
)

// A Bar is an upper limit that an init is to keep, or, with a Limit of 0, a figure to compare by.
type Bar struct {
	What   string
	Limit  float64
	Median float64 // what was measured
	Least  float64 // the same by the least values instead of the medians
}

// The bars of krunbox.
const (
	maxPerPlain  = 1.25      // of the time that PlainGo adds
	maxPerC      = 2.0       // of the time that CInit adds
	maxSize      = 2_600_000 // bytes
	maxAnonymous = 600       // kB
	maxDHCPPerC  = 1.0       // of the time that DHCP takes the C init
)

// WithDHCP is behind the name of an init in the row where it configures a network interface.
const WithDHCP = ", DHCP"

// Names of inits that krunbox is compared with.
const (
	PlainGo      = "plain Go"            // the plainest init that Go allows
	PlainGoCalls = "plain Go, all calls" // the same, with all system calls that krunbox makes
	CInit        = "C init"              // libkrun's
)

// Bars returns the bars for the first init, as far as what they need was measured.
func (r *Report) Bars() []Bar {
	krunbox := &r.Inits[0]
	var bars []Bar
	for _, peer := range []struct {
		name  string
		limit float64
	}{
		{PlainGo, maxPerPlain},
		{PlainGoCalls, 0},
		{CInit, maxPerC},
	} {
		if row := r.find(peer.name); row != nil {
			ratio := func(measure func(Sample) float64) float64 {
				return r.Added(krunbox, measure) / r.Added(row, measure)
			}
			bars = append(bars, Bar{"time added, to that of " + peer.name, peer.limit, ratio(Sample.Median), ratio(Sample.Min)})
		}
	}
	if ours, peer, peerDHCP := r.find(krunbox.Name+WithDHCP), r.find(CInit), r.find(CInit+WithDHCP); ours != nil && peerDHCP != nil {
		ratio := func(measure func(Sample) float64) float64 {
			return (r.Added(ours, measure) - r.Added(krunbox, measure)) / (r.Added(peerDHCP, measure) - r.Added(peer, measure))
		}
		bars = append(bars, Bar{"time that DHCP adds, to that of " + CInit, maxDHCPPerC, ratio(Sample.Median), ratio(Sample.Min)})
	}
	size := float64(krunbox.Size)
	bars = append(bars, Bar{"size, bytes", maxSize, size, size})
	if len(krunbox.Memory) > 0 {
		kB := sample(krunbox.Memory, anonymous)
		bars = append(bars, Bar{"anonymous memory, kB", maxAnonymous, kB.Median(), kB.Min()})
	}
	return bars
}

// find returns the row with a name, nil if there is none.
func (r *Report) find(name string) *Row {
	for i := range r.Inits {
		if r.Inits[i].Name == name {
			return &r.Inits[i]
		}
	}
	return nil
}

// Broken reports whether the limit is passed, and noise can't be the reason.
func (b Bar) Broken() bool { return b.Limit > 0 && b.Median > b.Limit && b.Least > b.Limit }

// String returns the bar as a line that begins with a verdict.
func (b Bar) String() string {
	verdict := "ok"
	switch {
	case b.Broken():
		verdict = "BROKEN"
	case b.Median > b.Limit:
		verdict = "unclear"
	}
	number := func(f float64) string { return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64) }
	if b.Limit == 0 {
		return fmt.Sprintf("%-8s %s: %s, by the least values %s", "", b.What, number(b.Median), number(b.Least))
	}
	return fmt.Sprintf("%-8s %s: %s, by the least values %s; at most %s",
		verdict, b.What, number(b.Median), number(b.Least), number(b.Limit))
}
