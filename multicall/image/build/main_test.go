package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	output := filepath.Join(t.TempDir(), "a.cpio")
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr string // in what is printed
	}{
		{"-h", 0, "Examples:", ""},
		{"-nosuch", 2, "", "-nosuch"},
		{"-o " + output + " extra", 2, "", `unexpected argument "extra"`},
		{"-files :x -o " + output, 2, "", `file ":x"`},
		{"", 1, "", "no output named"},
		{"-o " + output + " -commands ls,nosuch", 1, "", `command "nosuch"`},
		{"-o " + output + " -kernel /nosuch", 1, "", "kernel /nosuch"},
		{"-o " + output + " -modules fuse", 1, "", "no kernel named"},
	} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"build"}, strings.Fields(tt.args)...)
		code := run(t.Context(), args, &stdout, &stderr)
		if code != tt.code || !strings.Contains(stdout.String(), tt.stdout) ||
			!strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("run(%s) = %d, stdout %q, stderr %q, want %d, %q, %q", tt.args,
				code, stdout.String(), stderr.String(), tt.code, tt.stdout, tt.stderr)
		}
	}
}
