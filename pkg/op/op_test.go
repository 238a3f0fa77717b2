package op

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

type named string

func (n *named) String() string { return "named " + string(*n) }

func TestDescribe(t *testing.T) {
	number, name := 7, named("n")
	for _, c := range []struct {
		d    Description
		text string
		json string
	}{
		{Describe("sync", ""), "sync", `{"do": "sync", "on": ""}`},
		{Describe("mount", "/a b", "type", "tmpfs", "options", ""), `mount "/a b" type=tmpfs options=""`,
			`{"do": "mount", "on": "/a b", "type": "tmpfs", "options": ""}`},
		{Describe("x", "y", "list", []string{"a", "", "[b]", "c\n"}), `x y list=[a "" "[b]" "c\n"]`,
			`{"do": "x", "on": "y", "list": ["a", "", "[b]", "c\n"]}`},
		{Describe("x", "y", "none", []string(nil)), "x y none=[]", `{"do": "x", "on": "y", "none": []}`},
		{Describe("x", "y", "uid", 3, "gid", &number, "set", true, "name", &name), `x y uid=3 gid=7 set=true name="named n"`,
			`{"do": "x", "on": "y", "uid": "3", "gid": "7", "set": "true", "name": "named n"}`},
		{Describe("x", "y", "a", nil, "b", (*int)(nil), "c", If(false, 1), "d", If(true, 2)), "x y d=2", `{"do": "x", "on": "y", "d": "2"}`},
		{Describe("x", "\xff", "a", "\u00e9\u0085"), `x "\xff" a="é\u0085"`, "{\"do\": \"x\", \"on\": \"\ufffd\", \"a\": \"\u00e9\u0085\"}"},
	} {
		if got := c.d.String(); got != c.text {
			t.Errorf("String() = %s, want %s", got, c.text)
		}
		if got := string(c.d.AppendJSON(nil)); got != c.json || !json.Valid([]byte(got)) {
			t.Errorf("AppendJSON() = %s, want %s", got, c.json)
		}
	}
}

func TestProtect(t *testing.T) {
	failed := errors.New("failed")
	if err := Protect(func() error { return failed }); err != failed {
		t.Errorf("Protect() = %v, want the error of f", err)
	}
	var none []int
	err := Protect(func() error { return errors.New(strings.Repeat("x", none[3])) })
	if err == nil || !strings.Contains(err.Error(), "internal error: ") || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("Protect() = %v, want the panic as an error", err)
	}
}
