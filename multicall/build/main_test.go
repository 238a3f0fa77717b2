package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	output := filepath.Join(t.TempDir(), "krunbox")
	for _, tt := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"build", "-h"}, 0, "-goarch ARCH"},
		{[]string{"build", "-nosuch"}, 2, "-nosuch"},
		{[]string{"build", "-o", output, "-goarch", "386"}, 1,
			"build " + output + ": platform linux/386"},
		{[]string{"build", "-o", output, "./nosuch"}, 1, "nosuch"},
	} {
		var stderr bytes.Buffer
		if got := run(t.Context(), tt.args, &stderr); got != tt.code {
			t.Errorf("run(%q) = %d, want %d", tt.args, got, tt.code)
		}
		if !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("run(%q) printed %q, want %q in it", tt.args, stderr.String(), tt.stderr)
		}
	}
}
