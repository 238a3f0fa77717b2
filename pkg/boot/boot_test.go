package boot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/pkg/op"
)

// note is an operation that records that it was done.
type note struct {
	name string
	err  error
	done *[]string
}

func (o note) Describe() op.Description { return op.Describe("do", o.name) }

func (o note) Do() error {
	*o.done = append(*o.done, o.name)
	if o.name == "panics" {
		panic("out of luck")
	}
	return o.err
}

// none is what these stages know.
type none struct{}

// fixed is a plan of operations that are known from the start.
func fixed(ops ...op.Op) func(none) ([]op.Op, error) {
	return func(none) ([]op.Op, error) { return ops, nil }
}

func TestRunPolicies(t *testing.T) {
	bad := errors.New("bad")
	for _, c := range []struct {
		name     string
		policy   Policy
		done     string
		warnings string
		err      string
	}{
		{"fatal ends at the first failure", Fatal, "one", "", "stage: bad"},
		{"warn goes on", Warn, "one two three", "stage: bad; stage: internal error: out of luck", ""},
		{"silent goes on without a word", Silent, "one two three", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var done, warnings []string
			ops := []op.Op{note{"one", bad, &done}, note{"panics", nil, &done}, note{"three", nil, &done}}
			runner := Runner{Warn: func(err error) { warnings = append(warnings, err.Error()) }}
			err := Run(&runner, []Stage[none]{{Name: "stage", OnError: c.policy, Plan: fixed(ops...)}}, none{})
			if got := strings.ReplaceAll(strings.Join(done, " "), "panics", "two"); got != c.done {
				t.Errorf("done = %q, want %q", got, c.done)
			}
			if got := strings.Join(warnings, "; "); got != c.warnings {
				t.Errorf("warnings = %q, want %q", got, c.warnings)
			}
			if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
				t.Errorf("Run() = %v, want %q", err, c.err)
			}
			if err != nil && !errors.Is(err, bad) {
				t.Errorf("Run() = %v does not wrap the cause", err)
			}
		})
	}
}

// A lenient operation is a warning where others are fatal.
func TestRunLenient(t *testing.T) {
	var done, warnings []string
	var outcome Outcome
	bad := errors.New("bad")
	runner := Runner{
		Warn:  func(err error) { warnings = append(warnings, err.Error()) },
		Ended: func(o Outcome) { outcome = o },
		Clock: func() time.Duration { return 0 },
	}
	ops := []op.Op{op.Lenient{Op: note{"one", bad, &done}}, note{"two", nil, &done}}
	stage := Stage[none]{Name: "stage", OnError: Fatal, Plan: fixed(ops...)}
	if err := Run(&runner, []Stage[none]{stage}, none{}); err != nil || len(done) != 2 {
		t.Errorf("Run() = %v, done = %q, want both", err, done)
	}
	if want := []string{"stage: bad"}; !reflect.DeepEqual(warnings, want) || outcome.OnError != Warn {
		t.Errorf("warnings = %q, outcome %v, want %q", warnings, outcome, want)
	}
	stage.OnError, warnings = Silent, nil
	if err := Run(&runner, []Stage[none]{stage}, none{}); err != nil || warnings != nil {
		t.Errorf("Run() of a silent stage = %v, warnings %q, want none", err, warnings)
	}
	if got, want := ops[0].Describe().String(), "do one onError=warn"; got != want {
		t.Errorf("Describe() = %q, want %q", got, want)
	}
}

func TestRunPlansInTurn(t *testing.T) {
	var done []string
	stages := []Stage[none]{
		{Name: "first", Plan: fixed(note{"one", nil, &done})},
		{Name: "second", Plan: func(none) ([]op.Op, error) {
			return []op.Op{note{"after " + strings.Join(done, " "), nil, &done}}, nil
		}},
		{Name: "third", OnError: Warn, Plan: func(none) ([]op.Op, error) {
			err := errors.Join(errors.New("a"), errors.New("b"))
			return []op.Op{note{"last", nil, &done}}, errors.Join(err, errors.New("c"))
		}},
		{Name: "fourth", Plan: func(none) ([]op.Op, error) { panic("in a plan") }},
		{Name: "fifth", Plan: fixed(note{"never", nil, &done})},
	}
	var warnings []string
	runner := Runner{Warn: func(err error) { warnings = append(warnings, err.Error()) }}
	err := Run(&runner, stages, none{})
	if want := []string{"one", "after one", "last"}; !reflect.DeepEqual(done, want) {
		t.Errorf("done = %q, want %q", done, want)
	}
	if want := []string{"third: a", "third: b", "third: c"}; !reflect.DeepEqual(warnings, want) {
		t.Errorf("warnings = %q, want %q", warnings, want)
	}
	var e *Error
	if !errors.As(err, &e) || e.Stage != "fourth" {
		t.Errorf("Run() = %v, want an *Error of stage fourth", err)
	}
}

func TestRunReportsOutcomes(t *testing.T) {
	var done []string
	a, b := errors.New("a"), errors.New("b\n")
	stages := []Stage[none]{
		{Name: "nothing", Plan: fixed()},
		{Name: "left out", If: If("asked for", func(none) bool { return false })},
		{Name: "well", Plan: fixed(note{"1", nil, &done}, note{"2", nil, &done})},
		{Name: "warned", OnError: Warn, Plan: fixed(note{"3", errors.Join(a, b), &done})},
		{Name: "silent", OnError: Silent, Plan: func(none) ([]op.Op, error) { return nil, a }},
		{Name: "fatal", Plan: fixed(note{"4", b, &done}, note{"never", nil, &done})},
		{Name: "never", Plan: fixed(note{"never", nil, &done})},
	}
	var now time.Duration
	var outcomes []Outcome
	var lines []string
	runner := Runner{
		Warn: func(error) {},
		Clock: func() time.Duration {
			now += 1234567 * time.Nanosecond
			return now
		},
		Ended: func(o Outcome) {
			outcomes = append(outcomes, o)
			lines = append(lines, o.String())
		},
	}
	// Operation 3 waits.
	runner.Waited = func() time.Duration {
		return time.Duration(strings.Count(strings.Join(done, ""), "3")) * time.Millisecond
	}
	if err := Run(&runner, stages, none{}); err == nil {
		t.Error("Run() = nil, want the failure of stage fatal")
	}
	want := []string{
		"left out: left out, only if asked for",
		"well: at 0.006172 s, 1.234 ms, ok",
		"warned: at 0.008641 s, 1.234 ms, 1.000 ms of it waiting, warn: a; b ",
		"silent: at 0.011111 s, 1.234 ms, silent: a",
		"fatal: at 0.013580 s, 1.234 ms, fatal: b ",
	}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("the outcomes are\n%q, want\n%q", lines, want)
	}
	var got []map[string]any
	var js bytes.Buffer
	if err := WriteOutcomes(&js, outcomes); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(js.Bytes(), &got); err != nil {
		t.Fatalf("WriteOutcomes() wrote no JSON: %v", err)
	}
	wantJSON := map[string]any{"stage": "warned", "start": 0.008641, "duration": 0.001234, "waited": 0.001, "ops": 1.0, "onError": "warn",
		"errors": []any{"a", "b "}}
	if len(got) != 5 || !reflect.DeepEqual(got[2], wantJSON) || got[0]["onlyIf"] != "asked for" {
		t.Errorf("WriteOutcomes() wrote %v, want five, the third %v", got, wantJSON)
	}
	js.Reset()
	if err := WriteOutcomes(&js, nil); err != nil || strings.TrimSpace(js.String()) != "[]" {
		t.Errorf("WriteOutcomes() of none wrote %q, %v", js.String(), err)
	}
}

func TestWrite(t *testing.T) {
	var done []string
	stages := []Stage[none]{
		{Name: "empty", Plan: fixed()},
		{Name: "left out", If: If("asked for", func(none) bool { return false }), Prepare: func(none) error { panic("prepared") }},
		{Name: "one", OnError: Warn, Plan: fixed(describe{op.Describe("mount", "/a b", "type", "tmpfs", "none", "", "args", []string{"x", "", "\xff\n"}, "list", []string(nil))})},
		{Name: "broken", OnError: Fatal, Plan: func(none) ([]op.Op, error) { return nil, errors.New("line 1\nline 2") }},
		{Name: "after", Plan: fixed(note{"never", nil, &done})},
	}
	var text, js strings.Builder
	if err := WriteText(&text, stages, none{}); err == nil || err.Error() != "broken: line 1\nline 2" {
		t.Errorf("WriteText() = %v, want the failure of stage broken", err)
	}
	const want = `left out: left out, only if asked for
one (warn)
    mount "/a b" type=tmpfs none="" args=[x "" "\xff\n"] list=[]
broken (fatal)
    fatal: line 1 line 2
`
	if text.String() != want {
		t.Errorf("WriteText() wrote\n%swant\n%s", text.String(), want)
	}
	if err := WriteJSON(&js, stages, none{}); err == nil {
		t.Error("WriteJSON() = nil, want the failure of stage broken")
	}
	var got []map[string]any
	if err := json.Unmarshal([]byte(js.String()), &got); err != nil {
		t.Fatalf("WriteJSON() wrote no JSON: %v\n%s", err, js.String())
	}
	if len(got) != 4 || got[3]["error"] != "line 1 line 2" || got[1]["onlyIf"] != "asked for" {
		t.Errorf("WriteJSON() wrote %v, want four stages, the second left out, the last with an error", got)
	}
	operation := got[2]["ops"].([]any)[0].(map[string]any)
	wantOp := map[string]any{"do": "mount", "on": "/a b", "type": "tmpfs", "none": "", "args": []any{"x", "", "\ufffd\n"}, "list": []any{}}
	if !reflect.DeepEqual(operation, wantOp) {
		t.Errorf("WriteJSON() wrote the operation %v, want %v", operation, wantOp)
	}
	if len(done) != 0 {
		t.Errorf("printing did %q", done)
	}
}

// describe is an operation that is nothing but its description.
type describe struct{ desc op.Description }

func (d describe) Describe() op.Description { return d.desc }
func (d describe) Do() error                { panic("printed plans are not carried out") }

// A stage is prepared before it is planned, and only if its condition holds.
func TestPrepare(t *testing.T) {
	var done []string
	type state struct{ wanted, prepared bool }
	stages := []Stage[*state]{{
		Name: "stage", OnError: Warn,
		If: If("wanted", func(s *state) bool { return s.wanted }),
		Prepare: func(s *state) error {
			if s.prepared {
				return errors.New("prepared twice")
			}
			s.prepared = true
			return nil
		},
		Plan: func(s *state) ([]op.Op, error) { return []op.Op{note{fmt.Sprint(s.prepared), nil, &done}}, nil },
	}}
	var warnings []string
	runner := Runner{Warn: func(err error) { warnings = append(warnings, err.Error()) }}
	s := &state{}
	for range 3 { // left out, carried out, failed
		if err := Run(&runner, stages, s); err != nil {
			t.Fatal(err)
		}
		s.wanted = true
	}
	if !reflect.DeepEqual(done, []string{"true"}) || !reflect.DeepEqual(warnings, []string{"stage: prepared twice"}) {
		t.Errorf("done = %q, warnings = %q", done, warnings)
	}
}
