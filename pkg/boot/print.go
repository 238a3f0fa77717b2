package boot

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/krunbox/krunbox/pkg/jsonio"
	"github.com/krunbox/krunbox/pkg/op"
)

// WriteText prints the stages and what they would do, one operation a line, without doing it. A
// stage that is left out by its condition is printed with the condition; one without operations is
// not printed. WriteText returns the first failure of a Fatal stage, after it has printed the
// stages up to there.
func WriteText[G any](w io.Writer, stages []Stage[G], g G) error {
	var b strings.Builder
	planErr := walk(stages, g, func(s Stage[G], left bool, ops []op.Op, err error) {
		switch {
		case left:
			fmt.Fprintf(&b, "%s: left out, only if %s\n", s.Name, s.If.Text)
			return
		case len(ops) == 0 && err == nil:
			return
		}
		fmt.Fprintf(&b, "%s (%v)\n", s.Name, s.OnError)
		for _, line := range lines(each(err)) {
			fmt.Fprintf(&b, "    %v: %s\n", s.OnError, line)
		}
		for _, operation := range ops {
			fmt.Fprintf(&b, "    %v\n", operation.Describe())
		}
	})
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return planErr
}

// WriteJSON is WriteText for programs: it prints an array of objects with the members stage,
// onError, ops and, where they apply, onlyIf (the condition that leaves the stage out) and error.
// Operations are encoded as op.Description says.
func WriteJSON[G any](w io.Writer, stages []Stage[G], g G) error {
	var list jsonio.List[jsonio.Object]
	planErr := walk(stages, g, func(s Stage[G], left bool, ops []op.Op, err error) {
		stage := jsonio.NewObject("stage", s.Name, "onError", s.OnError)
		if left {
			stage = append(stage, jsonio.Member{Name: "onlyIf", Value: s.If.Text})
		}
		if err != nil {
			stage = append(stage, jsonio.Member{Name: "error", Value: Line(err)})
		}
		var descriptions jsonio.List[op.Description]
		for _, operation := range ops {
			descriptions = append(descriptions, operation.Describe())
		}
		list = append(list, append(stage, jsonio.Member{Name: "ops", Value: descriptions}))
	})
	if err := writeJSON(w, list); err != nil {
		return err
	}
	return planErr
}

// WriteOutcomes prints outcomes as a JSON array of objects with the members stage, start, duration,
// waited (in seconds; left out if it is 0), ops, onError, onlyIf (the condition that has left the
// stage out) and errors, an array.
func WriteOutcomes(w io.Writer, outcomes []Outcome) error {
	seconds := func(d time.Duration) float64 { return d.Truncate(time.Microsecond).Seconds() }
	var list jsonio.List[jsonio.Object]
	for _, o := range outcomes {
		object := jsonio.NewObject("stage", o.Stage, "start", seconds(o.Start),
			"duration", seconds(o.Duration), "ops", o.Ops, "onError", o.OnError, "errors", lines(o.Errors))
		if o.Waited > 0 {
			object = append(object, jsonio.Member{Name: "waited", Value: seconds(o.Waited)})
		}
		if o.OnlyIf != "" {
			object = append(object, jsonio.Member{Name: "onlyIf", Value: o.OnlyIf})
		}
		list = append(list, object)
	}
	return writeJSON(w, list)
}

// writeJSON prints a value and a newline.
func writeJSON(w io.Writer, value jsonio.Appender) error {
	text := jsonio.Indent(value.AppendJSON(nil))
	_, err := w.Write(append(text, '\n'))
	return err
}

// walk plans every stage and passes it to visit. A Fatal stage that can't be planned is the last
// one.
func walk[G any](stages []Stage[G], g G,
	visit func(s Stage[G], left bool, ops []op.Op, err error),
) error {
	for _, s := range stages {
		left, ops, err := s.plan(g)
		visit(s, left, ops, err)
		if err != nil && s.OnError == Fatal {
			return &Error{s.Name, err}
		}
	}
	return nil
}
