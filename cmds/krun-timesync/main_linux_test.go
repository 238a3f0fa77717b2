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

// None of these calls listens to a socket or sets a clock: the VM tests do.
func TestRun(t *testing.T) {
	if guard.Check() == nil {
		t.Skip("in a mount namespace of its own, the command would set the clock")
	}
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"--help", 0, usage, ""},
		{"", failed, "", guard.ErrOwnMachine.Error()},
		{"-once -slew", failed, "", guard.ErrOwnMachine.Error()},
		{"-x", misused, "", "krun-timesync: flag provided but not defined: -x\n"},
		{"-n file", misused, "", `krun-timesync: unexpected argument "file"` + "\n"},
		{"-n -threshold 5", misused, "", `invalid value "5" for flag -threshold: want a time`},
		{"-n -threshold=-1s", misused, "", `invalid value "-1s" for flag -threshold: want a time`},
		{"-n -once -timeout soon", misused, "", `invalid value "soon" for flag -timeout: want a time`},
		{"-n -timeout 1s", misused, "", "-timeout is for -once"},
	} {
		var stdout, stderr strings.Builder
		code := run(append([]string{"krun-timesync"}, strings.Fields(tt.args)...), &stdout, &stderr)
		if code != tt.code || stdout.String() != tt.stdout ||
			!strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("run(%q) = %d, stdout %q, stderr %q, want %d, %q, %q", tt.args, code,
				stdout.String(), stderr.String(), tt.code, tt.stdout, tt.stderr)
		}
	}
}

func TestEventLine(t *testing.T) {
	host, stranger := timesync.Address{CID: 2, Port: 123}, timesync.Address{CID: 1, Port: 4711}
	event := func(action timesync.Action, offset time.Duration, err error) timesync.Event {
		return timesync.Event{From: host, Action: action, Offset: offset, Err: err}
	}
	stepped := event(timesync.Step, 1500*time.Millisecond, nil)
	kept := event(timesync.Keep, -time.Millisecond, nil)
	failed := event(timesync.Slew, time.Millisecond, unix.EPERM)
	malformed := event(timesync.Step, 0, errors.New("\xff\n"))
	refused := timesync.Event{From: stranger, Err: errors.New("a\nb")}
	for _, tt := range []struct{ got, want string }{
		{eventLine(stepped, false, false), "offset 1.5s: stepped"},
		{eventLine(stepped, true, false), "offset 1.5s: would be stepped"},
		{eventLine(kept, true, false), "offset -1ms: kept"},
		{eventLine(failed, false, false), "offset 1ms: not slewed: operation not permitted"},
		{eventLine(stepped, false, true), `{"offsetNs": 1500000000, "action": "stepped", "done": true}`},
		{eventLine(stepped, true, true), `{"offsetNs": 1500000000, "action": "stepped", "done": false}`},
		{eventLine(failed, false, true), `{"offsetNs": 1000000, "action": "slewed", "done": false, ` +
			`"error": "operation not permitted"}`},
		{eventLine(malformed, false, true), `{"offsetNs": 0, "action": "stepped", "done": false, ` +
			`"error": "` + "\ufffd" + ` "}`},
		{traceLine(stepped), "from 2:123: offset 1.5s: stepped"},
		{traceLine(refused), "from 1:4711: refused: a b"},
	} {
		if tt.got != tt.want+"\n" {
			t.Errorf("line = %q, want %q", tt.got, tt.want+"\n")
		}
		if tt.got[0] == '{' && !json.Valid([]byte(tt.got)) {
			t.Errorf("%q is not JSON", tt.got)
		}
	}
}

func TestCountsLine(t *testing.T) {
	c := timesync.Counts{
		Received: 7, Refused: 3, Stepped: 2, Slewed: 1, Offset: -20 * time.Millisecond,
	}
	want := "received 7, refused 3, stepped 2, slewed 1, last offset -20ms\n"
	if got := countsLine(c, false); got != want {
		t.Errorf("countsLine() = %q, want %q", got, want)
	}
	var got map[string]int64
	err := json.Unmarshal([]byte(countsLine(c, true)), &got)
	wantJSON := map[string]int64{
		"received": 7, "refused": 3, "stepped": 2, "slewed": 1, "offsetNs": -20e6,
	}
	if err != nil || !maps.Equal(got, wantJSON) {
		t.Errorf("countsLine() as JSON = %v, %v, want %v", got, err, wantJSON)
	}
}
