package guestconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParse(f *testing.F) {
	f.Add(ociFile(f))
	for _, seed := range []string{
		"", "\ufeff{}", `{"Entrypoint": ["e"], "Cmd": ["a"], "Env": ["A=1", "=", "x"], "WorkingDir": "/", "User": "u"}`,
		`{"process": {"user": {"uid": 1, "umask": 18, "additionalGids": [1]}, "noNewPrivileges": true}}`,
		`{"process": {"rlimits": [{"type": "RLIMIT_AS", "soft": 1, "hard": 2}]}, "root": {"readonly": true}}`,
		`{"mounts": [{"destination": "/a", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}]}`,
		`{"linux": {"rootfsPropagation": "shared", "maskedPaths": ["/a"], "namespaces": [{"type": "mount"}]}}`,
		`{"process": {"capabilities": {"bounding": ["CAP_KILL", "X"], "ambient": ["CAP_BPF"]}, "oomScoreAdj": -1, "terminal": true}}`,
		`{"process": {"scheduler": {"policy": "SCHED_RR", "flags": ["SCHED_FLAG_RECLAIM"], "nice": -1}, "consoleSize": {"width": 1}}}`,
		`{"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 7}, "execCPUAffinity": {"final": "0-1,7"}}}`,
		`{"User": "a:b", "StopSignal": "SIGRTMIN+1", "domainname": "d", "linux": {"sysctl": {"a.b": "1", "c\n": 1}}}`,
		`{"linux": {"devices": [{"path": "/d", "type": "c", "major": 1, "minor": 2, "fileMode": 3, "uid": 4, "gid": 5}]}}`,
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
			if !strings.HasPrefix(err.Error(), "line ") || strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000 {
				t.Errorf("Parse(%q) = %q, want a place, on one line", data, err)
			}
			return
		}
		all := append(config.Args, config.Cwd, config.Hostname)
		for _, entry := range config.Env {
			if name, _, ok := strings.Cut(entry, "="); !ok || name == "" {
				t.Errorf("Parse(%q).Env has %q, want NAME=VALUE", data, entry)
			}
			all = append(all, entry)
		}
		all = append(append(append(all, config.RootfsPropagation), config.MaskedPaths...), config.ReadonlyPaths...)
		all = append(all, config.Domainname, config.Username)
		for _, s := range config.Sysctls {
			all = append(all, s.Name, s.Value)
		}
		for _, d := range config.Devices {
			if all = append(all, d.Path); d.Path == "" || d.Type == 0 {
				t.Errorf("Parse(%q) has a device %q of type %q, want both", data, d.Path, d.Type)
			}
		}
		if c := config.Capabilities; c != nil {
			if _, refused := c.Grantable(); refused != 0 {
				t.Errorf("Parse(%q) has the capabilities %q, want none that the kernel refuses", data, refused.Names())
			}
		}
		for _, m := range config.Mounts {
			all = append(append(all, m.Destination, m.Type, m.Source), m.Options...)
		}
		for _, s := range all {
			if strings.Contains(s, "\x00") {
				t.Errorf("Parse(%q) has the string %q, want no NUL", data, s)
			}
		}
	})
}

// FuzzReader compares reader with encoding/json on documents of any type.
func FuzzReader(f *testing.F) {
	f.Add(ociFile(f))
	for _, seed := range []string{
		`[]`, `{}`, `null`, `true`, `fals`, `""`, `0`, `-0`, `01`, `1.`, `.5`, `-`, `1e5`, `1E-5`, `1e`, `[1,]`, `{"a":1,}`,
		`"\ud83d\udc4b"`, `"\ud83d\u0041"`, `"\udc4b"`, `"\ud83d\ud83d\udc4b"`, `"\u00"`, `"\x"`, "\"\t\"", `"\/\"\\"`,
		` { "a" : [ 1 , { "b" : null } ] , "a" : "c" } `, `[[[[]]]]`, `"a" "b"`, "\"\x7f\u2028\"", "\u00a0[]", "[\v]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) {
			return // encoding/json would replace what is not
		}
		got, err := readAll(data)
		if e, ok := errors.AsType[*docError](err); ok && strings.HasPrefix(e.problem, "nested more than") {
			return // encoding/json goes deeper
		}
		if skipped := skipAll(data); (err == nil) != (skipped == nil) {
			t.Errorf("reading %q: %v, skipping it: %v", data, err, skipped)
		}
		if (err == nil) != json.Valid(data) {
			t.Fatalf("reader on %q: %v, want valid: %v", data, err, json.Valid(data))
		}
		if err == nil {
			decoder := json.NewDecoder(bytes.NewReader(data))
			decoder.UseNumber()
			if want := readAllJSON(t, decoder); !reflect.DeepEqual(got, want) {
				t.Errorf("reader on %q = %#v, want %#v", data, got, want)
			}
		}
	})
}

// member is a member of an object that is not null; objects are lists of these.
type member struct {
	name  string
	value any
}

// readAll reads a document of any type by means of a reader.
func readAll(data []byte) (any, error) {
	r := reader{data: data}
	r.skipSpace()
	value, err := r.any()
	if r.skipSpace(); err == nil && r.pos < len(data) {
		err = r.expected("end of file")
	}
	return value, err
}

func (r *reader) any() (any, error) {
	switch c := r.peek(); {
	case c == '{':
		members := []member{}
		err := r.object(func(name []byte) (bool, error) {
			m := member{name: string(name)}
			var err error
			m.value, err = r.any()
			members = append(members, m)
			return true, err
		})
		return members, err
	case c == '[':
		list := []any{}
		err := r.array(func() error {
			value, err := r.any()
			list = append(list, value)
			return err
		})
		return list, err
	case c == '"':
		return r.string()
	case isNumberStart(c):
		number, err := r.number()
		return json.Number(number), err
	}
	literal := r.literal()
	if err := r.skip(); err != nil || literal == "null" {
		return nil, err
	}
	return literal == "true", nil
}

func skipAll(data []byte) error {
	r := reader{data: data}
	r.skipSpace()
	err := r.skip()
	if r.skipSpace(); err == nil && r.pos < len(data) {
		err = r.expected("end of file")
	}
	return err
}

// readAllJSON reads what readAll reads by means of encoding/json.
func readAllJSON(t *testing.T, decoder *json.Decoder) any {
	next := func() json.Token {
		token, err := decoder.Token()
		if err != nil {
			t.Fatalf("json.Decoder.Token() = %v", err)
		}
		return token
	}
	switch token := next(); token {
	case json.Delim('{'):
		members := []member{}
		for decoder.More() {
			m := member{name: next().(string)}
			if m.value = readAllJSON(t, decoder); m.value != nil {
				members = append(members, m)
			}
		}
		next()
		return members
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			list = append(list, readAllJSON(t, decoder))
		}
		next()
		return list
	default:
		return token
	}
}
