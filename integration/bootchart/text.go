package bootchart

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// textWidth is the width of the bars in columns.
const textWidth = 40

// Text returns the chart as text: a line for each stage, with "#" for work, "~" for waiting and "+"
// for the start of processes. The bars begin with the first stage.
func Text(r Report) string {
	c := newChart(r)
	title, details := c.headline()
	names := len("kernel and start of init")
	for _, s := range c.bars {
		names = max(names, utf8.RuneCountInString(s.Name))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n\n%10s  %-*s  |%-*s|\n", title, details, "at", names, "stage", textWidth,
		"# work, ~ waiting, + starts processes")
	row := func(at time.Duration, name, bar, note string) {
		pad := strings.Repeat(" ", names-utf8.RuneCountInString(name))
		fmt.Fprintf(&b, "%10s  %s%s  |%-*s| %s\n", clock(at), printable(name), pad, textWidth, bar, note)
	}
	row(0, "kernel and start of init", "", took(c.kernel))
	for _, s := range c.bars {
		from, to := min(c.column(s.Start), textWidth-1), c.column(s.Start+s.Duration)
		to = max(to, from+1)
		waits := 0
		if s.Waited > 0 {
			waits = max(c.column(s.Start+s.Waited)-from, 1)
		}
		mark := "#"
		if starters[s.Name] {
			mark = "+"
		}
		row(s.Start, s.Name, strings.Repeat(" ", from)+strings.Repeat("~", waits)+strings.Repeat(mark, to-from-waits), s.note())
	}
	if c.started {
		fmt.Fprintf(&b, "%10s  the workload has started\n", clock(c.end))
	}
	for heading, lines := range c.lists() {
		fmt.Fprintf(&b, "\n%s:\n", heading)
		for _, line := range lines {
			b.WriteString("  " + printable(line) + "\n")
		}
	}
	return b.String()
}

// column returns the column of a point in time, from 0 to textWidth.
func (c chart) column(at time.Duration) int {
	if c.end == c.kernel {
		return 0
	}
	return int((at - c.kernel) * textWidth / (c.end - c.kernel))
}

// lists yields the lists below the chart that are not empty, with their headings.
func (c chart) lists() func(yield func(string, []string) bool) {
	return func(yield func(string, []string) bool) {
		if lines := c.messages(); len(lines) > 0 && !yield("Failures", lines) {
			return
		}
		if lines := c.leftOut(); len(lines) > 0 {
			yield("Left out", lines)
		}
	}
}

// printable returns text without control characters.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}
