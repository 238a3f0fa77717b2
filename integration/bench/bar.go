package bench

import (
	"fmt"
	"math"
	"strconv"
)

// A Bar is an upper limit that an init is to keep.
type Bar struct {
	What   string
	Limit  float64
	Median float64 // what was measured
	Least  float64 // the same by the least values instead of the medians
	Vague  bool    // both come from too few rounds to exclude noise
}

// minRounds is how many rounds of counted instructions it takes to call a bar broken.
const minRounds = 3

// The bars of krunbox. Instructions are in millions.
const (
	maxInstructions    = 7.5  // that it adds without a network
	maxOCIInstructions = 10.0 // that it adds with an OCI configuration
	maxDHCPPerC        = 1.5  // of the instructions that DHCP adds to the C init
	maxRequests        = 95
	maxSize            = 4_800_000 // bytes
	maxAnonymous       = 1100      // kB
	maxNativePerPlain  = 1.6       // of the native start of plain Go
)

// maxTransfer is how long a transfer takes at most, as a multiple of the time under the C init, which
// hands the port over to the workload.
var maxTransfer = map[Transfer]float64{
	100: 1 / 2.0, 4 << 10: 1 / 0.85, 64 << 10: 1 / 0.55, 1 << 20: 1 / 0.55, Input: 1 / 0.5,
}

// What follows the name of an init in the row of a configuration.
const (
	WithDHCP = ", DHCP" // it configures a network interface
	WithOCI  = ", OCI"  // it reads an OCI configuration
)

// Names of inits that krunbox is compared with.
const (
	PlainGo = "plain Go" // the plainest init that Go allows
	CInit   = "C init"   // libkrun's
)

// Bars returns the bars for the first init, as far as what they need was measured.
func (r *Report) Bars() []Bar {
	type measure = func(Sample) float64
	var bars []Bar
	vague := len(r.Rows[0].Starts[Instructions]) < minRounds
	add := func(what string, limit float64, value func(measure) float64) {
		bars = append(bars, Bar{what, limit, value(Sample.Median), value(Sample.Min), vague})
	}
	added := func(row *Row, m measure) float64 { return r.Added(row, Instructions, m) }

	krunbox := &r.Rows[1]
	add("instructions added, millions", maxInstructions,
		func(m measure) float64 { return added(krunbox, m) })
	if oci := r.find(krunbox.Name + WithOCI); oci != nil {
		add("instructions added with an OCI configuration, millions", maxOCIInstructions,
			func(m measure) float64 { return added(oci, m) })
	}
	dhcp, c, cDHCP := r.find(krunbox.Name+WithDHCP), r.find(CInit), r.find(CInit+WithDHCP)
	if dhcp != nil && cDHCP != nil {
		add("instructions that DHCP adds, to those of "+CInit, maxDHCPPerC, func(m measure) float64 {
			return (added(dhcp, m) - added(krunbox, m)) / (added(cDHCP, m) - added(c, m))
		})
	}
	vague = false // the rest hardly varies
	add("requests", maxRequests, func(m measure) float64 { return m(krunbox.requests(allRequests)) })
	add("size, bytes", maxSize, func(measure) float64 { return float64(krunbox.Size) })
	add("anonymous memory, kB", maxAnonymous,
		func(measure) float64 { return float64(krunbox.Memory.Anonymous) })
	if plain := r.find(PlainGo); plain != nil && len(plain.Native) > 0 && len(krunbox.Native) > 0 {
		add("native start, to that of "+PlainGo, maxNativePerPlain,
			func(m measure) float64 { return m(krunbox.Native) / m(plain.Native) })
	}
	for _, t := range Transfers {
		if c == nil || len(krunbox.Streams[t]) == 0 || len(c.Streams[t]) == 0 {
			continue
		}
		add("time of 40 MB, "+t.String()+", to that of "+CInit, maxTransfer[t],
			func(m measure) float64 { return m(krunbox.Streams[t]) / m(c.Streams[t]) })
	}
	return bars
}

// Broken reports whether the limit is passed, and noise can't be the reason.
func (b Bar) Broken() bool { return !b.Vague && b.Median > b.Limit && b.Least > b.Limit }

// String returns the bar as a line that begins with a verdict.
func (b Bar) String() string {
	verdict := "ok"
	switch {
	case b.Broken():
		verdict = "BROKEN"
	case b.Median > b.Limit || b.Least > b.Limit:
		verdict = "unclear"
	}
	number := func(f float64) string { return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64) }
	line := fmt.Sprintf("%-8s %s: %s", verdict, b.What, number(b.Median))
	if b.Least != b.Median {
		line += ", by the least values " + number(b.Least)
	}
	return line + "; at most " + number(b.Limit)
}
