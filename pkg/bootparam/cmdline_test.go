package bootparam

import (
	"slices"
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	for _, test := range []struct {
		cmdline string
		want    []string
	}{
		{"", nil},
		{" \n", nil},
		{"reboot=k panic=-1 quiet\n", []string{"reboot=k", "panic=-1", "quiet"}},
		{"\ta\v\fb\r\n c", []string{"a", "b", "c"}},
		{"a\xa0b caf\xc3\xa0", []string{"a", "b", "caf\xc3"}},
		{"a -- b", []string{"a"}},
		{"-- b", nil},
		{`a "--" b`, []string{"a"}},
		{"a --b -- c", []string{"a", "--b"}},
		{"a x=-- --= b", []string{"a", "x=--", "--=", "b"}},
		{`"a b" c`, []string{"a b", "c"}},
		{`"A=b c" d`, []string{"A=b c", "d"}},
		{`A="b c" d`, []string{"A=b c", "d"}},
		{`"A="b" c`, []string{`A=b" c`}},
		{`A="b -- c" -- d`, []string{"A=b -- c"}},
		{`A=b" "c d`, []string{`A=b" "c`, "d"}},
		{`A=b"c d`, []string{`A=b"c d`}},
		{`A=b" c"`, []string{`A=b" c"`}},
		{`A="b`, []string{"A=b"}},
		{`A="b"c`, []string{`A=b"c`}},
		{`A="" B= C`, []string{"A=", "B=", "C"}},
		{`A=" b`, []string{"A= b"}},
		{`A="`, []string{"A="}},
		{`"`, []string{""}},
		{`"" a`, []string{"", "a"}},
		{`""" a`, []string{`"" a`}},
		{`=a =b="c"`, []string{"=a", "=b=c"}},
		{`=`, []string{"="}},
	} {
		if got := Tokens(test.cmdline); !slices.Equal(got, test.want) {
			t.Errorf("Tokens(%q) = %q, want %q", test.cmdline, got, test.want)
		}
	}
}

func TestHasTSI(t *testing.T) {
	for _, test := range []struct {
		cmdline string
		want    bool
	}{
		{"", false},
		{"quiet tsi_hijack init=/init.krun -- sh", true},
		{"tsi_hijack", true},
		{"quiet tsi_hijack\n", true},
		{`A="-- " tsi_hijack`, true},
		{"quiet -- tsi_hijack", false},
		{`A="a tsi_hijack b"`, false},
		{"tsi_hijack=1 xtsi_hijack tsi_hijackx TSI_HIJACK", false},
	} {
		if got := HasTSI(test.cmdline); got != test.want {
			t.Errorf("HasTSI(%q) = %v, want %v", test.cmdline, got, test.want)
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, seed := range []string{
		"reboot=k panic=-1 quiet tsi_hijack -- a b\n", `"A=b c" B="d e" f`, `A=" -- `, `"""`, "=\"=\"", "a\xa0b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cmdline string) {
		tokens := Tokens(cmdline)
		if slices.Contains(tokens, "--") {
			t.Errorf("Tokens(%q) = %q, want an end at --", cmdline, tokens)
		}
		// What is put in quotes stays together, and is what it was.
		for _, token := range tokens {
			if strings.Contains(token, `"`) || token == "" {
				continue
			}
			if got := Tokens(`"` + token + `" x`); !slices.Equal(got, []string{token, "x"}) {
				t.Errorf("Tokens of %q in quotes and x = %q", token, got)
			}
		}
		// Without quotes there are only blanks to look at.
		plain := strings.ReplaceAll(cmdline, `"`, "")
		want := fields(plain)
		if end := slices.Index(want, "--"); end >= 0 {
			want = want[:end]
		}
		if got := Tokens(plain); !slices.Equal(got, want) {
			t.Errorf("Tokens(%q) = %q, want %q", plain, got, want)
		}
	})
}

// fields splits s at the kernel's blanks, byte by byte.
func fields(s string) []string {
	blanks := strings.NewReplacer("\t", " ", "\n", " ", "\v", " ", "\f", " ", "\r", " ", "\xa0", " ")
	return strings.FieldsFunc(blanks.Replace(s), func(c rune) bool { return c == ' ' })
}
