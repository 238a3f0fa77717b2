package soak

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNewPlan checks that a plan depends on nothing but the seed and the number of the boot, and that
// plans are possible: each has outcomes, and disks that its faults are about.
func TestNewPlan(t *testing.T) {
	faults, workloads := map[string]bool{}, map[Activity]bool{}
	for boot := range 2000 {
		p := NewPlan(7, boot)
		if again := NewPlan(7, boot); !reflect.DeepEqual(p, again) {
			t.Fatalf("NewPlan(7, %d) = %v, and then %v", boot, p, again)
		}
		workloads[p.Workload] = true
		if len(p.Accept) == 0 || len(p.disks()) > 2 {
			t.Errorf("no outcome, or more than two disks: %v", p)
		}
		groups := map[string]bool{}
		for _, f := range p.Faults {
			k := kindOf(f)
			faults[f.Kind] = true
			if groups[k.group] {
				t.Errorf("two faults of the group %s: %v", k.group, p)
			}
			groups[k.group] = true
			if k.group == "disk" && p.failingDisk() < 0 {
				t.Errorf("no disk for the fault: %v", p)
			}
		}
		script := p.script()
		if strings.Contains(script, "%!") || !strings.Contains(script, fmt.Sprint("\nexit ", p.Code, "\n")) {
			t.Errorf("script of %v: %s", p, script)
		}
	}
	if len(workloads) != len(activities) {
		t.Errorf("%d of %d workloads in 2000 plans", len(workloads), len(activities))
	}
	for _, k := range kinds {
		if !faults[k.name] {
			t.Errorf("no fault %s in 2000 plans", k.name)
		}
	}
	if reflect.DeepEqual(NewPlan(7, 0).Faults, NewPlan(8, 0).Faults) && reflect.DeepEqual(NewPlan(7, 1), NewPlan(8, 1)) {
		t.Error("plans do not depend on the seed")
	}
}

func TestPlanString(t *testing.T) {
	p := Plan{
		Seed: 1, Boot: 2, MemMiB: 96, CPUs: 3, Root: "ext4", Data: "xfs", Configured: true, Ignores: true,
		Workload: "exits at once", Seconds: 4, Code: 5, Within: time.Minute,
		Faults: []Fault{{Kind: "k", What: "w", At: time.Second, For: time.Millisecond, N: 6, Errno: syscall.EIO, Seed: 7}, {Kind: "l"}},
		Accept: []Outcome{{Codes: []int{8, 9}, Line: "x", When: After}, {}},
	}
	const want = `boot 2 of seed 1
  machine   96 MiB, 3 CPUs, root: ext4, data: xfs, configuration file
  workload  exits at once for 4 s, then exit 5, ignores stop requests
  fault     k w at 1s for 1ms n=6 EIO seed 7
  fault     l
  accepted  [8 9] with "x" after the workload's start
  accepted  no code
  within    1m0s
`
	if got := p.String(); got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
}

// TestWiden checks what faults add to the accepted outcomes.
func TestWiden(t *testing.T) {
	for _, tt := range []struct {
		fault Fault
		code  int
		want  []Outcome
	}{
		{Fault{Kind: slowFiles}, 5, nil},
		{Fault{Kind: bootFiles}, 5, []Outcome{failedBefore(125)}},
		{Fault{Kind: diskErrors}, 5, []Outcome{failedBefore(125)}},
		{Fault{Kind: lostDisk}, 0, []Outcome{failedBefore(125), {[]int{125}, lostData, After}}},
		{Fault{Kind: signals, N: 15, At: 900 * time.Millisecond}, 5, []Outcome{{Codes: []int{143, 137}}, {When: Before}}},
		{Fault{Kind: signals, N: 15, At: 2 * time.Second}, 5, []Outcome{{Codes: []int{143, 137}}}},
		{Fault{Kind: signals, N: 30, At: 2 * time.Second}, 5, []Outcome{{Codes: []int{143, 137}}, failedBefore(158)}},
		{Fault{Kind: signals, N: 9}, 5, nil},
		{Fault{Kind: signals, N: 10, At: 2 * time.Second}, 5, []Outcome{{Codes: []int{138}}}},
		{Fault{Kind: keyPress, What: ctrlAltDel, At: time.Second}, 5, []Outcome{{Codes: []int{130, 137}}, {When: Before}}},
		{Fault{Kind: keyPress, What: ctrlAltDel, At: 3 * time.Second}, 5, []Outcome{{Codes: []int{130, 137}}}},
	} {
		var got []Outcome
		if widen := kindOf(tt.fault).widen; widen != nil {
			got = widen(tt.fault, &Plan{Code: tt.code})
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v with exit %d: accepted %v, want %v", tt.fault, tt.code, got, tt.want)
		}
	}
	boot := kindOf(Fault{Kind: bootFiles})
	got := boot.widen(Fault{}, &Plan{Workload: "is not there"})
	if want := []Outcome{failedBefore(125, 126)}; !reflect.DeepEqual(got, want) {
		t.Errorf("a program that is not there can't be looked up: accepted %v, want %v", got, want)
	}
}

// TestJudge checks each invariant.
func TestJudge(t *testing.T) {
	base := Plan{Root: "ext4", Within: time.Minute, Accept: []Outcome{
		{Codes: []int{5}, When: After}, failedBefore(125), {Codes: []int{137}, Line: outOfMem, When: After}}}
	good := func() Observation {
		return Observation{Codes: []int{5}, Duration: time.Second, Ports: map[string][]byte{reportPort: []byte("start\nmemory 900\n")},
			Images: map[string]error{"root": nil}}
	}
	before := func(o *Observation) { o.Codes, o.Ports = []int{125}, map[string][]byte{} }
	for _, tt := range []struct {
		name   string
		change func(p *Plan, o *Observation)
		want   []string // parts of the texts
	}{
		{"good", func(*Plan, *Observation) {}, nil},
		{"no start", func(_ *Plan, o *Observation) { o.Ports = nil }, []string{"exit codes [5], workload started: false"}},
		{"another code", func(_ *Plan, o *Observation) { o.Codes = []int{5, 6} }, []string{"exit codes [5 6]"}},
		{"no code", func(_ *Plan, o *Observation) { o.Codes = nil }, []string{"exit codes []"}},
		{"no code, init started", func(_ *Plan, o *Observation) {
			o.Codes, o.Kernel = nil, "Run /init.krun as init process"
		}, []string{"exit codes []"}},
		{"no code, init not started", func(_ *Plan, o *Observation) { o.Codes, o.BeforeInit = nil, true }, nil},
		{"no code, kernel failed", func(_ *Plan, o *Observation) {
			o.Codes, o.Kernel = nil, "Run /init.krun as init process\nBUG: unable to handle page fault"
		}, nil},
		{"no code, accepted", func(p *Plan, o *Observation) { o.Codes, p.Accept = nil, []Outcome{{}} }, nil},
		{"without a line", func(_ *Plan, o *Observation) { before(o) }, []string{"exit codes [125]"}},
		{"only a warning", func(_ *Plan, o *Observation) { before(o); o.Console = []byte("krunbox: warning: x\n") }, []string{"exit codes [125]"}},
		{"with a line", func(_ *Plan, o *Observation) { before(o); o.Console = []byte("x\nkrunbox: root: x\n") }, nil},
		{"with a line of KRUN_DEBUG", func(_ *Plan, o *Observation) {
			before(o)
			o.Console = []byte("krunbox: signals: at 2.0 s, 8.000 ms, ok\nkrunbox: modules: left out, only if x\n")
		}, []string{"exit codes [125]"}},
		{"with a line on a port", func(_ *Plan, o *Observation) { before(o); o.Ports[stderrPort] = []byte("krunbox: root: x\n") }, nil},
		{"with two lines", func(_ *Plan, o *Observation) { before(o); o.Console = []byte("krunbox: x\nkrunbox: y\n") }, []string{"2 lines say why"}},
		{"nobody reads", func(p *Plan, o *Observation) { before(o); p.Faults = []Fault{{Kind: consoleOff, What: unread}} }, nil},
		{"out of memory", func(_ *Plan, o *Observation) {
			o.Codes, o.Console = []int{137}, []byte("krunbox: out of memory: the kernel killed \"sh\"\n")
		}, nil},
		{"killed", func(_ *Plan, o *Observation) { o.Codes = []int{137} }, []string{"exit codes [137]"}},
		{"stack trace", func(_ *Plan, o *Observation) { o.Ports[stderrPort] = []byte("\ngoroutine 1 [running]:\n") }, []string{`"goroutine 1"`}},
		{"panic", func(_ *Plan, o *Observation) { o.Console = []byte("[ 1.0] Kernel panic - not syncing: x\n") }, []string{`"Kernel panic"`}},
		{"the kernel's own fault", func(_ *Plan, o *Observation) {
			o.Codes, o.Console = nil, []byte("[ 3.0] BUG: kernel NULL pointer dereference, address: 24\n")
		}, nil},
		{"shell", func(_ *Plan, o *Observation) { o.Console = []byte("/ # ") }, []string{"a shell's"}},
		{"hangs", func(_ *Plan, o *Observation) { o.Killed, o.Duration = true, 3*time.Minute }, []string{"did not end within 3m0s"}},
		{"late", func(_ *Plan, o *Observation) { o.Duration = 2 * time.Minute }, []string{"took 2m0s"}},
		{"late on a slow host", func(_ *Plan, o *Observation) { o.Duration, o.Slowness = 2*time.Minute, 2 }, nil},
		{"unclean", func(_ *Plan, o *Observation) { o.Images["root"] = errors.New("not clean") }, []string{"disk for root: not clean"}},
		{"unclean without an end", func(p *Plan, o *Observation) {
			o.Codes, p.Accept, o.Images["root"] = nil, []Outcome{{}}, errors.New("not clean")
		}, nil},
		{"unclean, failing", func(p *Plan, o *Observation) {
			p.Faults, o.Images["root"] = []Fault{{Kind: diskErrors}}, errors.New("not clean")
		}, nil},
		{"memory", func(_ *Plan, o *Observation) { o.Ports[reportPort] = []byte("start\nmemory 9000\n") }, []string{"9000 KiB"}},
	} {
		p, o := base, good()
		tt.change(&p, &o)
		got := Judge(p, o)
		if len(got) != len(tt.want) {
			t.Errorf("%s: Judge() = %q, want %q", tt.name, got, tt.want)
			continue
		}
		for i, part := range tt.want {
			if !strings.Contains(got[i], part) {
				t.Errorf("%s: Judge() = %q, want %q", tt.name, got, tt.want)
			}
		}
	}
}

func TestTable(t *testing.T) {
	table := &Table{Seed: 3, Took: 90 * time.Second, faults: map[string]*row{}, codes: map[int]int{}}
	p := NewPlan(3, 0)
	p.Faults, p.Workload, p.Root = []Fault{{Kind: badNetwork, What: "late"}}, "exits at once", "ext4"
	table.add(Finding{Plan: p}, Observation{Codes: []int{5}})
	p.Faults, p.Boot = nil, 1
	if got := table.add(Finding{Plan: p, Broken: []string{"something"}}, Observation{}); !strings.Contains(got, "BROKEN: something\nboot 1 of seed 3\n") ||
		!strings.Contains(got, "make soak SEED=3 BOOT=1\n") {
		t.Errorf("add() = %s, want what is broken and the command", got)
	}
	p.Boot = 2
	table.add(Finding{Plan: p, Failure: errors.New("QEMU")}, Observation{})
	for _, want := range []string{
		"seed 3: 3 boots, 1 with broken invariants, 1 failed for other reasons in 1m30s\n",
		"      1       0  fault: network late\n", "      2       1  fault: none\n", "      3       1  workload: exits at once\n",
		"exit codes: none: 2, 5: 1,", "BROKEN: something\n",
	} {
		if got := table.String(); !strings.Contains(got, want) {
			t.Errorf("String() = %s, want %q in it", got, want)
		}
	}
}

// TestSoak is a short campaign with a seed that stays the same. Of its first boots, it takes those with
// a workload or a fault that no boot before had, as far as a minute suffices.
func TestSoak(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for the network and the owners of files")
	}
	if testing.Short() {
		t.Skip("takes a minute")
	}
	t.Parallel()
	lab, err := NewLab(t.Context(), "../../build/init.krun")
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	table := Campaign{Seed: 16, Boots: 300, For: time.Minute, Parallel: 2, Out: io.Discard, Choose: somethingNew()}.Run(t.Context(), lab)
	t.Logf("%v", table)
	if table.Boots == 0 {
		t.Error("no boot within the time")
	}
	for _, f := range table.Findings {
		if len(f.Broken) > 0 {
			t.Errorf("%v", f)
		} else {
			t.Logf("%v", f) // says nothing about krunbox
		}
	}
	if 2*(len(table.Findings)-table.Broken()) > table.Boots {
		t.Error("most boots failed")
	}
}

// somethingNew returns a function that chooses plans with a workload, a fault or a root that no plan
// before had.
func somethingNew() func(Plan) bool {
	seen := map[string]bool{}
	return func(p Plan) bool {
		names := []string{string(p.Workload), p.Root, p.Data}
		for _, f := range p.Faults {
			names = append(names, f.Kind+" "+f.What)
		}
		before := len(seen)
		for _, name := range names {
			seen[name] = true
		}
		return len(seen) > before
	}
}

// TestSomethingNew checks that the boots of TestSoak have all workloads and faults.
func TestSomethingNew(t *testing.T) {
	choose, chosen := somethingNew(), 0
	workloads, faults := map[Activity]bool{}, map[string]bool{}
	for boot := range 300 {
		p := NewPlan(16, boot)
		if !choose(p) {
			continue
		}
		chosen++
		workloads[p.Workload] = true
		for _, f := range p.Faults {
			faults[f.Kind] = true
		}
	}
	for name := range activities {
		if !workloads[name] {
			t.Errorf("no boot with the workload %s", name)
		}
	}
	for _, k := range kinds {
		if !faults[k.name] {
			t.Errorf("no boot with the fault %s", k.name)
		}
	}
	t.Logf("%d boots", chosen)
}
