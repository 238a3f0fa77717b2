package guestinit

import (
	"os"
	"strings"
	"testing"
	"testing/quick"

	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// checkConfig reports an error if EncodeConfig can't express c or Parse reads something else.
func checkConfig(t *testing.T, c guestconfig.Config) bool {
	t.Helper()
	data, err := EncodeConfig(c)
	if err != nil {
		t.Errorf("EncodeConfig(%+v) = %v, want no error", c, err)
		return false
	}
	got, err := guestconfig.Parse(data)
	if err != nil || !equal(c, got) {
		t.Errorf("Parse(%q) = %+v, %v, want %+v", data, got, err, c)
		return false
	}
	return true
}

func TestEncodeConfigAny(t *testing.T) {
	check := func(c anyConfig) bool { return checkConfig(t, c.Config) }
	if err := quick.Check(check, &quick.Config{MaxCount: 500}); err != nil {
		t.Error(err)
	}
}

func TestEncodeConfig(t *testing.T) {
	for _, test := range []struct {
		in   guestconfig.Config
		want string
	}{
		{guestconfig.Config{}, `{}`},
		{guestconfig.Config{Process: specs.Process{Args: []string{}}}, `{"process":{}}`},
		{
			guestconfig.Config{Process: specs.Process{Args: []string{"", "a\"\\\n\x01/é\xff\u2028"}}},
			"{\"process\":{\"args\":[\"\",\"a\\\"\\\\\\n\\u0001/é\xff\u2028\"]}}",
		},
		{guestconfig.Config{HasUser: true}, `{"process":{"user":{}}}`},
		{guestconfig.Config{User: "app:1"}, `{"User":"app:1"}`},
		{
			guestconfig.Config{
				HasUser: true, User: "app", Process: specs.Process{User: specs.User{GID: 7}},
			},
			`{"process":{"user":{"gid":7,"username":"app"}}}`,
		},
		{
			guestconfig.Config{Process: specs.Process{
				Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: oci.Unlimited}},
			}},
			`{"process":{"rlimits":[{"type":"RLIMIT_NOFILE","hard":18446744073709551615}]}}`,
		},
		{
			guestconfig.Config{StopSignal: 15, Process: specs.Process{
				OOMScoreAdj: new(0), ExecCPUAffinity: &specs.CPUAffinity{Final: "0-2"},
			}},
			`{"process":{"oomScoreAdj":0,"execCPUAffinity":{"final":"0-2"}},"StopSignal":"15"}`,
		},
		{
			guestconfig.Config{Mounts: []specs.Mount{
				{Destination: "/a", Type: "tmpfs", Options: []string{"ro"}}, {},
			}},
			`{"mounts":[{"destination":"/a","type":"tmpfs","options":["ro"]},{}]}`,
		},
		{
			guestconfig.Config{RootReadonly: true, Linux: specs.Linux{
				Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}},
				Sysctl:     map[string]string{"b": "1", "a": ""},
			}},
			`{"root":{"readonly":true},` +
				`"linux":{"sysctl":{"a":"","b":"1"},"namespaces":[{"type":"mount"}]}}`,
		},
		{
			guestconfig.Config{Linux: specs.Linux{Devices: []specs.LinuxDevice{
				{Path: "/d", Type: "c", Minor: 1, UID: new(uint32(0))},
			}}},
			`{"linux":{"devices":[{"path":"/d","type":"c","minor":1,"uid":0}]}}`,
		},
	} {
		if got, err := EncodeConfig(test.in); string(got) != test.want || err != nil {
			t.Errorf("EncodeConfig(%+v) = %s, %v, want %s", test.in, got, err, test.want)
		}
		checkConfig(t, test.in)
	}
}

// EncodeConfig takes capabilities in any order, and must not reorder those of the caller.
func TestEncodeConfigCapabilities(t *testing.T) {
	var c guestconfig.Config
	names := []string{"CAP_KILL", "CAP_CHOWN", "CAP_KILL"}
	c.Process.Capabilities = &specs.LinuxCapabilities{Bounding: names}
	const want = `{"process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_KILL"]}}}`
	if got, err := EncodeConfig(c); string(got) != want || err != nil {
		t.Errorf("EncodeConfig(%q) = %s, %v, want %s", names, got, err, want)
	}
	if names[0] != "CAP_KILL" || len(c.Process.Capabilities.Bounding) != 3 {
		t.Errorf("EncodeConfig changed its input to %q", c.Process.Capabilities.Bounding)
	}
}

// EncodeConfig returns an error that names a value that no file can have.
func TestEncodeConfigErrors(t *testing.T) {
	for want, in := range map[string]guestconfig.Config{
		`User = "root" can't be expressed`: {HasUser: true, User: "root"},
		`Process.User.UID = 7 can't be expressed: init would read 0`: {
			Process: specs.Process{User: specs.User{UID: 7}},
		},
		`User = "x" can't be expressed`: {
			HasUser: true, User: "x", Process: specs.Process{User: specs.User{UID: 5}},
		},
		"StopSignal = 65 can't be expressed": {StopSignal: 65},
		"larger than 8388608 bytes":          {Hostname: strings.Repeat("x", guestconfig.MaxSize)},
		`Unsupported[0] = "linux.seccomp" can't be expressed`: {
			Unsupported: []string{"linux.seccomp"},
		},
		`Mounts[0].UIDMappings[0] = specs.LinuxIDMapping`: {
			Mounts: []specs.Mount{{UIDMappings: []specs.LinuxIDMapping{{Size: 1}}}},
		},
	} {
		checkConfigError(t, in, want)
	}
}

func TestEncodeConfigProcessErrors(t *testing.T) {
	rlimits := func(limits ...specs.POSIXRlimit) specs.Process {
		return specs.Process{Rlimits: limits}
	}
	for want, process := range map[string]specs.Process{
		"process.args[1]: contains a NUL byte": {Args: []string{"a", "b\x00"}},
		`Env[1] = "quiet" can't be expressed: init would leave it out`: {
			Env: []string{"A=1", "quiet"},
		},
		`Env[0] = "=x" can't be expressed: init would read "A=1"`: {Env: []string{"=x", "A=1"}},
		"process.user.uid: expected an integer from 0 to 4294967294": {
			User: specs.User{UID: 1<<32 - 1},
		},
		`Process.User.Username = "x" can't be expressed`: {User: specs.User{Username: "x"}},
		"unknown resource": rlimits(specs.POSIXRlimit{Type: "RLIMIT_X"}),
		"RLIMIT_FSIZE is limited twice": rlimits(
			specs.POSIXRlimit{Type: "RLIMIT_FSIZE"}, specs.POSIXRlimit{Type: "RLIMIT_FSIZE"}),
		"soft limit 1 is above hard limit 0": rlimits(
			specs.POSIXRlimit{Type: "RLIMIT_CPU", Soft: 1}),
		`Process.Capabilities.Effective[0] = "CAP_CHOWN" can't be expressed`: {
			Capabilities: &specs.LinuxCapabilities{Effective: []string{"CAP_CHOWN"}},
		},
		`Process.Capabilities: unknown capability "CAP_X"`: {
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_X"}},
		},
		"process.oomScoreAdj: expected an integer from -1000 to 1000": {OOMScoreAdj: new(1001)},
		"unknown policy": {Scheduler: &specs.Scheduler{Policy: "\xff"}},
		"unknown flag": {Scheduler: &specs.Scheduler{
			Policy: "SCHED_RR", Flags: []specs.LinuxSchedulerFlag{"RECLAIM"},
		}},
		"process.ioPriority.class: no class": {IOPriority: &specs.LinuxIOPriority{}},
		"process.ioPriority.priority": {IOPriority: &specs.LinuxIOPriority{
			Class: specs.IOPRIO_CLASS_RT, Priority: 8,
		}},
		`unknown list of CPUs "x"`: {ExecCPUAffinity: &specs.CPUAffinity{Final: "x"}},
		"Process.ConsoleSize = &specs.Box{Height:0x0, Width:0x50} can't be expressed": {
			ConsoleSize: &specs.Box{Width: 80},
		},
		`Process.SelinuxLabel = "x" can't be expressed`: {SelinuxLabel: "x"},
	} {
		checkConfigError(t, guestconfig.Config{HasUser: true, Process: process}, want)
	}
}

func TestEncodeConfigLinuxErrors(t *testing.T) {
	devices := func(d specs.LinuxDevice) specs.Linux {
		return specs.Linux{Devices: []specs.LinuxDevice{d}}
	}
	for want, linux := range map[string]specs.Linux{
		`unknown propagation "odd"`:      {RootfsPropagation: "odd"},
		"linux.devices[0].path: no path": devices(specs.LinuxDevice{Type: "c"}),
		"linux.devices[0].type: no type": devices(specs.LinuxDevice{Path: "/d"}),
		`unknown type of device "x"`:     devices(specs.LinuxDevice{Path: "/d", Type: "x"}),
		"linux.devices[0].major: expected an in": devices(
			specs.LinuxDevice{Path: "/d", Type: "c", Major: 4096}),
		"Linux.Seccomp = &specs.LinuxSeccomp{": {
			Seccomp: &specs.LinuxSeccomp{DefaultAction: "x"},
		},
	} {
		checkConfigError(t, guestconfig.Config{Linux: linux}, want)
	}
}

func checkConfigError(t *testing.T, in guestconfig.Config, want string) {
	t.Helper()
	got, err := EncodeConfig(in)
	if got != nil || err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("EncodeConfig = %.100q, %v, want the error %s", got, err, want)
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("EncodeConfig = %q, want one line", err)
	}
}

// EncodeConfig can write whatever Parse returns.
func FuzzEncodeConfig(f *testing.F) {
	file, err := os.ReadFile("../guestconfig/testdata/oci.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	for _, seed := range []string{
		`{"Entrypoint": ["e"], "Cmd": ["a\u0001\ud800\/"], "Env": ["A=1", "=", "A=2"],
			"WorkingDir": "/", "User": "u:g", "StopSignal": "rtmin+3"}`,
		`{"process": {"user": {"uid": 1, "umask": 18, "additionalGids": [0], "username": "x"},
			"terminal": true, "consoleSize": {}}}`,
		`{"process": {"user": {}, "terminal": true, "consoleSize": {"width": 7},
			"execCPUAffinity": {}}}`,
		`{"process": {"user": {"username": "a:b"}, "rlimits": [{"type": "RLIMIT_AS"}],
			"oomScoreAdj": 0, "capabilities": {"ambient": ["X"]}}}`,
		`{"process": {"scheduler": {"policy": "SCHED_OTHER"},
			"ioPriority": {"class": "IOPRIO_CLASS_RT"}, "execCPUAffinity": {"final": "3,1-2"}}}`,
		`{"mounts": [{}], "linux": {"sysctl": {"": "", "a": "1", "a": "2"},
			"devices": [{"path": "/d", "type": "u", "gid": 0}], "seccomp": {"a": 1},
			"namespaces": [{"type": "mount", "path": "/p"}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := guestconfig.Parse(data)
		c.Unsupported = nil
		if err == nil {
			checkConfig(t, c)
		}
	})
}
