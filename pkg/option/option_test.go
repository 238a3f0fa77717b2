package option

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args     string
		flag     bool
		text     string
		operands string
		err      string
	}{
		{"", false, "", "", ""},
		{"a -n", false, "", "a -n", ""},
		{"-n --config=x=y a", true, "x=y", "a", ""},
		{"--n -config f -- -n", true, "f", "-n", ""},
		{"-config= -", false, "", "-", ""},
		{"-config -n -n", true, "-n", "", ""},
		{"-x", false, "", "", "-x: no such option"},
		{"-n=1", false, "", "", "-n=1: the option takes no argument"},
		{"--config", false, "", "", "--config: the option needs an argument"},
		{"-h", false, "", "", ErrHelp.Error()},
		{"-n --help", true, "", "", ErrHelp.Error()},
	} {
		var flag bool
		var text string
		operands, err := Parse(strings.Fields(c.args), Flag("n", &flag), Text("config", &text))
		if err != nil {
			if err.Error() != c.err {
				t.Errorf("Parse(%q) = %v, want %q", c.args, err, c.err)
			}
			continue
		}
		if c.err != "" || flag != c.flag || text != c.text || !slices.Equal(operands, strings.Fields(c.operands)) {
			t.Errorf("Parse(%q) = flag %v, text %q, operands %q, want %v, %q, %q, error %q", c.args, flag, text, operands,
				c.flag, c.text, c.operands, c.err)
		}
	}
	if _, err := Parse([]string{"-help"}); !errors.Is(err, ErrHelp) {
		t.Errorf("Parse(-help) = %v, want ErrHelp", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("-n\x00--config=x\x00--\x00a")
	f.Fuzz(func(t *testing.T, args string) {
		var flag bool
		var text string
		Parse(strings.Split(args, "\x00"), Flag("n", &flag), Text("config", &text))
	})
}

func TestDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{"500ms": 500 * time.Millisecond, "10s": 10 * time.Second, "2m": 2 * time.Minute, "0s": 0,
		"": -1, "s": -1, "10": -1, "1.5s": -1, "-1s": -1, "1sm": -1, "1mss": -1, "9999999999s": -1} {
		got, err := Duration(s)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("Duration(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
}
