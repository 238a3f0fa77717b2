package kmodule

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for list, want := range map[string][]Module{
		"":                                  nil,
		"\n \n# /a.ko\n":                    nil,
		"/a.ko\n/b.ko":                      {{"/a.ko", ""}, {"/b.ko", ""}},
		" /a.ko  x=1 y=\"a b\" \r\n/b.ko\n": {{"/a.ko", `x=1 y="a b"`}, {"/b.ko", ""}},
	} {
		if got := Parse(list); !slices.Equal(got, want) {
			t.Errorf("Parse(%q) = %q, want %q", list, got, want)
		}
	}
}

// FuzzParse checks that paths and parameters are words of one line.
func FuzzParse(f *testing.F) {
	f.Add("/a.ko x=1\n# comment\n\n/b.ko")
	f.Fuzz(func(t *testing.T, list string) {
		for _, m := range Parse(list) {
			if m.Path == "" || strings.ContainsAny(m.Path, " \n") ||
				strings.Contains(m.Params, "\n") {
				t.Errorf("Parse(%q) has module %q", list, m)
			}
		}
	})
}
