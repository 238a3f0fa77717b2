package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/internal/nstest"
)

// With -n, init prints the plan for its environment and arguments.
func TestPlan(t *testing.T) {
	var stdout, stderr strings.Builder
	args := []string{"init", "-n", "-root", t.TempDir(), "-cmdline", "tsi_hijack", "--", "-x", "a b"}
	if code := run(args, []string{"KRUN_INIT=/bin/date"}, &stdout, &stderr); code != 0 {
		t.Fatalf("run(%q) = %d, %s", args, code, stderr.String())
	}
	for _, want := range []string{"\nTSI interface (silent)\n", `\n    fork and execute /bin/date args=[/bin/date -x "a b"] `} {
		if want = strings.ReplaceAll(want, `\n`, "\n"); !strings.Contains(stdout.String(), want) {
			t.Errorf("the plan is\n%s\nwant one with %q", stdout.String(), want)
		}
	}
}

func TestHelp(t *testing.T) {
	var stdout, stderr strings.Builder
	if code := run([]string{"init", "--help"}, nil, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("run(--help) = %d, %q", code, stderr.String())
	}
	for _, want := range []string{"usage: init -n", "  KRUN_INIT  ", "  KRUN_DEBUG  "} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the help lacks %q:\n%s", want, stdout.String())
		}
	}
}

func TestPlanErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/cut.json", `{"process": {"args": ["a"`)
	write(t, dir+"/type.json", `{"process": {"args": "a"}}`)
	if err := os.WriteFile(dir+"/big.json", make([]byte, 10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  string
		args []string
		want string
	}{
		{"missing", "KRUN_CONFIG=/no/such.json", nil, "configuration: open /no/such.json: no such file or directory"},
		{"cut", "KRUN_CONFIG=" + dir + "/cut.json", nil, "configuration: " + dir + "/cut.json: line 1, column 26: process.args: unexpected end of file"},
		{"wrong type", "A=b", []string{"-config", dir + "/type.json"}, "configuration: " + dir + "/type.json: line 1, column 22: process.args: expected "},
		{"directory", "KRUN_CONFIG=" + dir, nil, "configuration: read " + dir + ": is a directory"},
		{"10 MB", "KRUN_CONFIG=" + dir + "/big.json", nil, "configuration: read " + dir + "/big.json: larger than 8388608 bytes"},
		{"rlimit", "KRUN_RLIMITS=7=many:more", nil, "settings: KRUN_RLIMITS: item 1 "},
		{"flag", "A=b", []string{"-x"}, "init: flag provided but not defined: -x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(append([]string{"init", "-n"}, c.args...), []string{c.env}, &stdout, &stderr)
			if code != 125 || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("run() = %d, %q, want 125 and %q", code, stderr.String(), c.want)
			}
		})
	}
}

// Without -n, on a machine that is not a guest, it does nothing. Here the machine is a namespace: should the guard be
// broken, nothing else is.
func TestRefuses(t *testing.T) {
	const child = "KRUNBOX_TEST_REFUSES"
	if os.Getenv(child) != "" {
		os.Exit(run([]string{"init"}, nil, os.Stdout, os.Stderr))
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestRefuses$")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 125 || !strings.Contains(string(out), "--force") {
			t.Errorf("init ended with %v, %q, want 125 and how to override", err, out)
		}
	})
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
