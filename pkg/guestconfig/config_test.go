package guestconfig

import (
	"reflect"
	"slices"
	"strings"
	"testing"

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
		{`{"hostname": "box"}`, Config{Hostname: "box"}},
		{`{"Hostname": "box"}`, Config{Hostname: "box"}},
		{`{"user": "u", "rlimits": 1, "process": {"hostname": 1, "mounts": 1}, "linux": {"args": 1}}`, Config{}},
	} {
		got, err := Parse([]byte(test.in))
		if err != nil || !equal(got, test.want) {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", test.in, got, err, test.want)
		}
	}
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
		{`{"linux": {"sysctl": {"a": "b"}, "seccomp": {}, "devices": [ ], "namespaces": [1], "resources": {"a": 1}}}`,
			[]string{"linux.sysctl"}},
		{`{"root": {"path": "rootfs", "readonly": true}}`, []string{"root.readonly"}},
		{`{"root": {"path": "rootfs", "readonly": false}}`, nil},
		{`{"User": "app:app", "domainname": ""}`, []string{"User"}},
		{`{"domainname": "example.org", "ExposedPorts": {"80": {}}, "StopSignal": "TERM", "hooks": {"a": [1]}}`,
			[]string{"domainname"}},
		{`{"process": {"noNewPrivileges": true, "oomScoreAdj": 0, "capabilities": null, "terminal": true}}`,
			[]string{"process.noNewPrivileges"}},
		{`{"process": {"user": {"uid": 1, "username": "app"}, "oomScoreAdj": -5, "capabilities": {"bounding": []}}}`,
			[]string{"process.capabilities", "process.oomScoreAdj", "process.user.username"}},
		{`{"process": {"noNewPrivileges": true, "noNewPrivileges": false}}`, nil},
		{`{"process": {"apparmorProfile": "a"}, "process": {"selinuxLabel": "b", "apparmorProfile": "c"}}`,
			[]string{"process.apparmorProfile", "process.selinuxLabel"}},
		{`{"seccomp": {"a": 1}, "linux": {"noNewPrivileges": true}}`, nil},
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
