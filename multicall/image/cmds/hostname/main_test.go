package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	short, _, _ := strings.Cut(name, ".")
	for _, tt := range []struct {
		args, output, message string
		code                  int
	}{
		{"", name + "\n", "", 0},
		{"-s", short + "\n", "", 0},
		{"-f", "", "hostname: unknown option -f\n", 1}, // and no name of the machine
		{"a b", "", "hostname: want one name, have 2\n", 1},
		{strings.Repeat("x", 65), "", "hostname: set " + strings.Repeat("x", 65) + ": ", 1}, // too long for the kernel
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(tt.args), &stdout, &stderr)
		if stdout.String() != tt.output || !strings.HasPrefix(stderr.String(), tt.message) ||
			tt.message == "" && stderr.Len() > 0 || code != tt.code {
			t.Errorf("hostname %s = %q, %q, %d, want %q, %q, %d", tt.args,
				stdout.String(), stderr.String(), code, tt.output, tt.message, tt.code)
		}
	}
}
