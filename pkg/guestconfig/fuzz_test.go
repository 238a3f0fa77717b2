package guestconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/pkg/oci"
)

func FuzzParse(f *testing.F) {
	f.Add(ociFile(f))
	for _, seed := range []string{
		"", "\ufeff{}", `{"Entrypoint": ["e"], "Cmd": ["a"], "Env": ["A=1", "=", "x"]}`,
		`{"WorkingDir": "/", "User": "u"}`,
		`{"process": {"user": {"uid": 1, "umask": 18, "additionalGids": [1]},
		  "noNewPrivileges": true}}`,
		`{"process": {"rlimits": [{"type": "RLIMIT_AS", "soft": 1, "hard": 2}]},
		  "root": {"readonly": true}}`,
		`{"mounts": [{"destination": "/a", "type": "tmpfs", "source": "tmpfs",
		              "options": ["ro"]}]}`,
		`{"linux": {"rootfsPropagation": "shared", "maskedPaths": ["/a"],
		  "namespaces": [{"type": "mount"}]}}`,
		`{"process": {"capabilities": {"bounding": ["CAP_KILL", "X"], "ambient": ["CAP_BPF"]},
		  "oomScoreAdj": -1, "terminal": true}}`,
		`{"process": {"scheduler": {"policy": "SCHED_RR", "flags": ["SCHED_FLAG_RECLAIM"],
		  "nice": -1}, "consoleSize": {"width": 1}}}`,
		`{"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 7},
		  "execCPUAffinity": {"final": "0-1,7"}}}`,
		`{"User": "a:b", "StopSignal": "SIGRTMIN+1", "domainname": "d",
		  "linux": {"sysctl": {"a.b": "1", "c\n": 1}}}`,
		`{"linux": {"devices": [{"path": "/d", "type": "c", "major": 1, "minor": 2,
		                         "fileMode": 3, "uid": 4, "gid": 5}]}}`,
		`{"args": ["\u0000"]}`, `{"args": ["\ud83d\udc4b"], "args": null, "linux": {"sysctl": {}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		given := bytes.Clone(data)
		config, err := Parse(data)
		if !bytes.Equal(data, given) {
			t.Errorf("Parse(%q) changed its input to %q", given, data)
		}
		if err != nil {
			message := err.Error()
			if !strings.HasPrefix(message, "line ") || strings.Contains(message, "\n") ||
				len(message) > 1000 {
				t.Errorf("Parse(%q) = %q, want a place, on one line", data, err)
			}
			return
		}
		check(t, data, &config)
	})
}

// check checks what the documentation of Config promises.
func check(t *testing.T, data []byte, config *Config) {
	checkStrings(t, data, reflect.ValueOf(config).Elem())
	process := &config.Process
	for _, entry := range process.Env {
		if name, _, ok := strings.Cut(entry, "="); !ok || name == "" {
			t.Errorf("Parse(%q).Process.Env has %q, want NAME=VALUE", data, entry)
		}
	}
	for _, d := range config.Linux.Devices {
		if d.Path == "" || d.Type == "" || !strings.Contains("bcup", d.Type) ||
			d.Major < 0 || d.Major > 1<<12-1 || d.Minor < 0 || d.Minor > 1<<20-1 {
			t.Errorf("Parse(%q) has the device %+v, want path, type and numbers", data, d)
		}
	}
	if c := process.Capabilities; c != nil {
		sets, err := oci.ParseCapabilities(*c)
		if _, refused := sets.Grantable(); err != nil || refused != 0 {
			t.Errorf("Parse(%q).Process.Capabilities = %v: the kernel would refuse %q, %v",
				data, c, refused.Names(), err)
		}
	}
	types := map[string]bool{}
	for _, l := range process.Rlimits {
		if err := oci.ValidateRlimit(l); err != nil || types[l.Type] {
			t.Errorf("Parse(%q).Process.Rlimits has %v: %v", data, l, err)
		}
		types[l.Type] = true
	}
	if s := process.Scheduler; s != nil {
		if _, ok := oci.ParsePolicy(string(s.Policy)); !ok {
			t.Errorf("Parse(%q).Process.Scheduler = %+v, want a policy", data, s)
		}
	}
	if p := process.IOPriority; p != nil {
		_, ok := oci.ParseIOClass(string(p.Class))
		if !ok || p.Priority < 0 || p.Priority > 7 {
			t.Errorf("Parse(%q).Process.IOPriority = %+v, want class and priority", data, p)
		}
	}
	if score := process.OOMScoreAdj; score != nil && (*score < -1000 || *score > 1000) {
		t.Errorf("Parse(%q).Process.OOMScoreAdj = %d, want -1000 to 1000", data, *score)
	}
}

// checkStrings checks that no string in v, a part of a configuration, has a NUL byte.
func checkStrings(t *testing.T, data []byte, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(v.String(), "\x00") {
			t.Errorf("Parse(%q) has the string %q, want no NUL", data, v.String())
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			checkStrings(t, data, field)
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkStrings(t, data, v.Index(i))
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			checkStrings(t, data, key)
			checkStrings(t, data, value)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			checkStrings(t, data, v.Elem())
		}
	}
}

// FuzzParseOracle compares Parse with encoding/json on values of unknown members, and on strings.
func FuzzParseOracle(f *testing.F) {
	f.Add(ociFile(f))
	for _, seed := range []string{
		`[]`, `{}`, `null`, `true`, `fals`, `""`, `0`, `-0`, `01`, `1.`, `.5`, `-`, `1e5`, `1E-5`,
		`1e`, `[1,]`, `{"a":1,}`, `"\ud83d\udc4b"`, `"\ud83d\u0041"`, `"\udc4b"`,
		`"\ud83d\ud83d\udc4b"`,
		`"\u00"`, `"\x"`, "\"\t\"", `"\/\"\\"`, ` { "a" : [ 1 , { "b" : null } ] , "a" : "c" } `,
		`[[[[]]]]`, `"a" "b"`, "\"\x7f\u2028\"", "\u00a0[]", "[\v]",
		"\"\xff\\n\xe2\x82\\ud800\xac\"",
		`"\ud800\\u0041"`, "\"\\ud83d\xff\\udc4b\xe2\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		file := fmt.Appendf(nil, `{"unknown": %s}`, value) // or several members
		valid := json.Valid(file)
		_, err := Parse(file)
		if err != nil && strings.Contains(err.Error(), "nested more than") {
			return // encoding/json accepts it
		}
		if valid != (err == nil) {
			t.Errorf("Parse({\"unknown\": %q}) = %v, want valid: %v", value, err, valid)
		}
		var want string
		isString := bytes.HasPrefix(bytes.TrimSpace(value), []byte(`"`))
		if !isString || json.Unmarshal(value, &want) != nil {
			return
		}
		c, err := Parse(fmt.Appendf(nil, `{"args": [%s]}`, value))
		if strings.Contains(want, "\x00") {
			if err == nil {
				t.Errorf("Parse({\"args\": [%q]}) = %q, want an error", value, c.Process.Args)
			}
			return
		}
		// encoding/json replaces each byte that is not UTF-8; so does the conversion to runes.
		args := c.Process.Args
		if err != nil || len(args) != 1 || string([]rune(args[0])) != want {
			t.Errorf("Parse({\"args\": [%q]}) = %q, %v, want %q", value, args, err, want)
		} else if !bytes.Contains(value, []byte(`\`)) && !bytes.Contains(value, []byte(args[0])) {
			t.Errorf("Parse({\"args\": [%q]}) = %q, want the same bytes", value, args)
		}
	})
}
