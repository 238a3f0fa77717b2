package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	class := t.TempDir()
	for entry, name := range map[string]string{"vport0p1": "krun-stdin", "vport0p2": "data", "vport0p3": "krun-stderr"} {
		if err := os.Mkdir(filepath.Join(class, entry), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, entry, "name"), []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(class, "vport1p0"), 0o755); err != nil { // a console has no name
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, class    string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"list", class, nil, 0, "/dev/vport0p1    krun-stdin               stdin\n" +
			"/dev/vport0p2    data                     -\n/dev/vport0p3    krun-stderr              stderr\n", ""},
		{"list nothing", t.TempDir(), nil, 0, "no port has a name\n", ""},
		{"list without ports", class + "/missing", nil, 125, "", "redirect-stdio: list virtio ports: open " + class + "/missing: no such file"},
		{"run without ports", class + "/missing", []string{"--", "true"}, 125, "", "list virtio ports"},
		{"not found", t.TempDir(), []string{"--", "/no/such"}, 127, "", `redirect-stdio: execute "/no/such": no such file`},
		{"not executable", t.TempDir(), []string{"/etc"}, 126, "", "/etc is a directory"},
		{"port that vanished", class, []string{"/no/such"}, 127, "", "warning: redirect krun-stdin: open /dev/vport0p1: no such file"},
		{"help", class, []string{"--help"}, 0, usage, ""},
		{"bad flag", class, []string{"-x"}, 125, "", "redirect-stdio: -x: no such option"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(append([]string{"redirect-stdio"}, c.args...), nil, c.class, &stdout, &stderr)
			if code != c.code || stdout.String() != c.stdout || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("run() = %d\nstdout %q\nstderr %q\nwant %d\nstdout %q\nstderr %q", code, stdout.String(), stderr.String(),
					c.code, c.stdout, c.stderr)
			}
		})
	}
}
