package main

import (
	"encoding/json"
	"errors"
	"flag"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/integration/vm"
)

func TestParseOptions(t *testing.T) {
	got, err := parseOptions([]string{
		"--root", "r", "--file", "/a=b", "--file=/c=d=e:one-shot", "--env", "A=b", "--env", "C=",
		"--config", "c", "--init", "i", "--arch", "arm64", "--port", "p", "--port", "q=f", "--net",
		"--disk", "d", "--disk", "e:f:ro", "--share", "t=s=u", "--mem", "256", "--cpus", "2",
		"--timeout", "1m", "-v",
		"--", "cmd", "-v", "--", "x",
	})
	want := &options{
		root:    "r",
		files:   []file{{name: "/a", path: "b"}, {name: "/c", path: "d=e", oneShot: true}},
		env:     []string{"KRUN_DHCP=1", "A=b", "C="},
		config:  "c",
		init:    "i",
		arch:    "arm64",
		ports:   []port{{name: "p"}, {name: "q", path: "f"}},
		net:     true,
		disks:   []vm.Disk{{Path: "d"}, {Path: "e:f", ReadOnly: true}},
		shares:  []vm.Share{{Tag: "t", Dir: "s=u"}},
		memMiB:  256,
		cpus:    2,
		timeout: time.Minute,
		verbose: true,
		command: []string{"cmd", "-v", "--", "x"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseOptions() = %+v, %v, want %+v", got, err, want)
	}
	got, err = parseOptions([]string{})
	want = &options{arch: runtime.GOARCH, memMiB: 512, cpus: 1, command: []string{}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseOptions() = %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseOptions([]string{"--help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("parseOptions(--help) = %v, want %v", err, flag.ErrHelp)
	}
	for _, args := range []string{
		"--bogus", "--root", "--file /a", "--file a=b", "--file /a=", "--env A", "--env =b",
		"--port =f", "--disk :ro", "--share =d", "--share t", "--mem 0", "--mem x", "--cpus -1",
	} {
		if got, err := parseOptions(strings.Fields(args)); err == nil {
			t.Errorf("parseOptions(%s) = %+v, want an error", args, got)
		}
	}
}

// TestHelp checks that the help text describes each option.
func TestHelp(t *testing.T) {
	for _, name := range []string{
		"--root", "--file", "--env", "--config", "--init", "--arch", "--port", "--net", "--disk", "--share", "--mem",
		"--cpus", "--timeout", "-v",
	} {
		if !strings.Contains(help, "\n  "+name+" ") {
			t.Errorf("help does not describe %s", name)
		}
	}
}

func TestSplitEnv(t *testing.T) {
	init, command := splitEnv([]string{"A=1", "KRUN_DHCP=1", "HOSTNAME=h", "HOSTNAMES=x", "XKRUN_=1"})
	if got, want := strings.Join(init, " "), "KRUN_DHCP=1 HOSTNAME=h"; got != want {
		t.Errorf("variables for init = %q, want %q", got, want)
	}
	if got, want := strings.Join(command, " "), "A=1 HOSTNAMES=x XKRUN_=1"; got != want {
		t.Errorf("variables for the command = %q, want %q", got, want)
	}
}

func TestGuestConfig(t *testing.T) {
	type process struct {
		Args, Env []string
		Cwd       string
	}
	want := process{Args: []string{"a", "", "\"\\\n\t\x01\x7f", "é €"}, Env: []string{"A=b c"}, Cwd: "/"}
	var got struct{ Process process }
	b := guestConfig(want.Args, want.Env)
	if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got.Process, want) {
		t.Errorf("guestConfig() = %s, decoded %+v, %v, want %+v", b, got.Process, err, want)
	}
	for _, tt := range []struct {
		args, env []string
		want      string
	}{
		{nil, nil, `{"process":{"env":[],"cwd":"/"}}`},
		{[]string{"\xff\xfe"}, []string{"A=1", "B=2"},
			`{"process":{"args":["` + "\xff\xfe" + `"],"env":["A=1","B=2"],"cwd":"/"}}`},
	} {
		if got := string(guestConfig(tt.args, tt.env)); got != tt.want {
			t.Errorf("guestConfig(%q, %q) = %q, want %q", tt.args, tt.env, got, tt.want)
		}
	}
}

func TestWithDefaults(t *testing.T) {
	if got := withDefaults([]string{"A=1", "PATH="}); len(got) != 2 {
		t.Errorf("withDefaults() with a PATH = %q, want it unchanged", got)
	}
	if got := withDefaults(nil); len(got) != 1 || !strings.HasPrefix(got[0], "PATH=/") {
		t.Errorf("withDefaults() without a PATH = %q, want a PATH", got)
	}
}
