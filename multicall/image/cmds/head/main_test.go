package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Chdir(t.TempDir())
	long := strings.Repeat("x", 10000) + "\n"
	for name, text := range map[string]string{"a": "1\n2\n3\n", "long": long + long, "open": "1\n2"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const input = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n"
	for _, tt := range []struct {
		args, output, message string
		code                  int
	}{
		{"", input[:len(input)-3], "", 0},
		{"-2", "1\n2\n", "", 0},
		{"-n 1", "1\n", "", 0},
		{"-n1 -", "1\n", "", 0},
		{"-n 0", "", "", 0},
		{"-c 3", "1\n2", "", 0},
		{"-n 1 long", long, "", 0},
		{"open", "1\n2", "", 0},
		{"-1 -- a open", "==> a <==\n1\n\n==> open <==\n1\n", "", 0},
		{"-1 none a", "==> none <==\n\n==> a <==\n1\n", "head: open none: no such file or directory\n", 1},
		{"-n", "", "head: option -n needs a number\n", 1},
		{"-n x", "", "head: \"x\": want a number\n", 1},
		{"-x", "", "head: \"x\": want a number\n", 1},
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(tt.args), strings.NewReader(input), &stdout, &stderr)
		if stdout.String() != tt.output || stderr.String() != tt.message || code != tt.code {
			t.Errorf("head %s = %q, %q, %d, want %q, %q, %d", tt.args,
				stdout.String(), stderr.String(), code, tt.output, tt.message, tt.code)
		}
	}
	if code := run([]string{filepath.Dir("/x/")}, nil, &bytes.Buffer{}, &bytes.Buffer{}); code != 1 {
		t.Errorf("head of a directory = %d, want 1", code)
	}
}
