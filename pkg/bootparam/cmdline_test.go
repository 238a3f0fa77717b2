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
		// What Linux 6.1 made of it, seen in the environment and the arguments of
		// its first process.
		{
			`"A=b c" "B="b" c" C="b c" D=b" "c E="" F="b"c =x =y="c d" "w x" """ z" G="-- q" -- H=1`,
			[]string{"A=b c", `B=b" c`, "C=b c", `D=b" "c`, "E=", `F=b"c`, "=x", "=y=c d", "w x", `"" z`, "G=-- q"},
		},
		{"A=caf\xc3\xa0x B=1", []string{"A=caf\xc3", "x", "B=1"}},
		{`A=1 "--" B=2 -- a`, []string{"A=1"}},
		{"A=\" b c\n", []string{"A= b c\n"}},
		{`a "" A=1`, []string{"a", "", "A=1"}},
		{`A=x"`, []string{`A=x"`}},
		{`A="`, []string{"A="}},

		// And more of the kind.
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
		{`"`, []string{""}},
		{`""" a`, []string{`"" a`}},
		{`=a =b="c"`, []string{"=a", "=b=c"}},
		{`=`, []string{"="}},
	} {
		if got := Tokens(test.cmdline); !slices.Equal(got, test.want) {
			t.Errorf("Tokens(%q) = %q, want %q", test.cmdline, got, test.want)
		}
	}
}

func TestRestoreArgs(t *testing.T) {
	for _, test := range []struct {
		args    []string // what the kernel passed
		cmdline string
		want    []string
	}{
		{nil, "", nil},
		{nil, "quiet", nil},
		{nil, "quiet --", nil},
		{[]string{"a", "b c"}, `quiet -- "a" "b c"` + "\n", []string{"a", "b c"}},
		{nil, `quiet -- "--"`, []string{"--"}},
		{[]string{"a", ""}, `quiet -- "a" "" "--" "b c" -- "--" ""` + "\n", []string{"a", "", "--", "b c", "--", "--", ""}},
		// Linux 6.1.
		{[]string{"=x", "w x", "A=1"}, `quiet =x "w x" -- A=1 "--" t` + "\n", []string{"=x", "w x", "A=1", "--", "t"}},
		{[]string{"B=2"}, `quiet "--" B=2 -- a`, []string{"B=2", "--", "a"}},
		// Arguments from elsewhere.
		{[]string{"sh"}, "quiet -- a -- b", []string{"sh"}},
		{nil, "quiet -- a -- b", nil},
		{[]string{"a", "sh"}, "quiet -- a -- b", []string{"a", "sh"}},
	} {
		if got := RestoreArgs(test.args, test.cmdline); !slices.Equal(got, test.want) {
			t.Errorf("RestoreArgs(%q, %q) = %q, want %q", test.args, test.cmdline, got, test.want)
		}
	}
}

// RestoreArgs must not write behind its arguments, which os.Args may share.
func TestRestoreArgsLeavesInputAlone(t *testing.T) {
	given := []string{"a", "kept"}
	if RestoreArgs(given[:1], "-- a -- b"); given[1] != "kept" {
		t.Errorf("RestoreArgs wrote %q behind its arguments, want %q", given[1], "kept")
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

// A host puts each argument in quotes.
func FuzzRestoreArgs(f *testing.F) {
	for _, seed := range []string{"", "a", "--", "a\x00b c\x00\x00--\x00d\x00--", "A=b\x00=\x00\xa0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		args := strings.Split(strings.ReplaceAll(list, `"`, ""), "\x00")
		passed := args
		if end := slices.Index(args, "--"); end >= 0 {
			passed = args[:end]
		}
		cmdline := `quiet -- "` + strings.Join(args, `" "`) + `"`
		if got := RestoreArgs(passed, cmdline); !slices.Equal(got, args) {
			t.Errorf("RestoreArgs(%q, %q) = %q, want %q", passed, cmdline, got, args)
		}
	})
}

// fields splits s at the kernel's blanks, byte by byte.
func fields(s string) []string {
	blanks := strings.NewReplacer("\t", " ", "\n", " ", "\v", " ", "\f", " ", "\r", " ", "\xa0", " ")
	return strings.FieldsFunc(blanks.Replace(s), func(c rune) bool { return c == ' ' })
}
