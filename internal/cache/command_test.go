package cache

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommand runs a program from each directory that packages install programs in. The program
// prints the directories of its libraries.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KRUNBOX_CACHE", dir)
	for _, libraries := range []string{"usr/lib/x-linux-gnu", "lib/x-linux-gnu", "usr/lib/other"} {
		if err := os.MkdirAll(filepath.Join(dir, "set", libraries), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{"bin/a", "sbin/b", "usr/bin/c", "usr/sbin/d"} {
		path := filepath.Join(dir, "set", program)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		script := []byte("#!/bin/sh\necho $1 $LD_LIBRARY_PATH")
		if err := os.WriteFile(path, script, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd, err := Command("set", filepath.Base(program), "argument")
		if err != nil {
			t.Fatal(err)
		}
		want := "argument " + dir + "/set/lib/x-linux-gnu:" + dir + "/set/usr/lib/x-linux-gnu\n"
		if got, err := cmd.Output(); err != nil || string(got) != want {
			t.Errorf("%s prints %q, %v, want %q", program, got, err, want)
		}
	}
	for _, set := range []string{"set", "none"} {
		_, err := Command(set, "missing")
		if err == nil || !strings.Contains(err.Error(), "integration/deps.sh") {
			t.Errorf("Command(%q, missing) = %v, want an error that says what to do", set, err)
		}
	}
}
