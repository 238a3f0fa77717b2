package boot

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/krunbox/krunbox/pkg/jsonio"
)

// ParseOutcomes parses what WriteOutcomes has written. Outcome.Errors have their text only, and wrap
// nothing.
func ParseOutcomes(text []byte) (outcomes []Outcome, err error) {
	r := jsonio.NewReader(text)
	err = r.List(func() error {
		var o Outcome
		err := r.Object(func(name string) error { return o.parseMember(r, name) })
		outcomes = append(outcomes, o)
		return err
	})
	if err == nil {
		err = r.End()
	}
	return outcomes, err
}

// parseMember parses a member of the object that stands for o.
func (o *Outcome) parseMember(r *jsonio.Reader, name string) error {
	switch name {
	case "stage":
		return r.Text(&o.Stage)
	case "start":
		return parseSeconds(r, &o.Start)
	case "duration":
		return parseSeconds(r, &o.Duration)
	case "waited":
		return parseSeconds(r, &o.Waited)
	case "onlyIf":
		return r.Text(&o.OnlyIf)
	case "onError":
		var policy string
		err := r.Text(&policy)
		for o.OnError = Fatal; o.OnError < Silent && o.OnError.String() != policy; {
			o.OnError++
		}
		return err
	case "errors":
		return r.List(func() error {
			var text string
			err := r.Text(&text)
			o.Errors = append(o.Errors, textError(text))
			return err
		})
	}
	return r.Skip()
}

// textError is an error of which only the text is known.
type textError string

func (e textError) Error() string { return string(e) }

// parseSeconds parses a number of seconds, from 0 to a year.
func parseSeconds(r *jsonio.Reader, to *time.Duration) error {
	raw, err := r.Raw()
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || seconds < 0 || seconds > 366*24*3600 {
		return r.Fail(fmt.Errorf("%.20s is not a number of seconds", raw))
	}
	*to = time.Duration(seconds*1e6+0.5) * time.Microsecond
	return nil
}

// chartWidth is the width of the bars of WriteChart in columns.
const chartWidth = 40

// WriteChart prints outcomes as a chart, a line for each stage up to the one called last, or up to
// the failure of a Fatal stage: when it began, a bar, how long it took, and its outcome. "~" stands
// for waiting, "#" for the rest. The stages that were left out follow.
func WriteChart(w io.Writer, outcomes []Outcome, last string) error {
	var rows, left []Outcome
	names, end := 0, time.Duration(0)
	for _, o := range outcomes {
		if o.OnlyIf != "" {
			left = append(left, o)
			continue
		}
		rows = append(rows, o)
		names = max(names, utf8.RuneCountInString(o.Stage))
		end = max(end, o.Start+o.Duration)
		if o.Stage == last || o.OnError == Fatal && len(o.Errors) > 0 {
			break
		}
	}
	var b strings.Builder
	for _, o := range rows {
		begin := rows[0].Start
		column := func(at time.Duration) int {
			return min(int((at-begin)*chartWidth/max(end-begin, 1)), chartWidth)
		}
		from := max(min(column(o.Start), chartWidth-1), 0)
		long := max(column(o.Start+o.Duration)-from, 1)
		waited := min(max(column(o.Start+o.Waited)-from, 0), long)
		bar := strings.Repeat(" ", from) + strings.Repeat("~", waited) + strings.Repeat("#", long-waited)
		fmt.Fprintf(&b, "%9.3f s  %-*s  |%-*s| %s\n", o.Start.Seconds(), names, o.Stage, chartWidth, bar, o.result())
	}
	for _, o := range left {
		fmt.Fprintf(&b, "%s\n", o)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
