package bootchart

import (
	"fmt"
	"strings"
	"time"
)

// workload is the name of the stage that starts the workload.
const workload = "workload"

// starters are the stages that start processes.
var starters = map[string]bool{workload: true, "sidecars": true}

// chart is what both pictures show.
type chart struct {
	kernel  time.Duration // until the first stage
	bars    []Stage       // the stages that took place, until the workload has started or the boot has failed
	end     time.Duration
	waited  time.Duration // of all bars
	started bool          // the workload has started
	failed  bool          // a stage has failed that the boot cannot do without
	left    []Stage       // the stages that were left out
}

// newChart returns the chart of a report. The chart ends with the start of the workload, or with the
// stage whose failure ended the boot.
func newChart(r Report) chart {
	var c chart
	for _, s := range r {
		if s.OnlyIf != "" {
			c.left = append(c.left, s)
			continue
		}
		if len(c.bars) == 0 {
			c.kernel = s.Start
		}
		s.Start = max(s.Start, c.kernel)
		s.Waited = min(s.Waited, s.Duration)
		c.bars = append(c.bars, s)
		c.end = max(c.end, s.Start+s.Duration)
		c.waited += s.Waited
		c.failed = s.OnError == "fatal" && len(s.Errors) > 0
		if c.started = s.Name == workload && !c.failed; c.started || c.failed {
			break
		}
	}
	return c
}

// headline returns a title, and a line that says what took the time.
func (c chart) headline() (title, details string) {
	switch {
	case c.started:
		title = "Boot to the workload: "
	case c.failed:
		title = "Boot that failed: "
	default: // with KRUN_INIT_PID1, nobody is left to report the start of the workload
		title = "Boot to the last stage that was reported: "
	}
	title += clock(c.end)
	details = fmt.Sprintf("kernel and start of init %s, stages of init %s", clock(c.kernel), clock(c.end-c.kernel))
	if c.waited > 0 {
		details += fmt.Sprintf(", %s of them waiting", took(c.waited))
	}
	return title, details
}

// messages returns a line for each stage with errors.
func (c chart) messages() (lines []string) {
	for _, s := range c.bars {
		if len(s.Errors) > 0 {
			lines = append(lines, fmt.Sprintf("%s: %s: %s", s.Name, s.OnError, strings.Join(s.Errors, "; ")))
		}
	}
	return lines
}

// leftOut returns a line for each stage that was left out.
func (c chart) leftOut() (lines []string) {
	for _, s := range c.left {
		lines = append(lines, s.Name+": only if "+s.OnlyIf)
	}
	return lines
}

// clock returns a point in time, in seconds.
func clock(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// took returns a duration in milliseconds, or in seconds from a second on.
func took(d time.Duration) string {
	switch {
	case d >= time.Second:
		return clock(d)
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// note returns what is written next to a stage's bar.
func (s Stage) note() string {
	text := took(s.Duration)
	if s.Waited > 0 {
		text += ", waited " + took(s.Waited)
	}
	if len(s.Errors) > 0 {
		return text + ", " + s.OnError
	}
	return text + ", ok"
}
