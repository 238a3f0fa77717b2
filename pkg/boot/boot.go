// Package boot runs a boot as a list of stages: what is to be done is data that can be printed, and a small Runner
// carries it out.
//
// A stage has a name, a policy for failures, and operations. Operations are planned when the stage's turn comes, because
// later stages depend on what earlier ones made readable (a configuration file, for one). The same list, run or printed,
// is thus the documentation of the boot.
package boot

import (
	"errors"
	"strings"
	"time"

	"github.com/krunbox/krunbox/pkg/fault"
)

// Op is one operation of a stage.
type Op interface {
	// Describe says what Do will do. It has no effects.
	Describe() Desc
	// Do does it. Its error names operation and object.
	Do() error
}

// Policy says what the failure of a stage means for the boot.
type Policy uint8

const (
	// Fatal ends the boot at the first operation that fails.
	Fatal Policy = iota
	// Warn reports every operation that fails, and goes on with the next one.
	Warn
	// Silent goes on without a word: for what is expected to be missing in some guests.
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

// Stage is a named step of the boot of a G: what the boot knows of the machine, and finds out about it.
//
// With a method of G as each Plan, a list of stages is data in the program's file: nothing is made of it at run time.
type Stage[G any] struct {
	Name string
	// OnError is the meaning of a failure, of Plan's as of any operation's.
	OnError Policy
	// Plan returns the operations, in order. It may read what earlier stages made available, and has no effects.
	Plan func(G) ([]Op, error)
}

// Error is a failure and the stage it happened in.
type Error struct {
	Stage string
	Err   error
}

func (e *Error) Error() string { return e.Stage + ": " + e.Err.Error() }

// Unwrap returns the failure without its stage.
func (e *Error) Unwrap() error { return e.Err }

// Runner is what Run tells of the stages.
type Runner struct {
	// Warn is told of each failure in a Warn stage, as an *Error.
	Warn func(error)
	// Ended, if not nil, is told of each stage that had something to do, when it has ended; Clock is what its times are by.
	Ended func(Outcome)
	Clock func() time.Duration
}

// Run carries out the stages of g in order. The first failure in a Fatal stage ends it and is returned as an *Error. A panic in
// an operation is a failure like any other: the process that boots a machine must not die of it.
func Run[G any](r *Runner, stages []Stage[G], g G) error {
	for i := range stages {
		s := &stages[i]
		if r.Ended == nil {
			if _, err := run(r, s, g, nil); err != nil {
				return err
			}
			continue
		}
		o := Outcome{Stage: s.Name, OnError: s.OnError, Start: r.Clock()}
		ops, err := run(r, s, g, &o.Errors)
		if o.Ops, o.Duration = ops, r.Clock()-o.Start; ops > 0 || len(o.Errors) > 0 {
			r.Ended(o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// run carries out a stage, and returns how many operations it had and the failure that ends the boot.
func run[G any](r *Runner, s *Stage[G], g G, errs *[]error) (done int, err error) {
	ops, err := s.plan(g)
	if err := r.judge(s.Name, s.OnError, err, errs); err != nil {
		return 0, err
	}
	for i, op := range ops {
		if err := r.judge(s.Name, s.OnError, fault.Guard(op.Do), errs); err != nil {
			return i + 1, err
		}
	}
	return len(ops), nil
}

// judge applies a stage's policy to the outcome of one step. Errors joined by errors.Join are reported one by one.
func (r *Runner) judge(stage string, policy Policy, err error, errs *[]error) error {
	if err == nil {
		return nil
	}
	if errs != nil {
		*errs = append(*errs, each(err)...)
	}
	switch policy {
	case Fatal:
		return &Error{stage, err}
	case Warn:
		for _, e := range each(err) {
			r.Warn(&Error{stage, e})
		}
	}
	return nil
}

// each returns the errors that errors.Join made one, or the one there is, or none.
func each(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func (s *Stage[G]) plan(g G) (ops []Op, err error) {
	err = fault.Guard(func() (err error) {
		ops, err = s.Plan(g)
		return err
	})
	return ops, err
}

// Line is an error's text on one line, whatever it contains.
func Line(err error) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, err.Error())
}

// ErrUnsupported is wrapped by errors about requests that this version does not serve.
var ErrUnsupported = errors.New("not supported by this version")
