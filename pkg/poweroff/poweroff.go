//go:build linux || freebsd

// Package poweroff ends a guest: it reports the exit code of the workload to the host, writes file
// systems to their devices, and switches the machine off.
package poweroff

import (
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Exit codes with a meaning of their own, as in container runtimes and POSIX shells.
const (
	// InitFailed means that the guest's init could not do its work.
	InitFailed = 125
	// NotExecutable means that the workload's program was found but could not be executed.
	NotExecutable = 126
	// NotFound means that the workload's program was not found.
	NotFound = 127
	// SignalBase plus n is the code of a workload that was killed by signal n.
	SignalBase = 128
)

// Code returns the exit code for a wait status: the workload's own, or 128+n if signal n killed it.
func Code(status unix.WaitStatus) int {
	if status.Signaled() {
		return SignalBase + int(status.Signal())
	}
	return status.ExitStatus()
}

// Sync is the operation that writes all file systems to their devices, sync(2).
type Sync struct{}

func (Sync) Describe() op.Description { return op.Describe("sync", "all file systems") }

func (Sync) Do() error {
	unix.Sync()
	return nil
}

// PowerOff is the operation that ends the machine by reboot(2) with RB_AUTOBOOT, upon which a
// libkrun host ends the VM. Other ways of switching off need hardware that such a VM does not have.
// It does nothing unless this is process 1 of the machine; on Linux, process 1 of another PID
// namespace is not.
type PowerOff struct{}

func (PowerOff) Describe() op.Description { return op.Describe("reboot", "RB_AUTOBOOT") }

func (PowerOff) Do() (err error) {
	if !isMachine() {
		return nil
	}
	defer op.Wrap(&err, "reboot")
	return reboot()
}

// Deadline is the operation that limits how long the machine takes to end. After that time the
// machine ends as by PowerOff, even if a system call of another operation hangs: sync(2) on a file
// system whose server is gone, an unmount, or a write to a console that nobody reads. It does
// nothing where PowerOff does nothing.
type Deadline struct {
	// After is the longest time without progress. Most is the longest time in all, if it is longer.
	// Without Unwritten only the longer of the two counts.
	After, Most time.Duration
	// Unwritten, unless nil, returns how much data file systems still have to write, in any unit. A
	// result below all earlier ones is progress. Unwritten is called in another goroutine.
	Unwritten func() (uint64, error)
}

func (d Deadline) Describe() op.Description {
	return op.Describe("limit", "the end", "to", d.After, "then", "RB_AUTOBOOT",
		"whileWriting", op.If(d.Unwritten != nil, d.Most))
}

func (d Deadline) Do() error {
	if isMachine() {
		d.start()
	}
	return nil
}

func (d Deadline) start() {
	// A timer enforces Most, because Unwritten may hang.
	time.AfterFunc(max(d.After, d.Most), func() { _ = reboot() })
	if d.Unwritten != nil {
		go d.watch()
	}
}

// watch ends the machine when no progress has been made for too long.
func (d Deadline) watch() {
	const interval = time.Second
	p := progress{since: time.Now(), least: math.MaxUint64}
	for time.Since(p.since) < d.After {
		time.Sleep(interval)
		if left, err := d.Unwritten(); err == nil {
			p.update(time.Now(), left)
		}
	}
	_ = reboot()
}

// progress is the least amount of unwritten data so far, and the time when it was reached.
type progress struct {
	since time.Time
	least uint64
}

func (p *progress) update(now time.Time, left uint64) {
	if left < p.least {
		p.since, p.least = now, left
	}
}
