package boot

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// sample is a boot with each kind of outcome.
var sample = []Outcome{
	{Stage: "signals", Start: time.Second, Duration: 10 * time.Millisecond, Ops: 1},
	{Stage: "root", OnlyIf: "a block root is asked for", Start: 1010 * time.Millisecond},
	{Stage: "lease", Start: 1100 * time.Millisecond, Duration: 200 * time.Millisecond, Waited: 150 * time.Millisecond,
		OnError: Warn, Errors: []error{errors.New("a\tz"), errors.New("b")}},
	{Stage: "silent", Start: 1300 * time.Millisecond, OnError: Silent, Errors: []error{errors.New("c")}},
	{Stage: "workload", Start: 1380 * time.Millisecond, Duration: 20 * time.Millisecond, Ops: 1},
	{Stage: "supervision", Start: 1400 * time.Millisecond, Duration: time.Hour},
}

func TestWriteChart(t *testing.T) {
	var report bytes.Buffer
	if err := WriteOutcomes(&report, sample); err != nil {
		t.Fatal(err)
	}
	outcomes, err := ParseOutcomes(report.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		want := sample[i]
		want.Ops = 0 // are not read
		if len(want.Errors) > 0 {
			want.Errors = []error{errors.New(strings.Join(lines(want.Errors), "; "))}
		}
		if got := fmt.Sprintf("%v %v %v", o, o.Start, o.OnError); got != fmt.Sprintf("%v %v %v", want, want.Start, want.OnError) {
			t.Errorf("ParseOutcomes() of what WriteOutcomes wrote: %s, want %v", got, want)
		}
	}
	var text strings.Builder
	if err := WriteChart(&text, outcomes, "workload"); err != nil {
		t.Fatal(err)
	}
	const want = `    1.000 s  signals   |#                                       | 10.000 ms, ok
    1.100 s  lease     |          ~~~~~~~~~~~~~~~#####          | 200.000 ms, 150.000 ms of it waiting, warn: a z; b
    1.300 s  silent    |                              #         | 0.000 ms, silent: c
    1.380 s  workload  |                                      ##| 20.000 ms, ok
root: left out, only if a block root is asked for
`
	if text.String() != want {
		t.Errorf("WriteChart() wrote\n%swant\n%s", text.String(), want)
	}
	text.Reset()
	outcomes[2].OnError = Fatal
	if err := WriteChart(&text, outcomes, "workload"); err != nil || strings.Contains(text.String(), "silent") {
		t.Errorf("WriteChart() of a failed boot = %v, wrote\n%s", err, text.String())
	}
}

// TestParseOutcomesErrors parses texts that are not reports. It must not succeed, nor panic.
func TestParseOutcomesErrors(t *testing.T) {
	for _, text := range []string{
		"", "{}", "[1]", `[{"stage": 1}]`, `[{"start": "1"}]`, `[{"start": -1}]`, `[{"duration": 1e300}]`,
		`[{"errors": {}}]`, "[]]", `[{"stage": "a"}`,
	} {
		if got, err := ParseOutcomes([]byte(text)); err == nil {
			t.Errorf("ParseOutcomes(%s) = %v, want an error", text, got)
		}
	}
}

func FuzzWriteChart(f *testing.F) {
	var report bytes.Buffer
	if err := WriteOutcomes(&report, sample); err != nil {
		f.Fatal(err)
	}
	f.Add(report.Bytes())
	f.Add([]byte(`[{"stage": "b", "start": 2, "waited": 3}, {"stage": "a", "start": 1, "duration": 1e7}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		outcomes, err := ParseOutcomes(text)
		if err == nil {
			err = WriteChart(new(bytes.Buffer), outcomes, "workload")
			if err != nil {
				t.Error(err)
			}
		}
	})
}
