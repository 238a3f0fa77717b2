package soak

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Plan is all that a boot is made of, and the outcomes that are accepted.
type Plan struct {
	Seed uint64
	Boot int

	MemMiB, CPUs int

	// Root is where the root file system is: a directory of the host, a disk with a file system of
	// this type, or overlayTmpfs or overlayDisk.
	Root string

	// Data is the type of the file system on a disk that the configuration mounts on /data, or "".
	Data string

	Configured   bool // the program comes from the configuration file, not from the command line
	PIDNamespace bool // the workload is process 1 of a PID namespace
	Streams      bool // the workload's streams are ports, not the console
	Ignores      bool // the workload ignores stop requests

	Workload Activity
	Seconds  int // how long the workload is active
	Code     int // with which it ends then

	Faults []Fault
	Accept []Outcome
	Within time.Duration // how long the boot may take
}

// Values of Plan.Root besides types of file systems.
const (
	rootDirectory = "directory"
	overlayTmpfs  = "overlay, changes in memory"
	overlayDisk   = "overlay, changes on a disk"
)

// A Fault is something that the host does wrong, or a request to stop. The meaning of the fields
// depends on Kind; see kinds.
type Fault struct {
	Kind  string
	What  string        // the variant
	At    time.Duration // when, counted from the start of init
	For   time.Duration // how long
	N     int           // how many or how often
	Errno syscall.Errno
	Seed  uint64 // of further random choices
}

func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Kind)
	for _, field := range []struct {
		name string
		set  bool
		text any
	}{
		{"", f.What != "", f.What}, {"at ", f.At != 0, f.At}, {"for ", f.For != 0, f.For}, {"n=", f.N != 0, f.N},
		{"", f.Errno != 0, errnoName(f.Errno)}, {"seed ", f.Seed != 0, f.Seed},
	} {
		if field.set {
			fmt.Fprintf(&b, " %s%v", field.name, field.text)
		}
	}
	return b.String()
}

// errnoName returns the symbol of an error.
func errnoName(e syscall.Errno) string {
	if name, ok := map[syscall.Errno]string{syscall.EIO: "EIO", syscall.ENOSPC: "ENOSPC", syscall.EACCES: "EACCES", syscall.ESTALE: "ESTALE"}[e]; ok {
		return name
	}
	return e.Error()
}

// An Outcome is a way in which a boot may end.
type Outcome struct {
	Codes []int  // one of these is the last exit code; empty: the host gets none
	Line  string // krunbox has printed a line that contains it, if anybody could read it; "": none wanted
	When  Phase  // whether the workload had started
}

// A Phase restricts an Outcome.
type Phase string

// The phases of a boot.
const (
	Any    Phase = ""
	Before Phase = "before the workload"
	After  Phase = "after the workload's start"
)

func (o Outcome) String() string {
	text := "no code"
	if len(o.Codes) > 0 {
		text = fmt.Sprint(o.Codes)
	}
	if o.Line != "" {
		text += fmt.Sprintf(" with %q", o.Line)
	}
	if o.When != Any {
		text += " " + string(o.When)
	}
	return text
}

// Texts of krunbox's lines in outcomes.
const (
	anyLine  = "krunbox: "
	outOfMem = "krunbox: out of memory: the kernel killed "
	lostData = "data is lost"
)

// failedBefore is the end of a boot whose workload was not started.
func failedBefore(codes ...int) Outcome { return Outcome{codes, anyLine, Before} }

// String returns a description of the plan, of several lines.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "boot %d of seed %d\n", p.Boot, p.Seed)
	fmt.Fprintf(&b, "  machine   %d MiB, %d CPUs, root: %s", p.MemMiB, p.CPUs, p.Root)
	if p.Data != "" {
		fmt.Fprintf(&b, ", data: %s", p.Data)
	}
	for _, o := range []struct {
		set  bool
		name string
	}{{p.Configured, "configuration file"}, {p.PIDNamespace, "PID namespace"}, {p.Streams, "ports"}} {
		if o.set {
			b.WriteString(", " + o.name)
		}
	}
	fmt.Fprintf(&b, "\n  workload  %s for %d s, then exit %d", p.Workload, p.Seconds, p.Code)
	if p.Ignores {
		b.WriteString(", ignores stop requests")
	}
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "\n  fault     %v", f)
	}
	for _, o := range p.Accept {
		fmt.Fprintf(&b, "\n  accepted  %v", o)
	}
	fmt.Fprintf(&b, "\n  within    %v\n", p.Within)
	return b.String()
}

// NewPlan returns the plan of a boot, which depends on nothing but seed and boot.
func NewPlan(seed uint64, boot int) Plan {
	r := rand.New(rand.NewPCG(seed, uint64(boot)))
	p := Plan{Seed: seed, Boot: boot, Within: baseTime}
	p.MemMiB = pick(r, 96, 128, 192, 256, 384, 512)
	p.CPUs = 1 + r.IntN(4)
	p.Root = pick(r, rootDirectory, rootDirectory, rootDirectory, "ext4", "ext4", "xfs", "btrfs", overlayTmpfs, overlayDisk)
	p.Data = pick(r, "", "", "ext4", "xfs", "btrfs")
	if p.Root == overlayDisk { // there is room for two disks
		p.Data = ""
	}
	if p.MemMiB == 96 && (p.Root == "btrfs" || p.Data == "btrfs") {
		p.MemMiB = 128
	}
	// The script of a disk's root is part of the configuration.
	p.Configured = p.Root != rootDirectory || p.Data != "" || r.IntN(2) == 0
	p.PIDNamespace = r.IntN(4) == 0
	p.Streams = r.IntN(3) > 0
	p.Ignores = r.IntN(3) == 0
	p.Code = pick(r, 0, 1+r.IntN(100))
	p.Seconds = r.IntN(3)
	p.Workload = pick(r, activityNames()...)
	w := activities[p.Workload]
	p.PIDNamespace = p.PIDNamespace && !w.krunbox
	if w.maxMiB != 0 {
		p.MemMiB = min(p.MemMiB, w.maxMiB)
	}
	p.MemMiB = max(p.MemMiB, w.minMiB)
	p.Accept = w.outcomes(&p)
	p.Within += time.Duration(p.Seconds)*time.Second + w.takes
	p.drawFaults(r)
	p.Accept = unique(p.Accept)
	return p
}

// baseTime is how long a boot may take without what is known to take long. The end of a boot that
// makes no progress lasts 60 s.
const baseTime = 50 * time.Second

// drawFaults adds up to four faults to the plan, at most one of each group.
func (p *Plan) drawFaults(r *rand.Rand) {
	var groups []string
	for range pick(r, 0, 1, 1, 2, 2, 2, 3, 3, 4) {
		k := kinds[r.IntN(len(kinds))]
		if slices.Contains(groups, k.group) || k.fits != nil && !k.fits(p) {
			continue
		}
		groups = append(groups, k.group)
		f := k.draw(r, p)
		f.Kind = k.name
		p.Faults = append(p.Faults, f)
		if k.widen != nil {
			p.Accept = append(p.Accept, k.widen(f, p)...)
		}
		p.Within += f.For + k.takes
	}
}

// has reports whether the plan has a fault of a kind, and of a variant unless what is empty.
func (p *Plan) has(kind, what string) bool {
	return slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.Kind == kind && (what == "" || f.What == what) })
}

// unique returns the outcomes without those that are there twice.
func unique(list []Outcome) (kept []Outcome) {
	var texts []string
	for _, o := range list {
		if text := o.String(); !slices.Contains(texts, text) {
			texts, kept = append(texts, text), append(kept, o)
		}
	}
	return kept
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// upTo returns a random duration of less than d, in whole milliseconds, but at least one.
func upTo(r *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(1+r.Int64N(int64(d/time.Millisecond))) * time.Millisecond
}
