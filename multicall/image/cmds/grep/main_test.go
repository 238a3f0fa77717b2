package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("d/e", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a": "one\ntwo\nthree\n", "b": "a+b\n(c)\nx|y", "d/e/g": "deep one\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args, output, message string
		code                  int
	}{
		{"two a", "two\n", "", 0},
		{"nosuch a", "", "", 1},
		{"-q two a", "", "", 0},
		{"-q nosuch a", "", "", 1},
		{"input", "input\n", "", 0},
		{"-c e a", "2\n", "", 0},
		{"-c nosuch a", "0\n", "", 1},
		{"-vn two a", "1:one\n3:three\n", "", 0},
		{"-i TWO a", "two\n", "", 0},
		{"one a b d/e/g", "a:one\nd/e/g:deep one\n", "", 0},
		{"-h one a d/e/g", "one\ndeep one\n", "", 0},
		{"-Hn two a", "a:2:two\n", "", 0},
		{"-l one a b d/e/g", "a\nd/e/g\n", "", 0},
		{"-r one d", "d/e/g:deep one\n", "", 0},
		{"-rl one", "a\nd/e/g\n", "", 0},
		{"-o [a-z]e a", "ne\nre\n", "", 0},
		{"-w hre a", "", "", 1},
		{"-w one d/e/g", "deep one\n", "", 0},
		{"-x one a d/e/g", "a:one\n", "", 0},
		{"-e one -etwo a", "one\ntwo\n", "", 0},
		{"-- -x a", "", "", 1},
		// Basic, extended and no regular expressions.
		{"a+b b", "a+b\n", "", 0},
		{`[x\] b`, "x|y\n", "", 0},
		{`-E [x\] b`, "x|y\n", "", 0},
		{`-Eo [^\]\| b`, "x|\n", "", 0},
		{`x|y b`, "x|y\n", "", 0},
		{`one\|two a`, "one\ntwo\n", "", 0},
		{`\(e\)\{2\} a`, "three\n", "", 0},
		{`^*o a`, "", "", 1},
		{`[[:alpha:]][|()] b`, "(c)\nx|y\n", "", 0},
		{`[]|] b`, "x|y\n", "", 0},
		{"-E one|two a", "one\ntwo\n", "", 0},
		{"-F (c b", "(c)\n", "", 0},
		{"-E ( b", "", "grep: error parsing regexp: missing closing ): `(?:(?:())`\n", 2},
		// Errors.
		{"one none a", "a:one\n", "grep: none: no such file or directory\n", 2},
		{"-q one none a", "", "grep: none: no such file or directory\n", 0},
		{"-s one none", "", "", 2},
		{"one d", "", "grep: d: is a directory\n", 2},
		{"-Z one a", "", "grep: unknown option -Z: want -e PATTERN or -EFcHhilnoqrsvwx\n", 2},
		{"-e", "", "grep: option -e needs a pattern\n", 2},
		{"", "", "grep: no pattern\n", 2},
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(tt.args), strings.NewReader("an\ninput\n"), &stdout, &stderr)
		if stdout.String() != tt.output || stderr.String() != tt.message || code != tt.code {
			t.Errorf("grep %s = %q, %q, %d, want %q, %q, %d", tt.args,
				stdout.String(), stderr.String(), code, tt.output, tt.message, tt.code)
		}
	}
}
