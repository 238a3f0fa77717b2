package boot

import (
	"strconv"
	"strings"
	"time"
)

// Outcome is what became of a stage.
type Outcome struct {
	Stage   string
	OnError Policy
	Ops     int // operations that were carried out
	// Start is by the Runner's Clock.
	Start, Duration time.Duration
	// Errors are its failures; what they mean is OnError. None: all went well.
	Errors []error
}

// String is the outcome on one line, with times in seconds and milliseconds.
func (o Outcome) String() string {
	b := []byte(o.Stage + ": at ")
	b = appendUnits(b, o.Start, time.Second)
	b = appendUnits(append(b, " s, "...), o.Duration, time.Millisecond)
	b = append(b, " ms, "...)
	if len(o.Errors) == 0 {
		return string(append(b, "ok"...))
	}
	b = append(b, o.OnError.String()...)
	for i, err := range o.Errors {
		b = append(b, ":;"[min(i, 1)], ' ')
		b = append(b, Line(err)...)
	}
	return string(b)
}

// AppendOutcomes appends outcomes as a JSON array of objects with the keys stage, start, duration (both in seconds), ops,
// onError and errors, a list.
func AppendOutcomes(b []byte, outcomes []Outcome) []byte {
	b = append(b, '[')
	for i, o := range outcomes {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendJSON(append(b, "\n  {\"stage\": "...), o.Stage)
		b = appendUnits(append(b, ", \"start\": "...), o.Start, time.Second)
		b = appendUnits(append(b, ", \"duration\": "...), o.Duration, time.Second)
		b = strconv.AppendInt(append(b, ", \"ops\": "...), int64(o.Ops), 10)
		b = AppendJSON(append(b, ", \"onError\": "...), o.OnError.String())
		errs := make([]string, len(o.Errors))
		for i, err := range o.Errors {
			errs[i] = Line(err)
		}
		b = append(AppendJSONList(append(b, ", \"errors\": "...), errs), '}')
	}
	return append(b, "\n]\n"...)
}

// appendUnits appends d in a unit of a microsecond or more, to the microsecond: 1.234 ms, 0.001234 s.
func appendUnits(b []byte, d, unit time.Duration) []byte {
	digits := len(strconv.FormatInt(int64(unit/time.Microsecond), 10)) - 1
	us := strconv.FormatInt(int64(max(d, 0)/time.Microsecond), 10)
	if len(us) <= digits {
		us = strings.Repeat("0", digits+1-len(us)) + us
	}
	b = append(b, us[:len(us)-digits]...)
	return append(append(b, '.'), us[len(us)-digits:]...)
}
