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

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/krunbox/krunbox/integration/vm"
)

func TestParseOptions(t *testing.T) {
	got, err := parseOptions([]string{
		"--root", "r", "--file", "/a=b", "--file=/c=d=e:one-shot", "--env", "A=b", "--env", "C=",
		"--config", "c", "--init", "i", "--arch", "arm64", "--port", "p", "--port", "q=f", "--net",
		"--publish", "8080:80", "--publish", "1:65535",
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
		publish: []forward{{8080, 80}, {1, 65535}},
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
	got, err = parseOptions([]string{"--image", "i", "--publish", "8080:80"})
	want = &options{image: "i", net: true, publish: []forward{{8080, 80}}, env: []string{"KRUN_DHCP=1"},
		arch: runtime.GOARCH, memMiB: 512, cpus: 1, command: []string{}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseOptions() = %+v, %v, want %+v", got, err, want)
	}
	got, err = parseOptions([]string{"--boot-chart", "f", "--env", "KRUN_DEBUG=0"})
	want = &options{chart: "f", env: []string{"KRUN_DEBUG=0", "KRUN_DEBUG=1"},
		arch: runtime.GOARCH, memMiB: 512, cpus: 1, command: []string{}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseOptions() = %+v, %v, want %+v", got, err, want)
	}
	devices := strings.Fields("--net" + strings.Repeat(" --disk d --share t=s", 3))
	const tooMany = "--disk, --share and --net: want at most 5 of them together, have 7"
	if _, err := parseOptions(append(devices, "--arch", "amd64")); err == nil || err.Error() != tooMany {
		t.Errorf("parseOptions(%s) = %v, want %s", devices, err, tooMany)
	}
	if _, err := parseOptions(append(devices, "--arch", "arm64")); err != nil {
		t.Errorf("parseOptions(%s --arch arm64) = %v, want no error", devices, err)
	}
	if _, err := parseOptions([]string{"--help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("parseOptions(--help) = %v, want %v", err, flag.ErrHelp)
	}
	for _, args := range []string{
		"--bogus", "--root", "--file /a", "--file a=b", "--file /a=", "--env A", "--env =b",
		"--port =f", "--disk :ro", "--share =d", "--share t", "--root d --image f",
		"--publish 80", "--publish 0:80", "--publish 80:0", "--publish 80:65536", "--publish a:80", "--publish 1:2:3", "--mem 0", "--mem x", "--cpus -1",
	} {
		if got, err := parseOptions(strings.Fields(args)); err == nil {
			t.Errorf("parseOptions(%s) = %+v, want an error", args, got)
		}
	}
}

// TestHelp checks that usage and manual describe each option, and that usage fits on a screen.
func TestHelp(t *testing.T) {
	for _, name := range []string{
		"--root", "--image", "--file", "--env", "--config", "--init", "--arch", "--port", "--net", "--publish",
		"--disk", "--share", "--mem", "--cpus", "--timeout", "--boot-chart", "-v", "--manual",
	} {
		for _, text := range []string{usage, manual} {
			if !strings.Contains("\n"+text, "\n  "+name+" ") {
				t.Errorf("no description of %s in:\n%s", name, text)
			}
		}
	}
	if lines := strings.Count(usage, "\n"); lines > 24 {
		t.Errorf("usage has %d lines, want at most 24", lines)
	}
	for line := range strings.Lines(usage + manual) {
		if len(line) > 101 { // with the line feed
			t.Errorf("line of %d bytes, want at most 100: %s", len(line)-1, line)
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

func TestImageConfig(t *testing.T) {
	config := v1.Config{
		Entrypoint: []string{"/entry", "é"}, Cmd: []string{"a", "b"}, Env: []string{"A=1", "B=2", "PATH=/bin"},
		User: "app:staff", WorkingDir: "/srv/\"x\"", StopSignal: "SIGQUIT",
	}
	for _, tt := range []struct {
		name         string
		config       v1.Config
		command, env []string
		want, err    string
	}{
		{"image", config, nil, nil, `{"Env":["A=1","B=2","PATH=/bin"],"Entrypoint":["/entry","é"],` +
			`"Cmd":["a","b"],"User":"app:staff","WorkingDir":"/srv/\"x\"","StopSignal":"SIGQUIT"}`, ""},
		{"command and variables", config, []string{"c"}, []string{"B=3"},
			`{"Env":["B=3","A=1","PATH=/bin"],"Entrypoint":["/entry","é"],"Cmd":["c"],` +
				`"User":"app:staff","WorkingDir":"/srv/\"x\"","StopSignal":"SIGQUIT"}`, ""},
		{"command only", v1.Config{Cmd: []string{"a"}}, nil, nil,
			`{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["a"]}`, ""},
		{"nothing", v1.Config{}, nil, []string{"PATH="}, "",
			"the image names no program: give one after --"},
	} {
		got, err := imageConfig(&tt.config, tt.command, tt.env)
		if string(got) != tt.want || err == nil && tt.err != "" || err != nil && err.Error() != tt.err {
			t.Errorf("%s: imageConfig() = %s, %v, want %s, %s", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestStopTime(t *testing.T) {
	for _, tt := range []struct {
		env  []string
		want time.Duration
	}{
		{nil, 10 * time.Second},
		{[]string{"KRUN_STOP_TIMEOUT=3", "A=b"}, 3 * time.Second},
		{[]string{"KRUN_STOP_TIMEOUT=3", "KRUN_STOP_TIMEOUT=0"}, 0},
		{[]string{"KRUN_STOP_TIMEOUT=x"}, 10 * time.Second},
	} {
		if got := stopTime(tt.env); got != tt.want {
			t.Errorf("stopTime(%q) = %v, want %v", tt.env, got, tt.want)
		}
	}
}
