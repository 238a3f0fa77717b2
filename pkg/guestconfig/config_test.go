package guestconfig

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/rlimit"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		in   string
		want Config
	}{
		{`{}`, Config{}},
		{"\ufeff \t\r\n{ } \n", Config{}},
		{`{"later": {"a": [1, {"b": null}]}, "args": ["a"], "v": -1.5e+3}`, Config{Args: []string{"a"}}},

		// Every spelling, at top level and in process.
		{`{"args": ["a", "", "--"]}`, Config{Args: []string{"a", "", "--"}}},
		{`{"Cmd": ["a"]}`, Config{Args: []string{"a"}}},
		{`{"Entrypoint": ["e"]}`, Config{Args: []string{"e"}}},
		{`{"Cmd": ["a", "b"], "Entrypoint": ["e", "f"]}`, Config{Args: []string{"e", "f", "a", "b"}}},
		{`{"args": ["a"], "Entrypoint": ["e"]}`, Config{Args: []string{"e", "a"}}},
		{`{"env": ["A=1", "B="]}`, Config{Env: []string{"A=1", "B="}}},
		{`{"Env": ["A=1"]}`, Config{Env: []string{"A=1"}}},
		{`{"cwd": "/w"}`, Config{Cwd: "/w"}},
		{`{"Cwd": "/w"}`, Config{Cwd: "/w"}},
		{`{"WorkingDir": "/w"}`, Config{Cwd: "/w"}},
		{
			`{"process": {"args": ["a"], "env": ["A=1"], "cwd": "/w"}}`,
			Config{Args: []string{"a"}, Env: []string{"A=1"}, Cwd: "/w"},
		},
		{
			`{"process": {"Cmd": ["a"], "Entrypoint": ["e"], "Env": ["A=1"], "Cwd": "/w"}}`,
			Config{Args: []string{"e", "a"}, Env: []string{"A=1"}, Cwd: "/w"},
		},
		{`{"process": {"WorkingDir": "/w"}}`, Config{Cwd: "/w"}},
		{`{"ARGS": ["a"], "cmd": ["a"], "ENV": ["A=1"], "entrypoint": ["e"], "workingDir": "/w"}`, Config{}},

		// Which one wins, whatever the order in the file.
		{`{"Cmd": ["b"], "args": ["a"]}`, Config{Args: []string{"a"}}},
		{`{"Env": ["A=b"], "env": ["A=a"]}`, Config{Env: []string{"A=a"}}},
		{`{"WorkingDir": "/c", "Cwd": "/b", "cwd": "/a"}`, Config{Cwd: "/a"}},
		{`{"WorkingDir": "/c", "Cwd": "/b"}`, Config{Cwd: "/b"}},
		{`{"Hostname": "b", "hostname": "a"}`, Config{Hostname: "a"}},
		{
			`{"process": {"Cmd": ["p"], "WorkingDir": "/p"}, "args": ["f"], "env": ["A=f"], "cwd": "/f"}`,
			Config{Args: []string{"p"}, Env: []string{"A=f"}, Cwd: "/p"},
		},
		{
			`{"args": ["f"], "Entrypoint": ["e"], "env": ["A=f"], "process": {"Env": ["A=p"]}}`,
			Config{Args: []string{"e", "f"}, Env: []string{"A=p"}},
		},

		// Empty or null is as good as absent; the last value counts.
		{
			`{"process": {"args": [], "env": [], "cwd": ""}, "Cmd": ["a"], "Env": ["A=1"], "Cwd": "/w"}`,
			Config{Args: []string{"a"}, Env: []string{"A=1"}, Cwd: "/w"},
		},
		{
			`{"process": {"args": null, "env": null, "cwd": null, "user": null, "rlimits": null}, "mounts": null,
			  "Entrypoint": [], "Cmd": ["a"], "hostname": null, "linux": null, "root": null}`,
			Config{Args: []string{"a"}},
		},
		{`{"process": null, "hostname": ""}`, Config{}},
		{`{"args": ["a"], "args": ["b", "c"]}`, Config{Args: []string{"b", "c"}}},
		{`{"args": ["a"], "args": []}`, Config{}},
		{
			`{"process": {"args": ["a"], "cwd": "/a"}, "process": {"cwd": "/b"}}`,
			Config{Args: []string{"a"}, Cwd: "/b"},
		},

		// Variables.
		{
			`{"env": ["A=1", "quiet", "", "=x", "=", "A=2", "B==\n"]}`,
			Config{Env: []string{"A=1", "A=2", "B==\n"}},
		},

		// Strings, byte for byte.
		{
			`{"args": ["\"\\\/\b\f\n\r\t", "\u00e9\u20AC", "\ud83d\udc4b", "😀 é"]}`,
			Config{Args: []string{"\"\\/\b\f\n\r\t", "é€", "👋", "😀 é"}},
		},
		{"{\"args\": [\"\xff\xc3(\xed\xa0\x80\x7f\"]}", Config{Args: []string{"\xff\xc3(\xed\xa0\x80\x7f"}}},
		{
			`{"args": ["\ud800", "\ud800x", "\udc00\ud800", "\ud800\ud83d\udc4b", "\ud800\n", "\ud800\u0041"]}`,
			Config{Args: []string{"�", "�x", "��", "�👋", "�\n", "�A"}},
		},
		{`{"\u0061rgs": ["a"]}`, Config{Args: []string{"a"}}},

		// The rest of process, and mounts.
		{`{"process": {"user": {}}}`, Config{User: &User{}}},
		{
			`{"process": {"user": {"uid": 1, "gid": 4294967294, "umask": 18, "additionalGids": [0, 5]}}}`,
			Config{User: &User{UID: 1, GID: 4294967294, Umask: new(uint32(18)), AdditionalGIDs: []uint32{0, 5}}},
		},
		{
			`{"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 18446744073709551615},
			                          {"type": "RLIMIT_CORE"}]}}`,
			Config{Rlimits: []rlimit.Limit{{Resource: 7, Soft: 1, Hard: rlimit.Infinity}, {Resource: 4}}},
		},
		{
			`{"mounts": [{"destination": "/a", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "size=1k"]}, {}]}`,
			Config{Mounts: []Mount{
				{Destination: "/a", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "size=1k"}}, {},
			}},
		},
		{
			`{"root": {"path": "r", "readonly": true}, "linux": {"rootfsPropagation": "rslave", "maskedPaths": ["/a", "b"],
			  "readonlyPaths": ["/c"], "namespaces": [{"type": "pid"}, {"path": "/n", "type": "mount"}, {}]}}`,
			Config{
				RootReadonly: true, RootfsPropagation: "rslave", MaskedPaths: []string{"/a", "b"},
				ReadonlyPaths: []string{"/c"}, MountNamespace: true,
			},
		},
		{`{"root": {"readonly": true}, "root": {"readonly": false}}`, Config{}},
		{`{"linux": {"namespaces": [{"type": "mount"}], "namespaces": [{"path": "mount"}], "rootfsPropagation": ""}}`, Config{}},
		{`{"hostname": "box"}`, Config{Hostname: "box"}},
		{`{"Hostname": "box"}`, Config{Hostname: "box"}},
		{`{"user": "u", "rlimits": 1, "process": {"hostname": 1, "mounts": 1}, "linux": {"args": 1}}`, Config{}},

		// The state of the process.
		{
			`{"process": {"capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_BPF"], "effective": ["CAP_KILL"],
			  "permitted": ["CAP_KILL", "CAP_BPF"], "inheritable": ["CAP_BPF"], "ambient": ["CAP_BPF"], "all": 1}, "noNewPrivileges": true}}`,
			Config{
				Capabilities: &oci.Capabilities{
					Bounding: capability("CAP_KILL", "CAP_CHOWN", "CAP_BPF"), Effective: capability("CAP_KILL"),
					Permitted: capability("CAP_KILL", "CAP_BPF"), Inheritable: capability("CAP_BPF"), Ambient: capability("CAP_BPF"),
				},
				NoNewPrivileges: true,
			},
		},
		{`{"process": {"capabilities": {}, "noNewPrivileges": false}}`, Config{Capabilities: &oci.Capabilities{}}},
		{
			`{"process": {"capabilities": {"bounding": ["CAP_KILL"]}, "capabilities": {"permitted": ["CAP_KILL"], "bounding": []}}}`,
			Config{Capabilities: &oci.Capabilities{Permitted: capability("CAP_KILL")}},
		},
		{`{"process": {"capabilities": null, "oomScoreAdj": null, "scheduler": null, "ioPriority": null, "consoleSize": null}}`, Config{}},
		{`{"process": {"oomScoreAdj": 0}}`, Config{OOMScoreAdj: new(0)}},
		{`{"process": {"oomScoreAdj": -1000}}`, Config{OOMScoreAdj: new(-1000)}},
		{
			`{"process": {"scheduler": {"policy": "SCHED_DEADLINE", "nice": -20, "priority": 1, "runtime": 18446744073709551615,
			  "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN"], "deadline": 2, "period": 3, "later": 1}}}`,
			Config{Scheduler: &oci.Scheduler{
				Policy: 6, Nice: -20, Priority: 1, Flags: 5, Runtime: 1<<64 - 1, Deadline: 2, Period: 3,
			}},
		},
		{
			`{"process": {"scheduler": {"policy": "SCHED_RR", "nice": 1}, "scheduler": {"priority": 2}}}`,
			Config{Scheduler: &oci.Scheduler{Policy: 2, Nice: 1, Priority: 2}},
		},
		{
			`{"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 7}}}`,
			Config{IOPriority: &oci.IOPriority{Class: 2, Priority: 7}},
		},
		{`{"process": {"execCPUAffinity": {"initial": "0", "final": "0-1,65"}}}`, Config{CPUs: oci.CPUs{3, 2}}},
		{`{"process": {"execCPUAffinity": {"initial": "7", "final": ""}}}`, Config{}},
		{
			`{"process": {"terminal": true, "consoleSize": {"height": 65535, "width": 1}}}`,
			Config{Terminal: true, ConsoleSize: Size{65535, 1}},
		},
		{`{"process": {"terminal": false, "consoleSize": {"height": 2, "width": 1}}}`, Config{}},

		// Users by name, where there is no number.
		{`{"User": "app:grp"}`, Config{Username: "app:grp"}},
		{`{"User": "app", "process": {"User": "1:2"}}`, Config{Username: "1:2"}},
		{`{"User": "app", "process": {"user": {}}}`, Config{User: &User{}}},
		{
			`{"process": {"user": {"username": "app", "additionalGids": [1]}}}`,
			Config{Username: "app", User: &User{AdditionalGIDs: []uint32{1}}},
		},
		{`{"process": {"user": {"uid": 0, "gid": 0, "username": "app"}}}`, Config{Username: "app", User: &User{}}},
		{`{"process": {"user": {"uid": 0, "gid": 5, "username": "root:root"}}}`, Config{User: &User{GID: 5}}},
		{`{"process": {"user": {"username": "0"}}}`, Config{User: &User{}}},
		{`{"process": {"user": {"uid": 1, "username": "app"}}}`, Config{User: &User{UID: 1}}},

		// The rest of an image's configuration.
		{`{"StopSignal": "SIGRTMIN+3", "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}}, "Labels": {"a": "b"}}`, Config{StopSignal: 37}},
		{`{"StopSignal": "9", "process": {"StopSignal": "INT"}}`, Config{StopSignal: 2}},

		// The whole guest.
		{`{"domainname": "example.org"}`, Config{Domainname: "example.org"}},
		{
			`{"linux": {"sysctl": {"b.c": "1", "a": "", "\u0062.c": "2\n", "none": null}}}`,
			Config{Sysctls: []Sysctl{{"b.c", "1"}, {"a", ""}, {"b.c", "2\n"}}},
		},
		{
			`{"linux": {"devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 5},
			  {"path": "/p", "type": "p"}, {"path": "/b", "type": "b", "major": 4095, "minor": 1048575}]}}`,
			Config{Devices: []Device{
				{Path: "/dev/fuse", Type: 'c', Major: 10, Minor: 229, FileMode: new(uint32(0o666)), UID: new(uint32(0)), GID: new(uint32(5))},
				{Path: "/p", Type: 'p'}, {Path: "/b", Type: 'b', Major: 4095, Minor: 1048575},
			}},
		},
	} {
		got, err := Parse([]byte(test.in))
		if err != nil || !equal(got, test.want) {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", test.in, got, err, test.want)
		}
	}
}

// capability returns the set of the capabilities with the names.
func capability(names ...string) (set oci.CapabilitySet) {
	for _, name := range names {
		c, ok := oci.ParseCapability(name)
		if !ok {
			panic(name)
		}
		set |= c
	}
	return set
}

// equal compares configurations, where an empty list is as good as none.
func equal(a, b Config) bool {
	if len(a.Env) == 0 && len(b.Env) == 0 {
		a.Env, b.Env = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func TestParseUnsupported(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []string
	}{
		{`{"linux": {"sysctl": {"a": "b"}, "seccomp": {}, "personality": {"domain": "LINUX32"}, "resources": {"a": 1}}}`,
			[]string{"linux.personality"}},
		{`{"root": {"path": "rootfs", "readonly": true, "seccomp": true}}`, nil},
		{`{"mounts": [{"uidMappings": [{"size": 1}]}, {"uidMappings": [], "gidMappings": null}]}`, []string{"mounts.uidMappings"}},
		{`{"mounts": [{"gidMappings": [], "uidMappings": null}]}`, nil},
		{`{"annotations": {"a": "b"}, "ExposedPorts": {"80": {}}, "OnBuild": ["x"], "hooks": {"a": [1]}}`, nil},
		{`{"process": {"selinuxLabel": "", "apparmorProfile": null}}`, nil},
		{`{"process": {"apparmorProfile": "a"}, "process": {"selinuxLabel": "b", "apparmorProfile": "c"}}`,
			[]string{"process.apparmorProfile", "process.selinuxLabel"}},
		{`{"seccomp": {"a": 1}, "linux": {"selinuxLabel": "a"}}`, nil},

		// Values.
		{`{"process": {"capabilities": {"bounding": ["CAP_FOO", "kill", "CAP_FOO"], "effective": ["CAP_FOO"]}}}`,
			[]string{`process.capabilities.bounding "CAP_FOO"`, `process.capabilities.bounding "kill"`, `process.capabilities.effective "CAP_FOO"`}},
		{`{"process": {"capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "ambient": ["CAP_BPF"]}}}`,
			[]string{`process.capabilities "CAP_KILL CAP_BPF"`}},
		{`{"StopSignal": "SIGFOO", "linux": {"seccomp": {"defaultAction": "x"}}}`, []string{"linux.seccomp", `StopSignal "SIGFOO"`}},
	} {
		got, err := Parse([]byte(test.in))
		if err != nil || !slices.Equal(got.Unsupported, test.want) {
			t.Errorf("Parse(%s).Unsupported = %q, %v, want %q", test.in, got.Unsupported, err, test.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		// Where the file ends early.
		{"", "line 1, column 1: unexpected end of file"},
		{"\ufeff \n", "line 2, column 1: unexpected end of file"},
		{"{\n  \"args\": [\n    \"a\"\n  ]\n", "line 5, column 1: unexpected end of file"},
		{`{"process": {"args": ["a"`, "line 1, column 26: process.args: unexpected end of file"},
		{`{"args": ["é`, "line 1, column 13: args[0]: unexpected end of file"},
		{`{"args": ["\u12`, "line 1, column 16: args[0]: unexpected end of file"},
		{`{"args": ["\`, "line 1, column 13: args[0]: unexpected end of file"},

		// Wrong types.
		{`[]`, "line 1, column 1: expected an object, found a list"},
		{`"x"`, "line 1, column 1: expected an object, found a string"},
		{`null`, "line 1, column 1: expected an object, found null"},
		{`{"args": "sh"}`, "line 1, column 10: args: expected a list, found a string"},
		{"{\"process\": {\n\t\"args\": [\"é\", 7]}}", "line 2, column 16: process.args[1]: expected a string, found a number"},
		{`{"Env": {"A": "1"}}`, "line 1, column 9: Env: expected a list, found an object"},
		{`{"env": [null]}`, "line 1, column 10: env[0]: expected a string, found null"},
		{`{"env": ["A=1", ["B=2"]]}`, "line 1, column 17: env[1]: expected a string, found a list"},
		{`{"cwd": true}`, "line 1, column 9: cwd: expected a string, found true"},
		{`{"process": []}`, "line 1, column 13: process: expected an object, found a list"},
		{`{"hostname": 1}`, "line 1, column 14: hostname: expected a string, found a number"},
		{`{"linux": false}`, "line 1, column 11: linux: expected an object, found false"},
		{`{"mounts": [{}, {"options": [-1]}]}`, "line 1, column 30: mounts[1].options[0]: expected a string, found a number"},

		{`{"root": {"readonly": "true"}}`, "line 1, column 23: root.readonly: expected true or false, found a string"},
		{`{"process": {"noNewPrivileges": 1}}`, "line 1, column 33: process.noNewPrivileges: expected true or false, found a number"},
		{`{"process": {"capabilities": {"bounding": [1]}}}`,
			"line 1, column 44: process.capabilities.bounding[0]: expected a string, found a number"},
		{`{"process": {"capabilities": ["CAP_KILL"]}}`, "line 1, column 30: process.capabilities: expected an object, found a list"},
		{`{"User": 1000}`, "line 1, column 10: User: expected a string, found a number"},
		{`{"linux": {"sysctl": {"a": 1}}}`, "line 1, column 28: linux.sysctl.a: expected a string, found a number"},
		{`{"linux": {"sysctl": {"a\n": "1", "b\u0000": "1"}}}`, `line 1, column 46: linux.sysctl."b\x00": the name contains a NUL byte`},
		{`{"linux": {"sysctl": {"a\n.` + strings.Repeat("b", 50) + `": 1}}}`,
			`line 1, column 81: linux.sysctl."a\n.` + strings.Repeat("b", 37) + `...": expected a string, found a number`},

		// A choice of words, and what has to be there.
		{`{"process": {"scheduler": {"policy": "SCHED_NORMAL"}}}`,
			`line 1, column 38: process.scheduler.policy: unknown policy "SCHED_NORMAL"`},
		{`{"process": {"scheduler": {"policy": "SCHED_RR", "flags": ["RESET_ON_FORK"]}}}`,
			`line 1, column 60: process.scheduler.flags[0]: unknown flag "RESET_ON_FORK"`},
		{`{"process": {"scheduler": {"nice": 1}}}`, "line 1, column 27: process.scheduler: no policy"},
		{`{"process": {"ioPriority": {"class": "BE"}}}`, `line 1, column 38: process.ioPriority.class: unknown class "BE"`},
		{`{"process": {"ioPriority": {}}}`, "line 1, column 28: process.ioPriority: no class"},
		{`{"process": {"execCPUAffinity": {"initial": "0-"}}}`,
			`line 1, column 45: process.execCPUAffinity.initial: unknown list of CPUs "0-"`},
		{`{"linux": {"devices": [{"path": "/d", "type": "d"}]}}`, `line 1, column 47: linux.devices[0].type: unknown type of device "d"`},
		{`{"linux": {"devices": [{"type": "c"}]}}`, "line 1, column 24: linux.devices[0]: a device without path or type"},
		{`{"linux": {"devices": [{"path": "/d"}]}}`, "line 1, column 24: linux.devices[0]: a device without path or type"},
		{`{"linux": {"namespaces": ["mount"]}}`, "line 1, column 27: linux.namespaces[0]: expected an object, found a string"},
		{`{"linux": {"maskedPaths": "/a"}}`, "line 1, column 27: linux.maskedPaths: expected a list, found a string"},
		{`{"linux": {"readonlyPaths": ["/a\u0000"]}}`, "line 1, column 30: linux.readonlyPaths[0]: contains a NUL byte"},
		{`{"linux": {"rootfsPropagation": "Shared"}}`,
			`line 1, column 33: linux.rootfsPropagation: unknown propagation "Shared"`},

		// Numbers.
		{`{"process": {"user": {"uid": "0"}}}`, "line 1, column 30: process.user.uid: expected a number, found a string"},
		{`{"process": {"user": {"uid": -1}}}`,
			"line 1, column 30: process.user.uid: expected an integer from 0 to 4294967294, found -1"},
		{`{"process": {"user": {"gid": 4294967295}}}`,
			"line 1, column 30: process.user.gid: expected an integer from 0 to 4294967294, found 4294967295"},
		{`{"process": {"user": {"umask": 1.0}}}`,
			"line 1, column 32: process.user.umask: expected an integer from 0 to 4294967295, found 1.0"},
		{`{"process": {"user": {"additionalGids": [1, 1e3]}}}`,
			"line 1, column 45: process.user.additionalGids[1]: expected an integer from 0 to 4294967294, found 1e3"},
		{`{"process": {"rlimits": [{"soft": 18446744073709551616}]}}`,
			"line 1, column 35: process.rlimits[0].soft: expected an integer from 0 to 18446744073709551615, found 18446744073709551616"},
		{`{"process": {"user": {"uid": 1` + strings.Repeat("0", 50) + `}}}`,
			"line 1, column 30: process.user.uid: expected an integer from 0 to 4294967294, found 1" + strings.Repeat("0", 39) + "..."},
		{`{"process": {"user": {"uid": 01}}}`, "line 1, column 31: process.user: expected ',' or '}', found a number"},

		{`{"process": {"oomScoreAdj": 1001}}`, "line 1, column 29: process.oomScoreAdj: expected an integer from -1000 to 1000, found 1001"},
		{`{"process": {"oomScoreAdj": "1"}}`, "line 1, column 29: process.oomScoreAdj: expected a number, found a string"},
		{`{"process": {"scheduler": {"nice": -2147483649}}}`,
			"line 1, column 36: process.scheduler.nice: expected an integer from -2147483648 to 2147483647, found -2147483649"},
		{`{"process": {"ioPriority": {"priority": 8}}}`,
			"line 1, column 41: process.ioPriority.priority: expected an integer from 0 to 7, found 8"},
		{`{"process": {"consoleSize": {"width": 65536}}}`,
			"line 1, column 39: process.consoleSize.width: expected an integer from 0 to 65535, found 65536"},
		{`{"linux": {"devices": [{"minor": 1048576}]}}`,
			"line 1, column 34: linux.devices[0].minor: expected an integer from 0 to 1048575, found 1048576"},

		// Limits.
		{`{"process": {"rlimits": [{"type": "NOFILE"}]}}`, `line 1, column 26: process.rlimits[0]: unknown resource "NOFILE"`},
		{`{"process": {"rlimits": [{}]}}`, `line 1, column 26: process.rlimits[0]: unknown resource ""`},
		{`{"process": {"rlimits": [{"type": "RLIMIT_AS"}, {"type": "RLIMIT_AS"}]}}`,
			"line 1, column 49: process.rlimits[1]: RLIMIT_AS is limited twice"},
		{`{"process": {"rlimits": [{"type": "RLIMIT_AS", "soft": 2, "hard": 1}]}}`,
			"line 1, column 26: process.rlimits[0]: RLIMIT_AS: soft limit 2 is above hard limit 1"},

		// NUL.
		{`{"args": ["a", "b\u0000c"]}`, "line 1, column 16: args[1]: contains a NUL byte"},
		{`{"env": ["A=\u0000"]}`, "line 1, column 10: env[0]: contains a NUL byte"},
		{`{"process": {"cwd": "\u0000"}}`, "line 1, column 21: process.cwd: contains a NUL byte"},
		{`{"mounts": [{"source": "a\u0000"}]}`, "line 1, column 24: mounts[0].source: contains a NUL byte"},
		{"{\"cwd\": \"/\x00\"}", `line 1, column 11: cwd: control character '\x00' in a string`},

		// Syntax, in what is read and in what is skipped.
		{`{} {}`, "line 1, column 4: expected end of file, found an object"},
		{"{}\x00", `line 1, column 3: expected end of file, found '\x00'`},
		{`{,}`, "line 1, column 2: expected a string, found ','"},
		{`{"a": 1,}`, "line 1, column 9: expected a string, found '}'"},
		{`{"a" 1}`, "line 1, column 6: expected ':', found a number"},
		{`{"a":: 1}`, "line 1, column 6: expected a value, found ':'"},
		{`{"args": ["a" "b"]}`, "line 1, column 15: args: expected ',' or ']', found a string"},
		{`{"args": ["a",]}`, "line 1, column 15: args[1]: expected a string, found ']'"},
		{`{"args": nul}`, "line 1, column 10: expected a value, found 'n'"},
		{`{'args': []}`, `line 1, column 2: expected a string, found '\''`},
		{`{args: []}`, "line 1, column 2: expected a string, found 'a'"},
		{"{\"a\": \xff}", "line 1, column 7: expected a value, found a byte that is not UTF-8"},
		{"{\"a\":\u00a01}", `line 1, column 6: expected a value, found '\u00a0'`},
		{"{\"cwd\": \"a\nb\"}", `line 1, column 11: cwd: control character '\n' in a string`},
		{`{"cwd": "\x41"}`, "line 1, column 10: cwd: unknown escape sequence in a string"},
		{`{"cwd": "\u00g0"}`, "line 1, column 10: cwd: unknown escape sequence in a string"},
		{`{"x": [1, {"y": tru}]}`, "line 1, column 17: expected a value, found 't'"},
		{`{"x": -}`, "line 1, column 8: expected a digit, found '}'"},
		{`{"x": 1.}`, "line 1, column 9: expected a digit, found '}'"},
		{`{"x": 1e+}`, "line 1, column 10: expected a digit, found '}'"},
		{`{"x": .5}`, "line 1, column 7: expected a value, found '.'"},
		{`{"linux": {"seccomp": [}}`, "line 1, column 24: linux.seccomp: expected a value, found '}'"},
		{`{"x": "` + "\t" + `"}`, `line 1, column 8: control character '\t' in a string`},
		{"{} // comment", "line 1, column 4: expected end of file, found '/'"},
	} {
		got, err := Parse([]byte(test.in))
		if err == nil || err.Error() != test.want || !reflect.DeepEqual(got, Config{}) {
			t.Errorf("Parse(%q) = %+v, %v, want error %s", test.in, got, err, test.want)
		}
	}
}
