package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Chdir("../../..")
	t.Setenv("SOURCE_DATE_EPOCH", "1764072000")
	dir := t.TempDir()
	binary := filepath.Join(dir, "krunbox")
	if err := os.WriteFile(binary, []byte("binary"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr string // in what is printed
	}{
		{"", 2, "", "want release or install"},
		{"nosuch", 2, "", "want release or install"},
		{"--help", 0, "Examples:", ""},
		{"release -h", 0, "Examples:", ""},
		{"install -nosuch", 2, "", "-nosuch"},
		{"release -prefix /", 2, "", "-prefix"},
		{"release extra", 2, "", `unexpected argument "extra"`},
		{"release -o " + dir, 1, "", "build: release to " + dir + `: version ""`},
		{"install -version v1 -binary /nonexistent/krunbox", 1, "",
			"open /nonexistent/krunbox: no such file"},
		{"install -version v1 -goarch amd64 -prefix /usr -destdir " + dir + "/root -binary " + binary,
			0, "", "installing in " + dir + "/root/usr"},
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
	if got, err := os.ReadFile(filepath.Join(dir, "root/usr/sbin/init")); string(got) != "binary" {
		t.Errorf("installed init has %q (%v), want the binary", got, err)
	}
}
