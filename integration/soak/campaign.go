package soak

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Campaign is a sequence of boots of one seed.
type Campaign struct {
	Seed     uint64
	First    int           // number of the first boot
	Boots    int           // how many at most; 0: no limit
	For      time.Duration // how long boots are started; 0: no limit
	Parallel int           // how many at the same time
	Out      io.Writer     // receives broken invariants as they are found, and the progress
	Every    time.Duration // between lines of progress; 0: none

	// Choose, unless nil, returns whether to carry out a plan. It is called in the order of boots.
	Choose func(Plan) bool
}

// A Finding is a boot that broke invariants, or that failed for a reason outside of the guest.
type Finding struct {
	Plan    Plan
	Broken  []string
	Failure error
	Console string // the lines that tell most
	Kernel  string // the last messages of the guest's kernel, if there is no exit code
}

// Repeat returns the command that repeats the boot.
func (f Finding) Repeat() string { return Repeat(f.Plan.Seed, f.Plan.Boot) }

// Repeat returns the command that repeats a boot.
func Repeat(seed uint64, boot int) string {
	return fmt.Sprintf("make soak SEED=%d BOOT=%d", seed, boot)
}

// A Table counts boots and findings.
type Table struct {
	Seed     uint64
	Boots    int
	Took     time.Duration
	Findings []Finding

	mu      sync.Mutex
	faults  map[string]*row
	codes   map[int]int
	longest Finding
	slowest time.Duration
	memory  int
}

// row is a line of the table.
type row struct{ boots, broken int }

// Run boots machines until the campaign's time or number of boots is over, or ctx ends.
func (c Campaign) Run(ctx context.Context, lab *Lab) *Table {
	t := &Table{Seed: c.Seed, faults: map[string]*row{}, codes: map[int]int{}}
	start := time.Now()
	var next sync.Mutex
	boot := c.First
	take := func() (Plan, bool) {
		next.Lock()
		defer next.Unlock()
		for ctx.Err() == nil && (c.Boots == 0 || boot-c.First < c.Boots) && (c.For == 0 || time.Since(start) < c.For) {
			p := NewPlan(c.Seed, boot)
			boot++
			if c.Choose == nil || c.Choose(p) {
				return p, true
			}
		}
		return Plan{}, false
	}
	progress, stop := context.WithCancel(ctx)
	var running, reporting sync.WaitGroup
	for range max(c.Parallel, 1) {
		running.Go(func() {
			for p, ok := take(); ok; p, ok = take() {
				o := lab.Boot(ctx, p)
				if ctx.Err() != nil {
					return
				}
				f := Finding{p, Judge(p, o), Failure(o), interesting(o.Console, 24), o.Kernel}
				if text := t.add(f, o); text != "" {
					fmt.Fprint(c.Out, text)
				}
			}
		})
	}
	if c.Every > 0 {
		reporting.Go(func() {
			for sleep(progress, c.Every) {
				fmt.Fprintf(c.Out, "%v: %s\n", time.Since(start).Round(time.Second), t.summary())
			}
		})
	}
	running.Wait()
	stop()
	reporting.Wait()
	t.Took = time.Since(start)
	slices.SortFunc(t.Findings, func(a, b Finding) int { return cmp.Compare(a.Plan.Boot, b.Plan.Boot) })
	return t
}

// add counts a boot. It returns the text about what is broken, or "".
func (t *Table) add(f Finding, o Observation) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Boots++
	bad := len(f.Broken) > 0
	count := func(name string) {
		if t.faults[name] == nil {
			t.faults[name] = &row{}
		}
		t.faults[name].boots++
		if bad {
			t.faults[name].broken++
		}
	}
	for _, fault := range f.Plan.Faults {
		count("fault: " + strings.TrimSpace(fault.Kind+" "+fault.What))
	}
	if len(f.Plan.Faults) == 0 {
		count("fault: none")
	}
	count("workload: " + string(f.Plan.Workload))
	count("root: " + f.Plan.Root)
	code := -1
	if len(o.Codes) > 0 {
		code = o.Codes[len(o.Codes)-1]
	}
	t.codes[code]++
	if o.Duration > t.slowest {
		t.slowest, t.longest = o.Duration, f
	}
	if !f.Plan.PIDNamespace {
		t.memory = max(t.memory, o.report().memory)
	}
	if !bad && f.Failure == nil {
		return ""
	}
	t.Findings = append(t.Findings, f)
	return f.String()
}

// String returns a finding as several lines.
func (f Finding) String() string {
	var b strings.Builder
	if f.Failure != nil {
		fmt.Fprintf(&b, "FAILED: %v\n", f.Failure)
	}
	for _, text := range f.Broken {
		fmt.Fprintf(&b, "BROKEN: %s\n", text)
	}
	fmt.Fprintf(&b, "%s  repeat    %s\n", f.Plan, f.Repeat())
	if f.Console != "" {
		fmt.Fprintf(&b, "  console   %s\n", strings.ReplaceAll(f.Console, "\n", "\n            "))
	}
	if f.Kernel != "" {
		fmt.Fprintf(&b, "  kernel    %s\n", strings.ReplaceAll(f.Kernel, "\n", "\n            "))
	}
	return b.String()
}

// Broken returns how many boots broke invariants.
func (t *Table) Broken() (n int) {
	for _, f := range t.Findings {
		if len(f.Broken) > 0 {
			n++
		}
	}
	return n
}

func (t *Table) summary() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := fmt.Sprintf("%d boots, %d with broken invariants", t.Boots, t.Broken())
	if failed := len(t.Findings) - t.Broken(); failed > 0 {
		text += fmt.Sprintf(", %d failed for other reasons", failed)
	}
	return text
}

// String returns the table: boots by fault, workload and root, and what was broken.
func (t *Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s in %v\n\n", t.Seed, t.summary(), t.Took.Round(time.Second))
	fmt.Fprintf(&b, "%7s %7s\n", "boots", "broken")
	for _, name := range slices.Sorted(maps.Keys(t.faults)) {
		fmt.Fprintf(&b, "%7d %7d  %s\n", t.faults[name].boots, t.faults[name].broken, name)
	}
	b.WriteString("\nexit codes:")
	for _, code := range slices.Sorted(maps.Keys(t.codes)) {
		name := fmt.Sprint(code)
		if code < 0 {
			name = "none"
		}
		fmt.Fprintf(&b, " %s: %d,", name, t.codes[code])
	}
	fmt.Fprintf(&b, "\nslowest boot: %d, %v\n", t.longest.Plan.Boot, t.slowest.Round(time.Second/10))
	fmt.Fprintf(&b, "process 1's anonymous memory: %d KiB at most\n", t.memory)
	for _, f := range t.Findings {
		fmt.Fprintf(&b, "\n%s", f)
	}
	return b.String()
}

// interesting returns n lines of text from the first crash on or, if there is none, the last ones.
func interesting(text []byte, n int) string {
	if at := crashes.FindIndex(text); at != nil {
		lines := strings.Split(string(text[bytes.LastIndexByte(text[:at[0]], '\n')+1:]), "\n")
		return strings.Join(lines[:min(n, len(lines))], "\n")
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
