package guestconfig

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestParseErrors has errors as LINE:COLUMN: MESSAGE.
func TestParseErrors(t *testing.T) {
	place := regexp.MustCompile(`^line ([0-9]+), column ([0-9]+): `)
	for _, test := range []struct{ in, want string }{
		// Where the file ends early.
		{"", "1:1: unexpected end of file"},
		{"\ufeff \n", "2:1: unexpected end of file"},
		{"{\n  \"args\": [\n    \"a\"\n  ]\n", "5:1: unexpected end of file"},
		{`{"process": {"args": ["a"`, "1:26: process.args: unexpected end of file"},
		{`{"args": ["é`, "1:13: args[0]: unexpected end of file"},
		{`{"args": ["\u12`, "1:16: args[0]: unexpected end of file"},
		{`{"args": ["\`, "1:13: args[0]: unexpected end of file"},

		// Wrong types.
		{`[]`, "1:1: expected an object, found a list"},
		{`"x"`, "1:1: expected an object, found a string"},
		{`null`, "1:1: expected an object, found null"},
		{`{"args": "sh"}`, "1:10: args: expected a list, found a string"},
		{
			"{\"process\": {\n\t\"args\": [\"é\", 7]}}",
			"2:16: process.args[1]: expected a string, found a number",
		},
		{`{"Env": {"A": "1"}}`, "1:9: Env: expected a list, found an object"},
		{`{"env": [null]}`, "1:10: env[0]: expected a string, found null"},
		{`{"env": ["A=1", ["B=2"]]}`, "1:17: env[1]: expected a string, found a list"},
		{`{"cwd": true}`, "1:9: cwd: expected a string, found true"},
		{`{"process": []}`, "1:13: process: expected an object, found a list"},
		{`{"hostname": 1}`, "1:14: hostname: expected a string, found a number"},
		{`{"linux": false}`, "1:11: linux: expected an object, found false"},
		{
			`{"mounts": [{}, {"options": [-1]}]}`,
			"1:30: mounts[1].options[0]: expected a string, found a number",
		},

		{
			`{"root": {"readonly": "true"}}`,
			"1:23: root.readonly: expected true or false, found a string",
		},
		{
			`{"process": {"noNewPrivileges": 1}}`,
			"1:33: process.noNewPrivileges: expected true or false, found a number",
		},
		{
			`{"process": {"capabilities": {"bounding": [1]}}}`,
			"1:44: process.capabilities.bounding[0]: expected a string, found a number",
		},
		{
			`{"process": {"capabilities": ["CAP_KILL"]}}`,
			"1:30: process.capabilities: expected an object, found a list",
		},
		{`{"User": 1000}`, "1:10: User: expected a string, found a number"},
		{
			`{"linux": {"sysctl": {"a": 1}}}`,
			"1:28: linux.sysctl.a: expected a string, found a number",
		},
		{
			`{"linux": {"sysctl": {"a\n": "1", "b\u0000": "1"}}}`,
			`1:35: linux.sysctl."b\x00": contains a NUL byte`,
		},
		{
			`{"linux": {"sysctl": {"a\n.` + strings.Repeat("b", 50) + `": 1}}}`,
			`1:81: linux.sysctl."a\n.` + strings.Repeat("b", 37) +
				`...": expected a string, found a number`,
		},

		// A choice of words, and what has to be there.
		{
			`{"process": {"scheduler": {"policy": "SCHED_NORMAL"}}}`,
			`1:38: process.scheduler.policy: unknown policy "SCHED_NORMAL"`,
		},
		{
			`{"process": {"scheduler": {"policy": "SCHED_RR", "flags": ["RESET_ON_FORK"]}}}`,
			`1:60: process.scheduler.flags[0]: unknown flag "RESET_ON_FORK"`,
		},
		{
			`{"process": {"scheduler": {"nice": 1}}}`,
			"1:27: process.scheduler.policy: no policy",
		},
		{
			`{"process": {"ioPriority": {"class": "BE"}}}`,
			`1:38: process.ioPriority.class: unknown class "BE"`,
		},
		{
			`{"process": {"ioPriority": {}}}`,
			"1:28: process.ioPriority.class: no class",
		},
		{
			`{"process": {"execCPUAffinity": {"initial": "0-"}}}`,
			`1:45: process.execCPUAffinity.initial: unknown list of CPUs "0-"`,
		},
		{
			`{"linux": {"devices": [{"path": "/d", "type": "d"}]}}`,
			`1:47: linux.devices[0].type: unknown type of device "d"`,
		},
		{
			`{"linux": {"devices": [{"type": "c"}]}}`,
			"1:24: linux.devices[0].path: no path",
		},
		{
			`{"linux": {"devices": [{"path": "/d"}]}}`,
			"1:24: linux.devices[0].type: no type of device",
		},
		{
			`{"linux": {"namespaces": ["mount"]}}`,
			"1:27: linux.namespaces[0]: expected an object, found a string",
		},
		{
			`{"linux": {"maskedPaths": "/a"}}`,
			"1:27: linux.maskedPaths: expected a list, found a string",
		},
		{
			`{"linux": {"readonlyPaths": ["/a\u0000"]}}`,
			"1:30: linux.readonlyPaths[0]: contains a NUL byte",
		},
		{
			`{"linux": {"rootfsPropagation": "Shared"}}`,
			`1:33: linux.rootfsPropagation: unknown propagation "Shared"`,
		},

		// Numbers.
		{
			`{"process": {"user": {"uid": "0"}}}`,
			"1:30: process.user.uid: expected a number, found a string",
		},
		{
			`{"process": {"user": {"uid": -1}}}`,
			"1:30: process.user.uid: expected an integer from 0 to 4294967294, found -1",
		},
		{
			`{"process": {"user": {"gid": 4294967295}}}`,
			"1:30: process.user.gid: expected an integer from 0 to 4294967294, found 4294967295",
		},
		{
			`{"process": {"user": {"umask": 1.0}}}`,
			"1:32: process.user.umask: expected an integer from 0 to 4294967295, found 1.0",
		},
		{
			`{"process": {"user": {"additionalGids": [1, 1e3]}}}`,
			"1:45: process.user.additionalGids[1]: " +
				"expected an integer from 0 to 4294967294, found 1e3",
		},
		{
			`{"process": {"rlimits": [{"soft": 18446744073709551616}]}}`,
			"1:35: process.rlimits[0].soft: " +
				"expected an integer from 0 to 18446744073709551615, found 18446744073709551616",
		},
		{
			`{"process": {"user": {"uid": 1` + strings.Repeat("0", 50) + `}}}`,
			"1:30: process.user.uid: expected an integer from 0 to 4294967294, found 1" +
				strings.Repeat("0", 39) + "...",
		},
		{
			`{"process": {"user": {"uid": 01}}}`,
			"1:31: process.user: invalid character '1' after object value (expecting ',' or '}')",
		},

		{
			`{"process": {"oomScoreAdj": 1001}}`,
			"1:29: process.oomScoreAdj: expected an integer from -1000 to 1000, found 1001",
		},
		{
			`{"process": {"oomScoreAdj": "1"}}`,
			"1:29: process.oomScoreAdj: expected a number, found a string",
		},
		{
			`{"process": {"scheduler": {"nice": -2147483649}}}`,
			"1:36: process.scheduler.nice: " +
				"expected an integer from -2147483648 to 2147483647, found -2147483649",
		},
		{
			`{"process": {"ioPriority": {"priority": 8}}}`,
			"1:41: process.ioPriority.priority: expected an integer from 0 to 7, found 8",
		},
		{
			`{"process": {"consoleSize": {"width": 65536}}}`,
			"1:39: process.consoleSize.width: expected an integer from 0 to 65535, found 65536",
		},
		{
			`{"linux": {"devices": [{"minor": 1048576}]}}`,
			"1:34: linux.devices[0].minor: expected an integer from 0 to 1048575, found 1048576",
		},

		// Limits.
		{
			`{"process": {"rlimits": [{"type": "NOFILE"}]}}`,
			`1:26: process.rlimits[0]: unknown resource "NOFILE"`,
		},
		{`{"process": {"rlimits": [{}]}}`, "1:26: process.rlimits[0]: no resource"},
		{
			`{"process": {"rlimits": [{"type": "RLIMIT_AS"}, {"type": "RLIMIT_AS"}]}}`,
			"1:49: process.rlimits[1]: RLIMIT_AS is limited twice",
		},
		{
			`{"process": {"rlimits": [{"type": "RLIMIT_AS", "soft": 2, "hard": 1}]}}`,
			"1:26: process.rlimits[0]: RLIMIT_AS: soft limit 2 is above hard limit 1",
		},

		// Fields of objects that are given twice, and of lists.
		{
			`{"linux": {"rootfsPropagation": "shared"}, "linux": {"rootfsPropagation": "x"}}`,
			`1:75: linux.rootfsPropagation: unknown propagation "x"`,
		},
		{
			`{"linux": {"rootfsPropagation": "x"}, "linux": {"sysctl": {"linux": "y"}}}`,
			`1:33: linux.rootfsPropagation: unknown propagation "x"`,
		},
		{
			`{"linux": {"devices": [{"path": "a", "type": "c"}, {"path": "a", "type": "x"}]}}`,
			`1:74: linux.devices[1].type: unknown type of device "x"`,
		},
		{
			"{\n\"process\": {\"scheduler\": {\"policy\": null,\n \"nice\": 1}, \"user\": {}}}",
			"2:37: process.scheduler.policy: no policy",
		},

		// NUL.
		{`{"args": ["a", "b\u0000c"]}`, "1:16: args[1]: contains a NUL byte"},
		{`{"env": ["A=\u0000"]}`, "1:10: env[0]: contains a NUL byte"},
		{`{"process": {"cwd": "\u0000"}}`, "1:21: process.cwd: contains a NUL byte"},
		{
			`{"mounts": [{"source": "a\u0000"}]}`,
			"1:24: mounts[0].source: contains a NUL byte",
		},
		{
			"{\"cwd\": \"/\x00\"}",
			`1:11: cwd: invalid character '\x00' in string (expecting non-control character)`,
		},

		// Syntax, in what is read and in what is skipped.
		{`{} {}`, "1:4: invalid character '{' after top-level value"},
		{"{}\x00", `1:3: invalid character '\x00' after top-level value`},
		{`{,}`, "1:2: invalid character ',' at start of value"},
		{`{"a": 1,}`, "1:8: invalid character ',' at start of value"},
		{`{"a" 1}`, "1:6: a: invalid character '1' after object name (expecting ':')"},
		{`{"a":: 1}`, "1:6: a: invalid character ':' at start of value"},
		{
			`{"args": ["a" "b"]}`,
			`1:15: args: invalid character '"' after array element (expecting ',' or ']')`,
		},
		{`{"args": ["a",]}`, "1:14: args: invalid character ',' at start of value"},
		{
			`{"args": nul}`,
			"1:13: args: invalid character '}' in literal null (expecting 'l')",
		},
		{`{'args': []}`, `1:2: invalid character '\'' at start of value`},
		{`{args: []}`, "1:2: invalid character 'a' at start of value"},
		{"{\"a\": \xff}", `1:7: a: invalid character '\xff' at start of value`},
		{"{\"a\":\u00a01}", `1:6: a: invalid character '\u00a0' at start of value`},
		{
			"{\"cwd\": \"a\nb\"}",
			`1:11: cwd: invalid character '\n' in string (expecting non-control character)`,
		},
		{`{"cwd": "\x41"}`, "1:10: cwd: invalid escape sequence `\\x` in string"},
		{
			`{"cwd": "\u00g0"}`,
			"1:10: cwd: invalid escape sequence `\\u00g0` in string",
		},
		{
			`{"x": [1, {"y": tru}]}`,
			"1:20: x[1].y: invalid character '}' in literal true (expecting 'e')",
		},
		{`{"x": -}`, "1:8: x: invalid character '}' in number (expecting digit)"},
		{`{"x": 1.}`, "1:9: x: invalid character '}' in number (expecting digit)"},
		{`{"x": 1e+}`, "1:10: x: invalid character '}' in number (expecting digit)"},
		{`{"x": .5}`, "1:7: x: invalid character '.' at start of value"},
		{
			`{"linux": {"seccomp": [}}`,
			"1:24: linux.seccomp[0]: invalid character '}' at start of value",
		},
		{
			"{\"x\": \"\t\"}",
			`1:8: x: invalid character '\t' in string (expecting non-control character)`,
		},
		{"{} // comment", "1:4: invalid character '/' after top-level value"},
	} {
		got, err := Parse([]byte(test.in))
		message := place.ReplaceAllString(fmt.Sprint(err), "$1:$2: ")
		if err == nil || message != test.want || !reflect.DeepEqual(got, Config{}) {
			t.Errorf("Parse(%q) = %+v, %q, want error %q", test.in, got, message, test.want)
		}
	}
}
