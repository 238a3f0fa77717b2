package guestconfig

import (
	"reflect"
	"strings"
	"testing"
)

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
		{`{"linux": {"sysctl": {"a\n": "1", "b\u0000": "1"}}}`, `line 1, column 35: linux.sysctl."b\x00": contains a NUL byte`},
		{`{"linux": {"sysctl": {"a\n.` + strings.Repeat("b", 50) + `": 1}}}`,
			`line 1, column 81: linux.sysctl."a\n.` + strings.Repeat("b", 37) + `...": expected a string, found a number`},

		// A choice of words, and what has to be there.
		{`{"process": {"scheduler": {"policy": "SCHED_NORMAL"}}}`,
			`line 1, column 38: process.scheduler.policy: unknown policy "SCHED_NORMAL"`},
		{`{"process": {"scheduler": {"policy": "SCHED_RR", "flags": ["RESET_ON_FORK"]}}}`,
			`line 1, column 60: process.scheduler.flags[0]: unknown flag "RESET_ON_FORK"`},
		{`{"process": {"scheduler": {"nice": 1}}}`, "line 1, column 27: process.scheduler.policy: no policy"},
		{`{"process": {"ioPriority": {"class": "BE"}}}`, `line 1, column 38: process.ioPriority.class: unknown class "BE"`},
		{`{"process": {"ioPriority": {}}}`, "line 1, column 28: process.ioPriority.class: no class"},
		{`{"process": {"execCPUAffinity": {"initial": "0-"}}}`,
			`line 1, column 45: process.execCPUAffinity.initial: unknown list of CPUs "0-"`},
		{`{"linux": {"devices": [{"path": "/d", "type": "d"}]}}`, `line 1, column 47: linux.devices[0].type: unknown type of device "d"`},
		{`{"linux": {"devices": [{"type": "c"}]}}`, "line 1, column 24: linux.devices[0].path: no path"},
		{`{"linux": {"devices": [{"path": "/d"}]}}`, "line 1, column 24: linux.devices[0].type: no type of device"},
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
		{`{"process": {"user": {"uid": 01}}}`, "line 1, column 31: process.user: invalid character '1' after object value (expecting ',' or '}')"},

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
		{`{"process": {"rlimits": [{}]}}`, "line 1, column 26: process.rlimits[0]: no resource"},
		{`{"process": {"rlimits": [{"type": "RLIMIT_AS"}, {"type": "RLIMIT_AS"}]}}`,
			"line 1, column 49: process.rlimits[1]: RLIMIT_AS is limited twice"},
		{`{"process": {"rlimits": [{"type": "RLIMIT_AS", "soft": 2, "hard": 1}]}}`,
			"line 1, column 26: process.rlimits[0]: RLIMIT_AS: soft limit 2 is above hard limit 1"},

		// NUL.
		{`{"args": ["a", "b\u0000c"]}`, "line 1, column 16: args[1]: contains a NUL byte"},
		{`{"env": ["A=\u0000"]}`, "line 1, column 10: env[0]: contains a NUL byte"},
		{`{"process": {"cwd": "\u0000"}}`, "line 1, column 21: process.cwd: contains a NUL byte"},
		{`{"mounts": [{"source": "a\u0000"}]}`, "line 1, column 24: mounts[0].source: contains a NUL byte"},
		{"{\"cwd\": \"/\x00\"}", `line 1, column 11: cwd: invalid character '\x00' in string (expecting non-control character)`},

		// Syntax, in what is read and in what is skipped.
		{`{} {}`, "line 1, column 4: invalid character '{' after top-level value"},
		{"{}\x00", `line 1, column 3: invalid character '\x00' after top-level value`},
		{`{,}`, "line 1, column 2: invalid character ',' at start of value"},
		{`{"a": 1,}`, "line 1, column 8: invalid character ',' at start of value"},
		{`{"a" 1}`, "line 1, column 6: a: invalid character '1' after object name (expecting ':')"},
		{`{"a":: 1}`, "line 1, column 6: a: invalid character ':' at start of value"},
		{`{"args": ["a" "b"]}`, `line 1, column 15: args: invalid character '"' after array element (expecting ',' or ']')`},
		{`{"args": ["a",]}`, "line 1, column 14: args: invalid character ',' at start of value"},
		{`{"args": nul}`, "line 1, column 13: args: invalid character '}' in literal null (expecting 'l')"},
		{`{'args': []}`, `line 1, column 2: invalid character '\'' at start of value`},
		{`{args: []}`, "line 1, column 2: invalid character 'a' at start of value"},
		{"{\"a\": \xff}", `line 1, column 7: a: invalid character '\xff' at start of value`},
		{"{\"a\":\u00a01}", `line 1, column 6: a: invalid character '\u00a0' at start of value`},
		{"{\"cwd\": \"a\nb\"}", `line 1, column 11: cwd: invalid character '\n' in string (expecting non-control character)`},
		{`{"cwd": "\x41"}`, "line 1, column 10: cwd: invalid escape sequence `\\x` in string"},
		{`{"cwd": "\u00g0"}`, "line 1, column 10: cwd: invalid escape sequence `\\u00g0` in string"},
		{`{"x": [1, {"y": tru}]}`, "line 1, column 20: x[1].y: invalid character '}' in literal true (expecting 'e')"},
		{`{"x": -}`, "line 1, column 8: x: invalid character '}' in number (expecting digit)"},
		{`{"x": 1.}`, "line 1, column 9: x: invalid character '}' in number (expecting digit)"},
		{`{"x": 1e+}`, "line 1, column 10: x: invalid character '}' in number (expecting digit)"},
		{`{"x": .5}`, "line 1, column 7: x: invalid character '.' at start of value"},
		{`{"linux": {"seccomp": [}}`, "line 1, column 24: linux.seccomp[0]: invalid character '}' at start of value"},
		{`{"x": "` + "\t" + `"}`, `line 1, column 8: x: invalid character '\t' in string (expecting non-control character)`},
		{"{} // comment", "line 1, column 4: invalid character '/' after top-level value"},
	} {
		got, err := Parse([]byte(test.in))
		if err == nil || err.Error() != test.want || !reflect.DeepEqual(got, Config{}) {
			t.Errorf("Parse(%q) = %+v, %v, want error %s", test.in, got, err, test.want)
		}
	}
}
