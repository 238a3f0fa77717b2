package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// makePort makes an entry of /sys/class/virtio-ports in the directory class, without a name if name
// is "".
func makePort(t *testing.T, class, entry, name string) {
	t.Helper()
	dir := filepath.Join(class, entry)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if name == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "name"), []byte(name+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	class := t.TempDir()
	makePort(t, class, "vport0p1", "krun-stdin")
	makePort(t, class, "vport0p2", "data")
	makePort(t, class, "vport0p3", "krun-stderr")
	makePort(t, class, "vport1p0", "") // a console
	missing := class + "/missing"
	for _, c := range []struct {
		name, class    string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"list", class, nil, 0, "" +
			"/dev/vport0p1    krun-stdin               stdin\n" +
			"/dev/vport0p2    data                     -\n" +
			"/dev/vport0p3    krun-stderr              stderr\n", ""},
		{"list nothing", t.TempDir(), nil, 0, "no port has a name\n", ""},
		{"list without ports", missing, nil, 125, "",
			"redirect-stdio: list virtio ports: open " + missing + ": no such file"},
		{"run without ports", missing, []string{"--", "true"}, 125, "", "list virtio ports"},
		{"not found", t.TempDir(), []string{"--", "/no/such"}, 127, "",
			`redirect-stdio: execute "/no/such": no such file`},
		{"not executable", t.TempDir(), []string{"/etc"}, 126, "", "/etc is a directory"},
		{"missing port", class, []string{"/no/such"}, 127, "",
			"warning: redirect krun-stdin: open /dev/vport0p1: no such file"},
		{"help", class, []string{"--help"}, 0, usage, ""},
		{"unknown option", class, []string{"-x"}, 125, "",
			"redirect-stdio: flag provided but not defined: -x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			args := append([]string{"redirect-stdio"}, c.args...)
			code := run(args, nil, c.class, &stdout, &stderr)
			if code != c.code || stdout.String() != c.stdout {
				t.Errorf("run(%q) = %d, stdout %q, want %d, %q",
					args, code, stdout.String(), c.code, c.stdout)
			}
			if !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("run(%q) stderr = %q, want %q in it", args, stderr.String(), c.stderr)
			}
		})
	}
}
