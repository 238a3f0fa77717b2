package soak

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/krunbox/krunbox/integration/vm"
)

// An Observation is what the host has seen of a boot.
type Observation struct {
	Killed   bool // the machine still ran when its time was over, and was killed
	Codes    []int
	Duration time.Duration

	// Slowness is how many times longer everything takes because of other programs on the host; less
	// than 1 means 1.
	Slowness float64

	Kernel string // the last messages of the guest's kernel, if there is no exit code

	BeforeInit bool // the machine ended before the kernel started init

	Console []byte            // output on the console, if it was read
	Ports   map[string][]byte // output on ports that were read
	Images  map[string]error  // the result of the check of each disk's file system, by the disk's use

	Processors []string // what the processors of a machine did that was late

	// Failure is why the boot says nothing about krunbox, for example because QEMU failed.
	Failure error
}

// report is what the workload has told.
type report struct {
	started bool
	memory  int // KiB of process 1's anonymous memory; 0: unknown
}

func (o Observation) report() (r report) {
	for line := range strings.Lines(string(o.Ports[reportPort])) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "start":
			r.started = true
		case "memory":
			r.memory, _ = strconv.Atoi(value)
		}
	}
	return r
}

// lines returns the lines that krunbox has printed.
func (o Observation) lines() (list []string) {
	for _, text := range [][]byte{o.Console, o.Ports[stderrPort]} {
		for line := range bytes.Lines(text) {
			if _, after, found := bytes.Cut(line, []byte(anyLine)); found {
				list = append(list, anyLine+strings.TrimSpace(string(after)))
			}
		}
	}
	return list
}

// maxMemory is the limit of process 1's anonymous memory, in KiB.
const maxMemory = 6 << 10

// crashes is what never appears on a console or port.
var crashes = regexp.MustCompile(`(?m)panic: |fatal error: |^goroutine \d+|Kernel panic|Attempted to kill init|` +
	`unexpected fault address|runtime: |SIGSEGV|signal arrived`)

// Failure returns why a boot says nothing about krunbox, if that is so.
func Failure(o Observation) error {
	if o.Failure != nil {
		return o.Failure
	}
	for _, text := range []string{string(o.Console), o.Kernel} {
		if found := vm.KernelBug(text); found != "" {
			return fmt.Errorf("the guest's kernel: %s", found)
		}
	}
	if o.BeforeInit {
		return errors.New("the guest's kernel ended before it started init")
	}
	return nil
}

// debugLine matches what KRUN_DEBUG prints of a stage.
var debugLine = regexp.MustCompile(`: at [0-9.]+ s, |: left out, only if `)

// prompts is what a shell prints that nobody asked for.
var prompts = regexp.MustCompile(`(?m)^(/|~) # |job control turned off|built-in shell`)

// Judge returns the invariants that are broken, one text each, none if all hold or the boot says nothing
// about them.
func Judge(p Plan, o Observation) (broken []string) {
	if Failure(o) != nil {
		return nil
	}
	add := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	for name, text := range o.texts() {
		if found := crashes.Find(text); found != nil {
			add("%q on the %s", found, name)
		}
		if found := prompts.Find(text); found != nil {
			add("a shell's %q on the %s", found, name)
		}
	}
	if o.Killed {
		add("the machine did not end within %v; exit codes %v, workload started: %v, lines %q, processors %q",
			o.Duration.Round(time.Second), o.Codes, o.report().started, o.lines(), o.Processors)
		return broken
	}
	if within := scaled(p.Within, o.Slowness); o.Duration > within {
		add("the machine took %v, more than %v", o.Duration.Round(time.Second), within.Round(time.Second))
	}
	if !slices.ContainsFunc(p.Accept, func(accepted Outcome) bool { return p.matches(o, accepted) }) {
		add("exit codes %v, workload started: %v, lines %q", o.Codes, o.report().started, o.lines())
	}
	if reasons := fatal(o.lines()); len(reasons) > 1 {
		add("%d lines say why: %q", len(reasons), reasons)
	}
	if len(o.Codes) > 0 {
		for i, d := range p.disks() {
			if err := o.Images[d.use]; err != nil && !p.fails(i) {
				add("disk for %s: %v", d.use, err)
			}
		}
	}
	if memory := o.report().memory; memory > maxMemory && !p.PIDNamespace {
		add("process 1 has %d KiB of anonymous memory, more than %d", memory, maxMemory)
	}
	return broken
}

// scaled returns d on a host with a slowness.
func scaled(d time.Duration, slowness float64) time.Duration {
	return time.Duration(float64(d) * max(1, slowness))
}

// texts returns all output.
func (o Observation) texts() map[string][]byte {
	texts := map[string][]byte{"console": o.Console}
	for name, text := range o.Ports {
		texts["port "+name] = text
	}
	return texts
}

// matches reports whether a boot that has ended did so in an accepted way.
func (p Plan) matches(o Observation, accepted Outcome) bool {
	started := o.report().started
	switch {
	case accepted.When == Before && started || accepted.When == After && !started:
		return false
	case len(accepted.Codes) == 0 || len(o.Codes) == 0:
		return len(accepted.Codes) == len(o.Codes)
	case !slices.Contains(accepted.Codes, o.Codes[len(o.Codes)-1]):
		return false
	case accepted.Line == "" || !p.readable():
		return true
	}
	return slices.ContainsFunc(o.lines(), func(line string) bool {
		return strings.Contains(line, accepted.Line) && (accepted.Line != anyLine || isFatal(line))
	})
}

// readable reports whether the host reads what krunbox prints.
func (p Plan) readable() bool { return !p.has(consoleOff, "") && !p.has(streamPorts, "") }

// fatal returns the lines that say why there was no workload.
func fatal(lines []string) (list []string) {
	for _, line := range lines {
		if isFatal(line) {
			list = append(list, line)
		}
	}
	return list
}

func isFatal(line string) bool {
	return !debugLine.MatchString(line) && !strings.HasPrefix(line, "krunbox: warning: ") && !strings.HasPrefix(line, outOfMem)
}
