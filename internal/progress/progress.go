// Package progress tells a person who waits what a program is doing: a download, for example, with
// a percentage. Steps that take a moment are not reported.
//
// The code that does the work starts a Step on the context that it has. It need not know whether
// anybody listens:
//
//	step := progress.Start(ctx, "downloading the guest kernel")
//	defer step.End()
//	...
//	step.Set(received, size)
package progress

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Times of reports. A terminal has one line, which changes; elsewhere, each report is a line.
const (
	terminalDelay    = 300 * time.Millisecond // after the start of a step
	terminalInterval = 200 * time.Millisecond
	lineDelay        = 3 * time.Second
	lineInterval     = 10 * time.Second
)

// reporter prints the progress of steps.
type reporter struct {
	mu       sync.Mutex
	w        io.Writer
	prefix   string
	terminal bool
}

type key struct{}

// With returns a context whose steps are reported to w. Each line begins with prefix, such as
// "krunhost: ". terminal is whether w is a terminal.
func With(ctx context.Context, w io.Writer, prefix string, terminal bool) context.Context {
	return context.WithValue(ctx, key{}, &reporter{w: w, prefix: prefix, terminal: terminal})
}

// A Step is a piece of work that can take long.
type Step struct {
	what    string
	report  *reporter
	started time.Time
	stop    chan struct{}
	stopped chan struct{}

	mu          sync.Mutex
	done, total int64
	shown       string // the last report
}

// Start begins a step. What says what is being done: "downloading the guest kernel". If the context
// is not from With, nothing is reported. The caller must call End.
func Start(ctx context.Context, what string) *Step {
	s := &Step{what: what, started: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	if s.report, _ = ctx.Value(key{}).(*reporter); s.report == nil {
		close(s.stopped)
		return s
	}
	go s.run()
	return s
}

// Set sets how much of the work is done, in any unit. A total of 0 or less is unknown.
func (s *Step) Set(done, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done, s.total = done, total
}

// End ends the step. If it was reported, so is its end. End can be called once.
func (s *Step) End() {
	close(s.stop)
	<-s.stopped
	if s.shown == "" {
		return
	}
	s.print(fmt.Sprintf("%s: %.0f s", s.what, time.Since(s.started).Seconds()), "\n")
}

// run reports the step until it ends.
func (s *Step) run() {
	defer close(s.stopped)
	wait, interval, end := lineDelay, lineInterval, "\n"
	if s.report.terminal {
		wait, interval, end = terminalDelay, terminalInterval, ""
	}
	for {
		timer := time.NewTimer(wait)
		select {
		case <-s.stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = interval
		s.print(s.text(), end)
	}
}

// text returns the state of the step.
func (s *Step) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total <= 0 {
		return s.what + " ..."
	}
	return fmt.Sprintf("%s: %d %%", s.what, min(100*s.done/s.total, 100))
}

// print prints a report, unless it is the last one.
func (s *Step) print(text, end string) {
	if text == s.shown {
		return
	}
	s.shown = text
	s.report.mu.Lock()
	defer s.report.mu.Unlock()
	text = s.report.prefix + text + end
	if s.report.terminal {
		text = "\r\x1b[K" + text // clears the line
	}
	_, _ = io.WriteString(s.report.w, text) // nothing depends on it
}
