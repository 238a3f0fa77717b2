package main

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/timesync"
)

// None of these listens to anything, or sets a clock: that is what VM tests are for.
func TestRun(t *testing.T) {
	if guard.Check() == nil {
		t.Skip("the tests run in namespaces of their own, where this acts")
	}
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"--help", 0, usage, ""},
		{"", failed, "", guard.ErrOwnMachine.Error()},
		{"-once -slew", failed, "", guard.ErrOwnMachine.Error()},
		{"-x", misused, "", "-x: no such option"},
		{"-n file", misused, "", "file: unexpected argument"},
		{"-n -threshold 5", misused, "", "-threshold: \"5\": want a time"},
		{"-n -threshold=-1s", misused, "", "-threshold: \"-1s\": want a time"},
		{"-n -once -timeout soon", misused, "", "-timeout: \"soon\": want a time"},
		{"-n -timeout 1s", misused, "", "-timeout is for -once"},
	} {
		var stdout, stderr strings.Builder
		code := run(append([]string{"krun-timesync"}, strings.Fields(tt.args)...), &stdout, &stderr)
		if code != tt.code || stdout.String() != tt.stdout || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("run(%q) = %d, stdout %q, stderr %q, want %d, %q, %q", tt.args, code, stdout.String(), stderr.String(),
				tt.code, tt.stdout, tt.stderr)
		}
	}
}

func TestAppendEvent(t *testing.T) {
	host, stranger := timesync.Address{CID: 2, Port: 123}, timesync.Address{CID: 1, Port: 4711}
	stepped := timesync.Event{From: host, Action: timesync.Step, Offset: 1500 * time.Millisecond}
	kept := timesync.Event{From: host, Action: timesync.Keep, Offset: -time.Millisecond}
	failed := timesync.Event{From: host, Action: timesync.Slew, Offset: time.Millisecond, Err: unix.EPERM}
	refused := timesync.Event{From: stranger, Err: errors.New("a\nb")}
	for _, tt := range []struct{ got, want []byte }{
		{appendEvent(nil, stepped, false, false), []byte("offset 1.5s: stepped\n")},
		{appendEvent(nil, stepped, true, false), []byte("offset 1.5s: would be stepped\n")},
		{appendEvent(nil, kept, true, false), []byte("offset -1ms: kept\n")},
		{appendEvent(nil, failed, false, false), []byte("offset 1ms: not slewed: operation not permitted\n")},
		{appendEvent(nil, stepped, false, true), []byte(`{"offsetNs": 1500000000, "action": "stepped", "done": true}` + "\n")},
		{appendEvent(nil, stepped, true, true), []byte(`{"offsetNs": 1500000000, "action": "stepped", "done": false}` + "\n")},
		{appendEvent(nil, failed, false, true),
			[]byte(`{"offsetNs": 1000000, "action": "slewed", "done": false, "error": "operation not permitted"}` + "\n")},
		{appendTrace(nil, stepped), []byte("from 2:123: offset 1.5s: stepped\n")},
		{appendTrace(nil, refused), []byte("from 1:4711: refused: a b\n")},
	} {
		if string(tt.got) != string(tt.want) {
			t.Errorf("line = %q, want %q", tt.got, tt.want)
		}
		if tt.got[0] == '{' && !json.Valid(tt.got) {
			t.Errorf("%q is no JSON", tt.got)
		}
	}
}

func TestAppendCounts(t *testing.T) {
	c := timesync.Counts{Received: 7, Refused: 3, Stepped: 2, Slewed: 1, Offset: -20 * time.Millisecond}
	want := "received 7, refused 3, stepped 2, slewed 1, last offset -20ms\n"
	if got := string(appendCounts(nil, c, false)); got != want {
		t.Errorf("counts = %q, want %q", got, want)
	}
	var got map[string]int64
	err := json.Unmarshal(appendCounts(nil, c, true), &got)
	wantJSON := map[string]int64{"received": 7, "refused": 3, "stepped": 2, "slewed": 1, "offsetNs": -20e6}
	if err != nil || !maps.Equal(got, wantJSON) {
		t.Errorf("counts = %v, %v, want %v", got, err, wantJSON)
	}
}
