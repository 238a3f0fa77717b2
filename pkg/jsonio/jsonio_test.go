package jsonio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppend(t *testing.T) {
	value := NewObject("s", "a\"\xff\n", "i", -1, "i64", int64(math.MinInt64), "u", uint64(math.MaxUint64),
		"f", 0.001234, "b", true, "l", []string{"x", ""}, "none", []string(nil), "o", NewObject("in", 1),
		"os", List[Object]{nil, NewObject("a", "b")}, "addr", netip.AddrFrom4([4]byte{192, 0, 2, 1}), "nil", nil)
	const want = `{"s": "a\"` + "\ufffd" + `\n", "i": -1, "i64": -9223372036854775808, "u": 18446744073709551615, ` +
		`"f": 0.001234, "b": true, "l": ["x", ""], "none": [], "o": {"in": 1}, "os": [{}, {"a": "b"}], ` +
		`"addr": "192.0.2.1", "nil": "<nil>"}`
	got := Append([]byte("x"), value)
	if string(got) != "x"+want || !json.Valid(got[1:]) {
		t.Errorf("Append() = %s, want x%s", got, want)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, got[1:], "", "  "); err != nil {
		t.Fatal(err)
	}
	if got := Indent(got[1:]); string(got) != indented.String() {
		t.Errorf("Indent() = %s, want %s", got, indented.String())
	}
}

// tree reads any value into what encoding/json makes of it, with numbers that are integers.
func tree(r *Reader) (v any, err error) {
	switch r.Kind() {
	case '{':
		object := map[string]any{}
		err = r.Object(func(name string) (err error) {
			object[name], err = tree(r)
			return err
		})
		return object, err
	case '[':
		list := []any{}
		err = r.List(func() error {
			element, err := tree(r)
			list = append(list, element)
			return err
		})
		return list, err
	case '"':
		var s string
		err = r.Text(&s)
		return s, err
	case 't', 'f':
		var b bool
		err = r.Bool(&b)
		return b, err
	case 'n':
		return nil, r.Skip()
	}
	var n int64
	err = Integer(r, &n, math.MinInt64, math.MaxInt64)
	return float64(n), err
}

func TestRead(t *testing.T) {
	for _, text := range []string{
		`{"a": [1, -2, "x", true, false, {}], "b\u0041": {"c": []}}`, ` [ ] `, `"\ud83d\udc4b\n"`, `-9223372036854775808`,
		`{"a": 1, "a": 2}`, `[null]`,
	} {
		r := NewReader([]byte(text))
		got, err := tree(r)
		err = errors.Join(err, r.End())
		var want any
		if e := json.Unmarshal([]byte(text), &want); e != nil || err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads as %v, %v, want %v, %v", text, got, err, want, e)
		}
	}
}

func TestReadErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"a": [1, 1.5]}`, "byte 10: /a/1: expected an integer from -9223372036854775808 to 9223372036854775807, found 1.5"},
		{`9223372036854775808`, "byte 0: expected an integer from -9223372036854775808 to 9223372036854775807, found 9223372036854775808"},
		{`[] x`, "byte 3: invalid character 'x' after top-level value"},
		{"[]\xff", `byte 2: invalid character '\xff' after top-level value`},
	} {
		r := NewReader([]byte(c.text))
		_, err := tree(r)
		if err == nil {
			err = r.End()
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
	for text, read := range map[string]func(*Reader) error{
		` {"a": {}}`: func(r *Reader) error { return r.Object(func(string) error { return r.List(nil) }) },
		`["a", "b"]`: func(r *Reader) error { return r.List(func() error { return r.Bool(new(bool)) }) },
		`{"a": 1}`:   func(r *Reader) error { return r.Text(new(string)) },
		`{"a":  "b"}`: func(r *Reader) error {
			return r.Object(func(string) error { return r.Fail(errors.New("bad name")) })
		},
	} {
		want := map[string]string{
			` {"a": {}}`:  "byte 7: /a: expected a list, found an object",
			`["a", "b"]`:  "byte 1: /0: expected true or false, found a string",
			`{"a": 1}`:    "byte 0: expected a string, found an object",
			`{"a":  "b"}`: "byte 1: /a: bad name",
		}[text]
		if err := read(NewReader([]byte(text))); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// FuzzRead compares with encoding/json, which does not accept more.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{`{"a": [1, -2, "x\ud800", true, null, {}]}`, `[`, `1e5`, `"` + "\xff" + `"`, `{"a" 1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := NewReader(text)
		got, err := tree(r)
		if err == nil {
			err = r.End()
		}
		var want any
		jsonErr := json.Unmarshal(text, &want)
		if err == nil && jsonErr != nil {
			t.Fatalf("%q reads as %v, want an error as %v", text, got, jsonErr)
		}
		if err != nil || !utf8.Valid(text) || bytes.Contains(text, []byte("null")) || strings.Contains(fmt.Sprint(want), "e+") {
			return // numbers that float64 has not; members that are skipped; bytes that encoding/json replaces
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q reads as %#v, want %#v", text, got, want)
		}
	})
}
