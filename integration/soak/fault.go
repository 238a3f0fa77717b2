package soak

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// kind describes a kind of Fault.
type kind struct {
	name  string
	group string // a plan has at most one fault of each group

	fits  func(p *Plan) bool                // nil: always
	draw  func(r *rand.Rand, p *Plan) Fault // chooses the fault's fields
	widen func(f Fault, p *Plan) []Outcome  // what is accepted because of the fault; nil: nothing more
	apply func(f Fault, r *rig) error       // prepares the machine
	takes time.Duration                     // in addition to Fault.For
}

// Names of kinds of faults that other parts of the package ask for.
const (
	slowFiles   = "slow virtiofs"
	stallFiles  = "virtiofs stalls"
	bootFiles   = "virtiofs errors: boot"
	progFiles   = "virtiofs errors: program"
	writeFiles  = "virtiofs errors: writes"
	streamPorts = "ports"
	consoleOff  = "console"
	slowDisk    = "slow disk"
	diskErrors  = "disk errors"
	lateDisk    = "late disk"
	lostDisk    = "disk removed"
	clockFlood  = "vsock flooded"
	clockLies   = "clock lies"
	badNetwork  = "network"
	pauses      = "machine paused"
	keyPress    = "key"
	signals     = "signal"
)

// Variants of faults.
const (
	unconnected = "not connected"
	unread      = "full"
	closed      = "closed in the middle"
	flooded     = "input that nobody reads"
	xoff        = "stopped by Ctrl-S"
	absent      = "absent"
	powerKey    = "power"
	ctrlAltDel  = "ctrl-alt-del"
)

const (
	// bootTime is the time in which most boots have started their workload.
	bootTime = 2 * time.Second
	// eventTime is the time in which most boots have ended.
	eventTime = 5 * time.Second
	// deviceTimeout is the value of KRUN_BLOCK_ROOT_TIMEOUT_MS.
	deviceTimeout = 60 * time.Second
	// stopTimeout is the value of KRUN_STOP_TIMEOUT.
	stopTimeout = 1 * time.Second
	// outputLimit is how long the host has to take output.
	outputLimit = 40 * time.Second
)

// kinds are all faults.
var kinds = []kind{
	{name: slowFiles, group: "virtiofs", apply: applySlowFiles, takes: 60 * time.Second,
		draw: func(r *rand.Rand, _ *Plan) Fault { return Fault{N: 1 + r.IntN(10), Seed: r.Uint64()} }},
	{name: stallFiles, group: "virtiofs", apply: applyStallFiles, takes: 20 * time.Second,
		draw: func(r *rand.Rand, _ *Plan) Fault { return Fault{N: 1 + r.IntN(5), Seed: r.Uint64()} }},
	{name: bootFiles, group: "virtiofs", apply: applyFileErrors,
		draw: drawFileErrors, widen: func(_ Fault, p *Plan) []Outcome {
			if activities[p.Workload].code == 127 { // the program that is not there can't be looked up
				return []Outcome{failedBefore(125, 126)}
			}
			return []Outcome{failedBefore(125)}
		}},
	{name: progFiles, group: "virtiofs", apply: applyFileErrors, fits: isDirectory,
		draw: drawFileErrors, widen: func(_ Fault, _ *Plan) []Outcome {
			// The shell itself fails, or is killed because a page of its program can't be read.
			return []Outcome{failedBefore(125, 126, 127), {Codes: []int{1, 2, 126, 127, 128 + 7}}}
		}},
	{name: writeFiles, group: "virtiofs", apply: applyFileErrors, draw: drawFileErrors},
	{name: streamPorts, group: "ports", fits: func(p *Plan) bool { return p.Streams }, apply: applyPorts, draw: func(r *rand.Rand, _ *Plan) Fault {
		return Fault{What: pick(r, unconnected, unread, closed, flooded), N: r.IntN(100_000), Seed: r.Uint64()}
	}, takes: outputLimit},
	{name: consoleOff, group: "console", apply: applyConsole, draw: func(r *rand.Rand, _ *Plan) Fault {
		return Fault{What: pick(r, unread, xoff, xoff, absent), At: upTo(r, eventTime)}
	}, takes: outputLimit},
	{name: slowDisk, group: "disk", apply: applySlowDisk, fits: hasDisk, takes: 60 * time.Second,
		draw: func(r *rand.Rand, _ *Plan) Fault { return Fault{N: pick(r, 1, 2, 4, 8) << 20} }},
	{name: diskErrors, group: "disk", apply: applyDiskErrors, fits: hasDisk, widen: widenDiskErrors,
		draw: func(r *rand.Rand, p *Plan) Fault {
			f := Fault{What: pick(r, "write", "flush"), Errno: pick(r, syscall.EIO, syscall.ENOSPC), Seed: r.Uint64()}
			if p.Data != "" {
				f.What = pick(r, "write", "flush", "read")
			}
			return f
		}},
	// The program that adds the disk may be one that can't be read. Init waits for the disk then.
	{name: lateDisk, group: "disk", apply: applyLateDisk, takes: deviceTimeout, fits: func(p *Plan) bool { return len(p.disks()) == 1 },
		draw: func(r *rand.Rand, _ *Plan) Fault { return Fault{At: upTo(r, bootTime)} }},
	{name: lostDisk, group: "disk", apply: applyLostDisk, fits: func(p *Plan) bool { return p.Data != "" }, widen: widenDiskErrors,
		draw: func(r *rand.Rand, _ *Plan) Fault { return Fault{At: upTo(r, eventTime), For: upTo(r, bootTime)} }},
	{name: clockFlood, group: "vsock", apply: applyClockFlood,
		draw: func(r *rand.Rand, _ *Plan) Fault { return Fault{Seed: r.Uint64()} }},
	{name: clockLies, group: "vsock", apply: applyClockLies,
		draw: func(r *rand.Rand, _ *Plan) Fault { return Fault{Seed: r.Uint64()} }},
	{name: badNetwork, group: "network", apply: applyNetwork, draw: func(r *rand.Rand, _ *Plan) Fault {
		return Fault{What: pick(r, mutations...), Seed: r.Uint64()}
	}},
	{name: badNetwork, group: "network", apply: applyNetwork, draw: func(r *rand.Rand, _ *Plan) Fault {
		return Fault{What: "all", Seed: r.Uint64()}
	}},
	{name: pauses, group: "pauses", apply: applyPauses, draw: func(r *rand.Rand, _ *Plan) Fault {
		return Fault{N: 1 + r.IntN(3), At: upTo(r, eventTime), For: upTo(r, 3*time.Second)}
	}},
	{name: keyPress, group: "stop", apply: applyKey, widen: widenKey, takes: stopTimeout, draw: func(r *rand.Rand, _ *Plan) Fault {
		return Fault{What: pick(r, powerKey, ctrlAltDel), At: upTo(r, eventTime), N: 1 + r.IntN(3)}
	}},
	{name: signals, group: "stop", apply: applySignal, widen: widenSignal, takes: stopTimeout, draw: func(r *rand.Rand, _ *Plan) Fault {
		stop := []int{int(syscall.SIGTERM), int(syscall.SIGINT), int(syscall.SIGPWR)}
		return Fault{N: pick(r, pick(r, stop...), pick(r, stop...), 1+r.IntN(31)), At: upTo(r, eventTime)}
	}},
}

func drawFileErrors(r *rand.Rand, _ *Plan) Fault {
	errors := []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EACCES, syscall.ESTALE}
	// One of N requests fails.
	return Fault{Errno: pick(r, errors...), N: pick(r, 1, 2, 5, 20), Seed: r.Uint64()}
}

func isDirectory(p *Plan) bool { return p.Root == rootDirectory }

func hasDisk(p *Plan) bool { return len(p.disks()) > 0 }

// widenDiskErrors returns what is accepted if a disk fails: that it can't be used, and that data is
// lost, which counts where the workload's code is 0.
func widenDiskErrors(f Fault, p *Plan) []Outcome {
	list := []Outcome{failedBefore(125)}
	if p.Code == 0 {
		list = append(list, Outcome{[]int{125}, lostData, After})
	}
	return list
}

// stopped returns what is accepted if a stop request comes as a signal. It may kill the workload before
// that has told that it runs.
func stopped(number int) []Outcome {
	return []Outcome{{Codes: []int{128 + number, 128 + int(syscall.SIGKILL)}}}
}

func widenKey(f Fault, _ *Plan) []Outcome {
	if f.What == powerKey { // PWR asks the workload by TERM
		return append(stopped(int(syscall.SIGTERM)), failedBefore(128+int(syscall.SIGPWR)))
	}
	list := stopped(int(syscall.SIGINT))
	if f.At < bootTime { // before init runs, the kernel restarts the machine
		list = append(list, Outcome{When: Before})
	}
	return list
}

// catchTime is the time in which init has begun to catch signals. Before, Go's runtime ends it, and the
// kernel restarts the machine. Without a fault, no other process is there that could send one.
const catchTime = time.Second

// widenSignal returns what is accepted if PID 1 gets a signal, which it passes on to the workload.
func widenSignal(f Fault, _ *Plan) (list []Outcome) {
	switch s := syscall.Signal(f.N); s {
	case syscall.SIGKILL, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGCONT:
		return nil // no effect
	case syscall.SIGPWR:
		list = append(stopped(int(syscall.SIGTERM)), failedBefore(128+f.N))
	case syscall.SIGTERM, syscall.SIGINT:
		list = stopped(f.N)
	default:
		list = []Outcome{{Codes: []int{128 + f.N}}}
	}
	if f.At < catchTime {
		list = append(list, Outcome{When: Before})
	}
	return list
}

// A disk is a disk of the machine.
type disk struct {
	fsType string
	use    string // root, changes or data
}

// disks returns the machine's disks, in the order of their names.
func (p *Plan) disks() (list []disk) {
	switch p.Root {
	case rootDirectory:
	case overlayTmpfs:
		list = append(list, disk{"erofs", "root"})
	case overlayDisk:
		list = append(list, disk{"erofs", "root"}, disk{"ext4", "changes"})
	default:
		list = append(list, disk{p.Root, "root"})
	}
	if p.Data != "" {
		list = append(list, disk{p.Data, "data"})
	}
	return list
}

// fails reports whether the disk with an index may have errors.
func (p *Plan) fails(index int) bool {
	return index == p.failingDisk() && slices.ContainsFunc(p.Faults, func(f Fault) bool {
		return f.Kind == diskErrors || f.Kind == lostDisk
	})
}

// failingDisk returns the index of the disk that faults are about: the last one.
func (p *Plan) failingDisk() int { return len(p.disks()) - 1 }
