package boot

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// op is an operation that notes that it was done.
type op struct {
	name string
	err  error
	done *[]string
}

func (o op) Describe() Desc { return Desc{Verb: "do", Object: o.name} }

func (o op) Do() error {
	*o.done = append(*o.done, o.name)
	if o.name == "panics" {
		panic("out of luck")
	}
	return o.err
}

// none is what these stages know.
type none struct{}

// fixed is a plan of operations that are known from the start.
func fixed(ops ...Op) func(none) ([]Op, error) {
	return func(none) ([]Op, error) { return ops, nil }
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
			ops := []Op{op{"one", bad, &done}, op{"panics", nil, &done}, op{"three", nil, &done}}
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

func TestRunPlansInTurn(t *testing.T) {
	var done []string
	stages := []Stage[none]{
		{Name: "first", Plan: fixed(op{"one", nil, &done})},
		{Name: "second", Plan: func(none) ([]Op, error) {
			return []Op{op{"after " + strings.Join(done, " "), nil, &done}}, nil
		}},
		{Name: "third", OnError: Warn, Plan: func(none) ([]Op, error) {
			return []Op{op{"last", nil, &done}}, errors.Join(errors.New("a"), errors.New("b"))
		}},
		{Name: "fourth", Plan: func(none) ([]Op, error) { panic("in a plan") }},
		{Name: "fifth", Plan: fixed(op{"never", nil, &done})},
	}
	var warnings []string
	runner := Runner{Warn: func(err error) { warnings = append(warnings, err.Error()) }}
	err := Run(&runner, stages, none{})
	if want := []string{"one", "after one", "last"}; !reflect.DeepEqual(done, want) {
		t.Errorf("done = %q, want %q", done, want)
	}
	if want := []string{"third: a", "third: b"}; !reflect.DeepEqual(warnings, want) {
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
		{Name: "well", Plan: fixed(op{"1", nil, &done}, op{"2", nil, &done})},
		{Name: "warned", OnError: Warn, Plan: fixed(op{"3", errors.Join(a, b), &done})},
		{Name: "silent", OnError: Silent, Plan: func(none) ([]Op, error) { return nil, a }},
		{Name: "fatal", Plan: fixed(op{"4", b, &done}, op{"never", nil, &done})},
		{Name: "never", Plan: fixed(op{"never", nil, &done})},
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
	if err := Run(&runner, stages, none{}); err == nil {
		t.Error("Run() = nil, want the failure of stage fatal")
	}
	want := []string{
		"well: at 0.003703 s, 1.234 ms, ok",
		"warned: at 0.006172 s, 1.234 ms, warn: a; b ",
		"silent: at 0.008641 s, 1.234 ms, silent: a",
		"fatal: at 0.011111 s, 1.234 ms, fatal: b ",
	}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("the outcomes are\n%q, want\n%q", lines, want)
	}
	var got []map[string]any
	if err := json.Unmarshal(AppendOutcomes(nil, outcomes), &got); err != nil {
		t.Fatalf("AppendOutcomes() is no JSON: %v", err)
	}
	wantJSON := map[string]any{"stage": "warned", "start": 0.006172, "duration": 0.001234, "ops": 1.0, "onError": "warn",
		"errors": []any{"a", "b "}}
	if len(got) != 4 || !reflect.DeepEqual(got[1], wantJSON) {
		t.Errorf("AppendOutcomes() = %v, want four, the second %v", got, wantJSON)
	}
	if err := json.Unmarshal(AppendOutcomes(nil, nil), &got); err != nil || len(got) != 0 {
		t.Errorf("AppendOutcomes() of none = %v, %v", got, err)
	}
}

func TestWrite(t *testing.T) {
	var done []string
	stages := []Stage[none]{
		{Name: "empty", Plan: fixed()},
		{Name: "one", OnError: Warn, Plan: fixed(describe{Desc{Verb: "mount", Object: "/a b", Attrs: []Attr{
			A("type", "tmpfs"), A("none", ""), L("args", []string{"x", "", "\xff\n"}), L("list", nil)}}})},
		{Name: "broken", OnError: Fatal, Plan: func(none) ([]Op, error) { return nil, errors.New("line 1\nline 2") }},
		{Name: "after", Plan: fixed(op{"never", nil, &done})},
	}
	var text, js strings.Builder
	if err := WriteText(&text, stages, none{}); err == nil || err.Error() != "broken: line 1\nline 2" {
		t.Errorf("WriteText() = %v, want the failure of stage broken", err)
	}
	const want = `one (warn)
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
	if len(got) != 3 || got[2]["error"] != "line 1 line 2" {
		t.Errorf("WriteJSON() wrote %v, want three stages, the last with an error", got)
	}
	op := got[1]["ops"].([]any)[0].(map[string]any)
	wantOp := map[string]any{"do": "mount", "on": "/a b", "type": "tmpfs", "none": "", "args": []any{"x", "", "\ufffd\n"}, "list": []any{}}
	if !reflect.DeepEqual(op, wantOp) {
		t.Errorf("WriteJSON() wrote the operation %v, want %v", op, wantOp)
	}
	if len(done) != 0 {
		t.Errorf("printing did %q", done)
	}
}

// describe is an operation that is nothing but its description.
type describe struct{ desc Desc }

func (d describe) Describe() Desc { return d.desc }
func (d describe) Do() error      { panic("printed plans are not carried out") }
