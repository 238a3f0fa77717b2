package main

import (
	"io"
	"strings"
	"testing"
)

func TestEscapeReader(t *testing.T) {
	for _, tt := range []struct {
		input, want string
		escaped     bool
	}{
		{"plain", "plain", false},
		{"before\x1dafter", "before", true},
		{"\x1d", "", true},
	} {
		escaped := false
		got, err := io.ReadAll(&escapeReader{r: strings.NewReader(tt.input), escape: func() { escaped = true }})
		if string(got) != tt.want || err != nil || escaped != tt.escaped {
			t.Errorf("ReadAll() of %q = %q, %v, escape called: %v, want %q, nil, %v",
				tt.input, got, err, escaped, tt.want, tt.escaped)
		}
	}
}

func TestLineWriter(t *testing.T) {
	var out strings.Builder
	w := &lineWriter{prefix: "p: ", w: &out}
	for _, s := range []string{"one\ntw", "", "o", "\n\nthr", "ee"} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("Write(%q) = %d, %v, want %d", s, n, err, len(s))
		}
	}
	w.Close()
	if got, want := out.String(), "p: one\np: two\np: \np: three\n"; got != want {
		t.Errorf("output = %q, want %q", got, want)
	}
}

func TestCarriageReturns(t *testing.T) {
	var out strings.Builder
	n, err := (withCR{&out}).Write([]byte("a\nb\n"))
	if n != 4 || err != nil || out.String() != "a\r\nb\r\n" {
		t.Errorf("withCR: Write() = %d, %v, output %q, want 4, nil, %q",
			n, err, out.String(), "a\r\nb\r\n")
	}
	out.Reset()
	n, err = (withoutCR{&out}).Write([]byte("a\r\nb"))
	if n != 4 || err != nil || out.String() != "a\nb" {
		t.Errorf("withoutCR: Write() = %d, %v, output %q, want 4, nil, %q",
			n, err, out.String(), "a\nb")
	}
}
