package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"report": `[{"stage": "signals", "start": 1, "duration": 0.5, "errors": []},
			{"stage": "workload", "start": 1.5, "duration": 0.5}, {"stage": "after", "start": 2}]`,
		"broken": `[{"stage": "signals", "start": "1"}]`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"--help", 0, usage, ""},
		{"report", 0, "    1.000 s  signals   |####################                    | 500.000 ms, ok\n" +
			"    1.500 s  workload  |                    ####################| 500.000 ms, ok\n", ""},
		{"broken", failed, "", "boot-chart: broken: "},
		{"missing", failed, "", "boot-chart: open missing: no such file or directory\n"},
		{"", failed, "", "boot-chart: no /dev/.boot.json: the host has to set KRUN_DEBUG=1 for a boot report\n"},
		{"a b", misused, "", "boot-chart: want at most one file\nusage: "},
		{"-x", misused, "", "boot-chart: flag provided but not defined: -x\nusage: "},
	} {
		var stdout, stderr strings.Builder
		code := run(append([]string{"boot-chart"}, strings.Fields(tt.args)...), &stdout, &stderr)
		if code != tt.code || stdout.String() != tt.stdout || !strings.HasPrefix(stderr.String(), tt.stderr) ||
			(tt.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("boot-chart %s = %d, %q, %q, want %d, %q, %q", tt.args, code, stdout.String(), stderr.String(),
				tt.code, tt.stdout, tt.stderr)
		}
	}
}
