package guestconfig

import (
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// parseTest is a file and what Parse returns for it. Empty lists and maps equal nil.
type parseTest struct {
	in   string
	want Config
}

func testParse(t *testing.T, tests []parseTest) {
	t.Helper()
	for _, test := range tests {
		got, err := Parse([]byte(test.in))
		if err != nil || !equal(got, test.want) {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", test.in, got, err, test.want)
		}
	}
}

// equal compares configurations. Empty lists and maps equal nil.
func equal(a, b Config) bool {
	clearEmpty(reflect.ValueOf(&a).Elem())
	clearEmpty(reflect.ValueOf(&b).Elem())
	return reflect.DeepEqual(a, b)
}

func clearEmpty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			clearEmpty(v.Elem())
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			clearEmpty(field)
		}
	case reflect.Slice:
		for i := range v.Len() {
			clearEmpty(v.Index(i))
		}
		fallthrough
	case reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
		}
	}
}

// args returns a configuration with arguments only.
func args(args ...string) Config { return ofProcess(specs.Process{Args: args}) }

// env returns a configuration with variables only.
func env(env ...string) Config { return ofProcess(specs.Process{Env: env}) }

// cwd returns a configuration with a working directory only.
func cwd(dir string) Config { return ofProcess(specs.Process{Cwd: dir}) }

func ofProcess(p specs.Process) Config { return Config{Process: p} }

// TestParseSpellings has every spelling, at top level and in process.
func TestParseSpellings(t *testing.T) {
	testParse(t, []parseTest{
		{`{}`, Config{}},
		{"\ufeff \t\r\n{ } \n", Config{}},
		{`{"later": {"a": [1, {"b": null}]}, "args": ["a"], "v": -1.5e+3}`, args("a")},

		{`{"args": ["a", "", "--"]}`, args("a", "", "--")},
		{`{"Cmd": ["a"]}`, args("a")},
		{`{"Entrypoint": ["e"]}`, args("e")},
		{`{"Cmd": ["a", "b"], "Entrypoint": ["e", "f"]}`, args("e", "f", "a", "b")},
		{`{"args": ["a"], "Entrypoint": ["e"]}`, args("e", "a")},
		{`{"env": ["A=1", "B="]}`, env("A=1", "B=")},
		{`{"Env": ["A=1"]}`, env("A=1")},
		{`{"cwd": "/w"}`, cwd("/w")},
		{`{"Cwd": "/w"}`, cwd("/w")},
		{`{"WorkingDir": "/w"}`, cwd("/w")},
		{
			`{"process": {"args": ["a"], "env": ["A=1"], "cwd": "/w"}}`,
			ofProcess(specs.Process{Args: []string{"a"}, Env: []string{"A=1"}, Cwd: "/w"}),
		},
		{
			`{"process": {"Cmd": ["a"], "Entrypoint": ["e"], "Env": ["A=1"], "Cwd": "/w"}}`,
			ofProcess(specs.Process{Args: []string{"e", "a"}, Env: []string{"A=1"}, Cwd: "/w"}),
		},
		{`{"process": {"WorkingDir": "/w"}}`, cwd("/w")},
		{
			`{"architecture": "amd64", "os": "linux", "config": {"User": "u", "Env": ["A=1"], "Entrypoint": ["e"],
			  "Cmd": ["a"], "WorkingDir": "/w", "StopSignal": "SIGQUIT", "ExposedPorts": {"80/tcp": {}}},
			  "container_config": {"Cmd": ["no"]}, "rootfs": {"type": "layers", "diff_ids": []}, "history": [{"created_by": "x"}]}`,
			Config{
				Process: specs.Process{Args: []string{"e", "a"}, Env: []string{"A=1"}, Cwd: "/w"},
				User:    "u", StopSignal: 3,
			},
		},
		{`{"Id": "x", "Config": {"Cmd": ["a"], "Entrypoint": null}, "Args": ["no"]}`, args("a")},
		{`{"config": {"Cmd": ["a"], "WorkingDir": "/w"}, "Cmd": ["b"]}`, ofProcess(specs.Process{Args: []string{"b"}, Cwd: "/w"})},
		{`{"config": {"Entrypoint": ["e"], "Cmd": ["a"]}, "process": {"args": ["b"]}}`, args("e", "b")},
		{`{"hostname": "box"}`, Config{Hostname: "box"}},
		{`{"Hostname": "box"}`, Config{Hostname: "box"}},
		{`{"domainname": "example.org"}`, Config{Domainname: "example.org"}},
		{`{"\u0061rgs": ["a"]}`, args("a")},

		// Other names, and names in other places.
		{
			`{"ARGS": ["a"], "cmd": ["a"], "ENV": ["A=1"], "entrypoint": ["e"],
			  "workingDir": "/w"}`,
			Config{},
		},
		{
			`{"user": "u", "rlimits": 1, "process": {"hostname": 1, "mounts": 1},
			  "linux": {"args": 1}}`,
			Config{},
		},
	})
}

// TestParsePrecedence has several fields with the same meaning, and fields given twice.
func TestParsePrecedence(t *testing.T) {
	testParse(t, []parseTest{
		{`{"Cmd": ["b"], "args": ["a"]}`, args("a")},
		{`{"Env": ["A=b"], "env": ["A=a"]}`, env("A=a")},
		{`{"WorkingDir": "/c", "Cwd": "/b", "cwd": "/a"}`, cwd("/a")},
		{`{"WorkingDir": "/c", "Cwd": "/b"}`, cwd("/b")},
		{`{"Hostname": "b", "hostname": "a"}`, Config{Hostname: "a"}},
		{
			`{"process": {"Cmd": ["p"], "WorkingDir": "/p"},
			  "args": ["f"], "env": ["A=f"], "cwd": "/f"}`,
			ofProcess(specs.Process{Args: []string{"p"}, Env: []string{"A=f"}, Cwd: "/p"}),
		},
		{
			`{"args": ["f"], "Entrypoint": ["e"], "env": ["A=f"], "process": {"Env": ["A=p"]}}`,
			ofProcess(specs.Process{Args: []string{"e", "f"}, Env: []string{"A=p"}}),
		},

		// Empty and null count as absent.
		{
			`{"process": {"args": [], "env": [], "cwd": ""},
			  "Cmd": ["a"], "Env": ["A=1"], "Cwd": "/w"}`,
			ofProcess(specs.Process{Args: []string{"a"}, Env: []string{"A=1"}, Cwd: "/w"}),
		},
		{
			`{"process": {"args": null, "env": null, "cwd": null, "user": null, "rlimits": null},
			  "mounts": null, "Entrypoint": [], "Cmd": ["a"], "hostname": null, "linux": null,
			  "root": null}`,
			args("a"),
		},
		{`{"process": null, "hostname": ""}`, Config{}},
		{
			`{"process": {"capabilities": null, "oomScoreAdj": null, "scheduler": null,
			  "ioPriority": null, "consoleSize": null}}`,
			Config{},
		},
		{
			`{"process": {"cwd": "/a", "user": {"uid": 1}, "user": null}, "process": null,
			  "args": ["a"], "args": null, "linux": {"sysctl": {"a": "b", "a": null}}}`,
			Config{
				Process: specs.Process{Args: []string{"a"}, Cwd: "/a", User: specs.User{UID: 1}},
				HasUser: true, Linux: specs.Linux{Sysctl: map[string]string{"a": "b"}},
			},
		},

		// The last value counts; objects are merged.
		{`{"args": ["a"], "args": ["b", "c"]}`, args("b", "c")},
		{`{"args": ["a", "b"], "args": ["c"]}`, args("c")},
		{`{"args": ["a"], "args": []}`, Config{}},
		{
			`{"process": {"args": ["a"], "cwd": "/a"}, "process": {"cwd": "/b"}}`,
			ofProcess(specs.Process{Args: []string{"a"}, Cwd: "/b"}),
		},
		{
			`{"mounts": [{"source": "a", "options": ["b"]}, {}], "mounts": [{"type": "c"}]}`,
			Config{Mounts: []specs.Mount{{Type: "c"}}},
		},
		{`{"root": {"readonly": true}, "root": {"readonly": false}}`, Config{}},
		{
			`{"linux": {"namespaces": [{"type": "mount"}], "namespaces": [{"path": "mount"}]}}`,
			Config{Linux: specs.Linux{Namespaces: []specs.LinuxNamespace{{Path: "mount"}}}},
		},
		{
			`{"process": {"scheduler": {"policy": "SCHED_RR", "nice": 1},
			  "scheduler": {"priority": 2}}}`,
			ofProcess(specs.Process{
				Scheduler: &specs.Scheduler{Policy: "SCHED_RR", Nice: 1, Priority: 2},
			}),
		},
		{
			`{"process": {"capabilities": {"bounding": ["CAP_KILL"]},
			  "capabilities": {"permitted": ["CAP_KILL"], "bounding": []}}}`,
			ofProcess(specs.Process{
				Capabilities: &specs.LinuxCapabilities{Permitted: []string{"CAP_KILL"}},
			}),
		},
	})
}

// TestParseStrings has strings that are kept byte for byte.
func TestParseStrings(t *testing.T) {
	testParse(t, []parseTest{
		{
			`{"args": ["\"\\\/\b\f\n\r\t", "\u00e9\u20AC", "\ud83d\udc4b", "😀 é"]}`,
			args("\"\\/\b\f\n\r\t", "é€", "👋", "😀 é"),
		},
		{"{\"args\": [\"\xff\xc3(\xed\xa0\x80\x7f\"]}", args("\xff\xc3(\xed\xa0\x80\x7f")},
		{
			"{\"args\": [\"\xff\\n\xc3\\u00e9(\xed\xa0\x80\\\\\", \"\xe2\x82\\u0041\xac\"]}",
			args("\xff\n\xc3é(\xed\xa0\x80\\", "\xe2\x82A\xac"),
		},
		{
			`{"args": ["\ud800", "\ud800x", "\udc00\ud800", "\ud800\ud83d\udc4b", "\ud800\n",
			  "\ud800\u0041", "\ud800é", "\ud800\\u"]}`,
			args("�", "�x", "��", "�👋", "�\n", "�A", "�é", "�\\u"),
		},
		{"{\"linux\": {\"sysctl\": {\"\xff\\t\": \"\xfe\\\"\"}}}",
			Config{Linux: specs.Linux{Sysctl: map[string]string{"\xff\t": "\xfe\""}}}},
		{
			`{"env": ["A=1", "quiet", "", "=x", "=", "A=2", "B==\n"]}`,
			env("A=1", "A=2", "B==\n"),
		},
	})
}

func TestParseProcess(t *testing.T) {
	testParse(t, []parseTest{
		{
			`{"process": {"rlimits": [
			  {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 18446744073709551615},
			  {"type": "RLIMIT_CORE"}]}}`,
			ofProcess(specs.Process{Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Soft: 1, Hard: 1<<64 - 1}, {Type: "RLIMIT_CORE"},
			}}),
		},
		{
			`{"process": {"capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_BPF"],
			  "effective": ["CAP_KILL"], "permitted": ["CAP_KILL", "CAP_BPF"],
			  "inheritable": ["CAP_BPF"], "ambient": ["CAP_BPF"], "all": 1},
			  "noNewPrivileges": true}}`,
			ofProcess(specs.Process{
				Capabilities: &specs.LinuxCapabilities{
					Bounding:    []string{"CAP_CHOWN", "CAP_KILL", "CAP_BPF"},
					Effective:   []string{"CAP_KILL"},
					Permitted:   []string{"CAP_KILL", "CAP_BPF"},
					Inheritable: []string{"CAP_BPF"},
					Ambient:     []string{"CAP_BPF"},
				},
				NoNewPrivileges: true,
			}),
		},
		{
			`{"process": {"capabilities": {}, "noNewPrivileges": false}}`,
			ofProcess(specs.Process{Capabilities: &specs.LinuxCapabilities{}}),
		},
		{`{"process": {"oomScoreAdj": 0}}`, ofProcess(specs.Process{OOMScoreAdj: new(0)})},
		{`{"process": {"oomScoreAdj": -1000}}`, ofProcess(specs.Process{OOMScoreAdj: new(-1000)})},
		{
			`{"process": {"scheduler": {"policy": "SCHED_DEADLINE", "nice": -20, "priority": 1,
			  "runtime": 18446744073709551615,
			  "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN"],
			  "deadline": 2, "period": 3, "later": 1}}}`,
			ofProcess(specs.Process{Scheduler: &specs.Scheduler{
				Policy: specs.SchedDeadline, Nice: -20, Priority: 1,
				Flags: []specs.LinuxSchedulerFlag{
					specs.SchedFlagResetOnFork, specs.SchedFlagDLOverrun,
				},
				Runtime: 1<<64 - 1, Deadline: 2, Period: 3,
			}}),
		},
		{
			`{"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 7}}}`,
			ofProcess(specs.Process{
				IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 7},
			}),
		},
		{
			`{"process": {"execCPUAffinity": {"initial": "0", "final": "0-1,65"}}}`,
			ofProcess(specs.Process{
				ExecCPUAffinity: &specs.CPUAffinity{Initial: "0", Final: "0-1,65"},
			}),
		},
		{
			`{"process": {"execCPUAffinity": {"initial": "7", "final": ""}}}`,
			ofProcess(specs.Process{ExecCPUAffinity: &specs.CPUAffinity{Initial: "7"}}),
		},
		{
			`{"process": {"terminal": true, "consoleSize": {"height": 65535, "width": 1}}}`,
			ofProcess(specs.Process{
				Terminal: true, ConsoleSize: &specs.Box{Height: 65535, Width: 1},
			}),
		},
		{`{"process": {"terminal": false, "consoleSize": {"height": 2, "width": 1}}}`, Config{}},

		{
			`{"StopSignal": "SIGRTMIN+3", "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}},
			  "Labels": {"a": "b"}}`,
			Config{StopSignal: 37},
		},
		{`{"StopSignal": "9", "process": {"StopSignal": "INT"}}`, Config{StopSignal: 2}},
	})
}

func TestParseUser(t *testing.T) {
	withUser := func(name string, u specs.User) Config {
		return Config{Process: specs.Process{User: u}, HasUser: true, User: name}
	}
	testParse(t, []parseTest{
		{`{"process": {"user": {}}}`, withUser("", specs.User{})},
		{
			`{"process": {"user":
			  {"uid": 1, "gid": 4294967294, "umask": 18, "additionalGids": [0, 5]}}}`,
			withUser("", specs.User{
				UID: 1, GID: 4294967294, Umask: new(uint32(18)), AdditionalGids: []uint32{0, 5},
			}),
		},

		// Users by name, if there is no number.
		{`{"User": "app:grp"}`, Config{User: "app:grp"}},
		{`{"User": "app", "process": {"User": "1:2"}}`, Config{User: "1:2"}},
		{`{"User": "app", "process": {"user": {}}}`, withUser("", specs.User{})},
		{
			`{"process": {"user": {"username": "app", "additionalGids": [1]}}}`,
			withUser("app", specs.User{AdditionalGids: []uint32{1}}),
		},
		{
			`{"process": {"user": {"uid": 0, "gid": 0, "username": "app"}}}`,
			withUser("app", specs.User{}),
		},
		{
			`{"process": {"user": {"uid": 0, "gid": 5, "username": "root:root"}}}`,
			withUser("", specs.User{GID: 5}),
		},
		{`{"process": {"user": {"username": "0"}}}`, withUser("", specs.User{})},
		{`{"process": {"user": {"uid": 1, "username": "app"}}}`, withUser("", specs.User{UID: 1})},
	})
}

func TestParseMachine(t *testing.T) {
	testParse(t, []parseTest{
		{
			`{"mounts": [{"destination": "/a", "type": "tmpfs", "source": "tmpfs",
			              "options": ["ro", "size=1k"]}, {}]}`,
			Config{Mounts: []specs.Mount{
				{
					Destination: "/a", Type: "tmpfs", Source: "tmpfs",
					Options: []string{"ro", "size=1k"},
				},
				{},
			}},
		},
		{
			`{"root": {"path": "r", "readonly": true}, "linux": {"rootfsPropagation": "rslave",
			  "maskedPaths": ["/a", "b"], "readonlyPaths": ["/c"],
			  "namespaces": [{"type": "pid"}, {"path": "/n", "type": "mount"}, {}]}}`,
			Config{
				RootReadonly: true,
				Linux: specs.Linux{
					RootfsPropagation: "rslave",
					MaskedPaths:       []string{"/a", "b"},
					ReadonlyPaths:     []string{"/c"},
					Namespaces: []specs.LinuxNamespace{
						{Type: "pid"}, {Path: "/n", Type: "mount"}, {},
					},
				},
			},
		},
		{`{"linux": {"rootfsPropagation": ""}}`, Config{}},
		{
			`{"linux": {"sysctl": {"b.c": "1", "a": "", "\u0062.c": "2\n", "none": null}}}`,
			Config{Linux: specs.Linux{Sysctl: map[string]string{"a": "", "b.c": "2\n"}}},
		},
		{
			`{"linux": {"devices": [
			  {"path": "/f", "type": "c", "major": 10, "minor": 229, "fileMode": 438,
			   "uid": 0, "gid": 5},
			  {"path": "/p", "type": "p"},
			  {"path": "/b", "type": "b", "major": 4095, "minor": 1048575}]}}`,
			Config{Linux: specs.Linux{Devices: []specs.LinuxDevice{
				{
					Path: "/f", Type: "c", Major: 10, Minor: 229, FileMode: new(fs.FileMode(0o666)),
					UID: new(uint32(0)), GID: new(uint32(5)),
				},
				{Path: "/p", Type: "p"},
				{Path: "/b", Type: "b", Major: 4095, Minor: 1048575},
			}}},
		},
	})
}

func TestParseUnsupported(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []string
	}{
		{
			`{"linux": {"sysctl": {"a": "b"}, "seccomp": {}, "personality": {"domain": "LINUX32"},
			  "resources": {"a": 1}}}`,
			[]string{"linux.personality"},
		},
		{`{"root": {"path": "rootfs", "readonly": true, "seccomp": true}}`, nil},
		{
			`{"mounts": [{"uidMappings": [{"size": 1}]},
			             {"uidMappings": [], "gidMappings": null}]}`,
			[]string{"mounts.uidMappings"},
		},
		{
			`{"mounts": [{"uidMappings": [1]}, {"uidMappings": ["a"]}]}`,
			[]string{"mounts.uidMappings"},
		},
		{`{"mounts": [{"gidMappings": [], "uidMappings": null}]}`, nil},
		{
			`{"annotations": {"a": "b"}, "ExposedPorts": {"80": {}}, "OnBuild": ["x"],
			  "hooks": {"a": [1]}}`,
			nil,
		},
		{`{"process": {"selinuxLabel": "", "apparmorProfile": null}}`, nil},
		{
			`{"process": {"selinuxLabel": "a"},
			  "process": {"selinuxLabel": "b", "apparmorProfile": "c", "selinuxLabel": ""}}`,
			[]string{"process.apparmorProfile", "process.selinuxLabel"},
		},
		{
			`{"process": {"selinuxLabel": "a", "apparmorProfile": "b"}, "linux": {"seccomp": {"a": 1},
			  "personality": {"domain": "LINUX32"}, "namespaces": [{"type": "pid"}, {"type": "mount"}]}}`,
			[]string{"linux.personality"}, // the engine enforces the others
		},
		{`{"seccomp": {"a": 1}, "linux": {"selinuxLabel": "a"}}`, nil},
		{
			`{"linux": {"seccomp": [ ], "timeOffsets": { }, "memoryPolicy": false,
			  "personality": 0}}`,
			nil,
		},

		// Values.
		{
			`{"process": {"capabilities":
			  {"bounding": ["CAP_FOO", "kill", "CAP_FOO"], "effective": ["CAP_FOO"]}}}`,
			[]string{
				`process.capabilities.bounding "CAP_FOO"`, `process.capabilities.bounding "kill"`,
				`process.capabilities.effective "CAP_FOO"`,
			},
		},
		{
			`{"process": {"capabilities":
			  {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "ambient": ["CAP_BPF"]}}}`,
			[]string{`process.capabilities "CAP_KILL CAP_BPF"`},
		},
		{
			`{"StopSignal": "SIGFOO", "linux": {"seccomp": {"defaultAction": "x"}}}`,
			[]string{"linux.seccomp", `StopSignal "SIGFOO"`},
		},
		{`{"StopSignal": "65"}`, []string{`StopSignal "65"`}},
	} {
		got, err := Parse([]byte(test.in))
		if err != nil || !slices.Equal(got.Unsupported, test.want) {
			t.Errorf("Parse(%s).Unsupported = %q, %v, want %q",
				test.in, got.Unsupported, err, test.want)
		}
		if got.StopSignal != 0 {
			t.Errorf("Parse(%s).StopSignal = %d, want 0", test.in, got.StopSignal)
		}
		for _, m := range got.Mounts {
			if m.UIDMappings != nil || m.GIDMappings != nil {
				t.Errorf("Parse(%s) has the mount %+v, want no mappings", test.in, m)
			}
		}
	}
}

// TestParseManyUnknown checks that a file with many unknown values leads to a short report.
func TestParseManyUnknown(t *testing.T) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf(`"CAP_%d"`, i))
	}
	in := fmt.Sprintf(`{"process": {"capabilities": {"bounding": [%s]}}}`, strings.Join(names, ","))
	got, err := Parse([]byte(in))
	if n := len(got.Unsupported); err != nil || n < 10 || n > 30 {
		t.Errorf("Parse of 1000 unknown capabilities reports %d, %v, want some 20", n, err)
	}
}
