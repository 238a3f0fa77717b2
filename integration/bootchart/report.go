// Package bootchart draws what a boot of krunbox took: the kernel, each stage of init with its
// outcome and what it waited for, and the start of the workload. SVG and Text are pure functions of
// a Report, which is read from a guest's /dev/.boot.json, or from its console.
package bootchart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Report has the stages of a boot, in order, including those that were left out.
type Report []Stage

// A Stage is a stage of a boot as krunbox reports it.
type Stage struct {
	Name string
	// Start is the time since the start of the kernel. Waited is the part of Duration in which the
	// stage waited for a lease or a device.
	Start, Duration, Waited time.Duration
	OnError                 string   // what Errors mean: silent, warn or fatal
	Errors                  []string // empty if the stage succeeded
	OnlyIf                  string   // the condition that has left the stage out; empty: it took place
}

// Parse reads a report: the JSON of /dev/.boot.json, or the lines that a console shows with
// KRUN_DEBUG=1, among others. It fails if there are no stages.
func Parse(data []byte) (Report, error) {
	if data = bytes.TrimSpace(data); bytes.HasPrefix(data, []byte("[")) {
		if r, err := parseJSON(data); err == nil || json.Valid(data) {
			return r, err
		}
	}
	var r Report
	for line := range strings.Lines(string(data)) {
		if s, ok := ParseLine(line); ok {
			r = append(r, s)
		}
	}
	if len(r) == 0 {
		return nil, errors.New("no boot report: want /dev/.boot.json of a guest with KRUN_DEBUG=1, or the output of its console")
	}
	return r, nil
}

func parseJSON(data []byte) (Report, error) {
	var list []struct {
		Stage                   string
		Start, Duration, Waited float64 // seconds
		OnError, OnlyIf         string
		Errors                  []string
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("boot report: %w", err)
	}
	r := Report{}
	for _, o := range list {
		s := Stage{Name: o.Stage, Start: seconds(o.Start), Duration: seconds(o.Duration), Waited: seconds(o.Waited),
			OnlyIf: o.OnlyIf}
		if len(o.Errors) > 0 {
			s.OnError, s.Errors = o.OnError, o.Errors
		}
		r = append(r, s)
	}
	if len(r) == 0 {
		return nil, errors.New("the boot report has no stages")
	}
	return r, nil
}

// maxTime is the greatest time in a report. What is beyond is not from a boot.
const maxTime = 1000 * time.Hour

// seconds returns a duration from 0 to maxTime, in whole microseconds.
func seconds(s float64) time.Duration {
	if !(s > 0) { // or not a number
		return 0
	}
	return time.Duration(min(s, maxTime.Seconds())*1e6+0.5) * time.Microsecond
}

// Lines of a console; see the method String of pkg/boot's Outcome.
var (
	leftOutLine = regexp.MustCompile(`^krunbox: (.+?): left out, only if (.+)$`)
	stageLine   = regexp.MustCompile(`^krunbox: (.+?): at (\d+\.\d+) s, (\d+\.\d+) ms, ` +
		`(?:(\d+\.\d+) ms of it waiting, )?(?:ok|(silent|warn|fatal): (.*))$`)
)

// ParseLine parses a line of a console. It returns false if the line is not about a stage. A line
// has all errors of a stage in one.
func ParseLine(line string) (s Stage, ok bool) {
	line = strings.TrimRight(line, "\r\n")
	if m := leftOutLine.FindStringSubmatch(line); m != nil {
		return Stage{Name: m[1], OnlyIf: m[2]}, true
	}
	m := stageLine.FindStringSubmatch(line)
	if m == nil {
		return Stage{}, false
	}
	number := func(text string) float64 {
		f, _ := strconv.ParseFloat(text, 64) // 0 if it is empty
		return f
	}
	s = Stage{Name: m[1], Start: seconds(number(m[2])), Duration: seconds(number(m[3]) / 1000),
		Waited: seconds(number(m[4]) / 1000)}
	if m[5] != "" {
		s.OnError, s.Errors = m[5], []string{m[6]}
	}
	return s, true
}
