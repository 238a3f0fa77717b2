// Package boot runs a boot as a list of stages: what is to be done is data that can be printed, and
// Run carries it out.
//
// A stage has a name, a policy for failures, a condition, and a plan: a list of operations. It is
// planned when its turn comes, because later stages depend on what earlier ones made readable, such
// as a configuration file. The same list, run or printed, is thus the documentation of the boot.
package boot

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/krunbox/krunbox/pkg/op"
)

// Policy says what the failure of a stage means for the boot.
type Policy uint8

const (
	// Fatal ends the boot at the first operation that fails.
	Fatal Policy = iota
	// Warn reports every operation that fails, and goes on with the next one.
	Warn
	// Silent goes on without a report: the failure is expected in some guests.
	Silent
)

func (p Policy) String() string {
	switch p {
	case Fatal:
		return "fatal"
	case Warn:
		return "warn"
	default:
		return "silent"
	}
}

// Stage is a named step of a boot. G is the boot's state: what it knows of the machine, and finds
// out about it.
type Stage[G any] struct {
	Name string
	// OnError is the meaning of a failure of Prepare, Plan or an operation. The failure of an
	// op.Lenient is a warning where others are fatal.
	OnError Policy
	// If is the condition under which the stage is carried out. The zero value always holds.
	If Condition[G]
	// Prepare, unless nil, reads what the plan depends on, and stores it in the state. It does not
	// change the machine. After a failure there is no plan.
	Prepare func(G) error
	// Plan, unless nil, returns the operations, in order. It is a pure function of the state.
	Plan func(G) ([]op.Op, error)
}

// Condition decides whether a stage is carried out.
type Condition[G any] struct {
	Text  string // what must hold, for readers: "KRUN_DHCP names interfaces"
	Holds func(G) bool
}

// If returns a condition.
func If[G any](text string, holds func(G) bool) Condition[G] { return Condition[G]{text, holds} }

// Error is a failure and the stage it happened in.
type Error struct {
	Stage string
	Err   error
}

func (e *Error) Error() string { return e.Stage + ": " + e.Err.Error() }

// Unwrap returns the failure without its stage.
func (e *Error) Unwrap() error { return e.Err }

// Runner receives what Run reports.
type Runner struct {
	// Warn receives each failure in a Warn stage, as an *Error.
	Warn func(error)
	// Ended, unless nil, receives the outcome of each stage that had something to read or to do, or
	// was left out by its condition. Clock, which it needs, returns the time since some fixed moment.
	Ended func(Outcome)
	Clock func() time.Duration
	// Waited, unless nil, returns how long operations have waited for something so far.
	Waited func() time.Duration
}

// Run carries out the stages in order. The first failure in a Fatal stage ends it and is returned
// as an *Error. A panic is a failure like any other: the process that boots a machine must not die
// of it.
func Run[G any](r *Runner, stages []Stage[G], g G) error {
	for _, s := range stages {
		o := Outcome{Stage: s.Name, OnError: s.OnError}
		if r.Ended != nil {
			o.Start, o.Waited = r.Clock(), -r.waited()
		}
		err := run(r, s, g, &o)
		if r.Ended != nil {
			o.Duration, o.Waited = r.Clock()-o.Start, o.Waited+r.waited()
			if o.Ops > 0 || len(o.Errors) > 0 || s.Prepare != nil || o.OnlyIf != "" {
				r.Ended(o)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) waited() time.Duration {
	if r.Waited == nil {
		return 0
	}
	return r.Waited()
}

// run carries out a stage, records the outcome in o, and returns the failure that ends the boot.
func run[G any](r *Runner, s Stage[G], g G, o *Outcome) error {
	left, ops, err := s.plan(g)
	if left {
		o.OnlyIf = s.If.Text
	}
	if err := r.judge(o, s.OnError, err); err != nil {
		return err
	}
	for _, operation := range ops {
		o.Ops++
		policy := s.OnError
		if _, ok := operation.(op.Lenient); ok && policy == Fatal {
			policy = Warn
		}
		if err := r.judge(o, policy, op.Protect(operation.Do)); err != nil {
			return err
		}
	}
	return nil
}

// plan returns the operations of the stage, and whether the stage is left out by its condition.
func (s Stage[G]) plan(g G) (left bool, ops []op.Op, err error) {
	err = op.Protect(func() error {
		if left = s.If.Holds != nil && !s.If.Holds(g); left {
			return nil
		}
		if s.Prepare != nil {
			if err := s.Prepare(g); err != nil {
				return err
			}
		}
		if s.Plan == nil {
			return nil
		}
		var err error
		ops, err = s.Plan(g)
		return err
	})
	return left, ops, err
}

// judge applies policy to err, which is a failure in o's stage or nil. Errors joined by errors.Join are
// reported one by one.
func (r *Runner) judge(o *Outcome, policy Policy, err error) error {
	if err == nil {
		return nil
	}
	o.Errors, o.OnError = append(o.Errors, each(err)...), policy
	switch policy {
	case Fatal:
		return &Error{o.Stage, err}
	case Warn:
		for _, e := range each(err) {
			r.Warn(&Error{o.Stage, e})
		}
	}
	return nil
}

// each returns the errors that errors.Join combined in err, or err alone, or nothing if it is nil.
func each(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() { // may be joined itself
		all = append(all, each(e)...)
	}
	return all
}

// Line returns an error's text with control characters replaced by blanks, so that it is one line
// and harmless on a terminal.
func Line(err error) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, err.Error())
}

// Outcome is the result of a stage.
type Outcome struct {
	Stage   string
	OnError Policy // of the last failure, or of the stage
	Ops     int    // operations that were carried out
	OnlyIf  string // the condition that did not hold, if the stage was left out
	// Start is by the Runner's Clock. Waited is the part of Duration in which operations waited.
	Start, Duration, Waited time.Duration
	// Errors are all failures, also those of a Silent stage.
	Errors []error
}

// String returns the outcome on one line, with times in seconds and milliseconds.
func (o Outcome) String() string {
	if o.OnlyIf != "" {
		return o.Stage + ": left out, only if " + o.OnlyIf
	}
	return fmt.Sprintf("%s: at %d.%06d s, %s", o.Stage, o.Start/time.Second,
		o.Start%time.Second/time.Microsecond, o.result())
}

// result returns how long the stage took, and its errors.
func (o Outcome) result() string {
	text := milliseconds(o.Duration) + ", "
	if o.Waited > 0 {
		text += milliseconds(o.Waited) + " of it waiting, "
	}
	if len(o.Errors) == 0 {
		return text + "ok"
	}
	return text + o.OnError.String() + ": " + strings.Join(lines(o.Errors), "; ")
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.3f ms", float64(d.Microseconds())/1000)
}

func lines(errs []error) []string {
	texts := []string{}
	for _, err := range errs {
		texts = append(texts, Line(err))
	}
	return texts
}
