package multicall

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// krunhost stands in for the host of "make run": it prints its arguments, one a line, and fails.
const krunhost = "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 3\n"

// TestMakeRun checks that "make run" passes CMD to the guest's shell as it was typed.
func TestMakeRun(t *testing.T) {
	makePath, err := exec.LookPath("make")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	makefile := filepath.Join(moduleRoot, "Makefile")
	if err := copyFile(filepath.Join(dir, "Makefile"), makefile); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "build"), 0o777); err != nil {
		t.Fatal(err)
	}
	host := filepath.Join(dir, "build", "krunhost")
	if err := os.WriteFile(host, []byte(krunhost), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ arg, env, want string }{
		{arg: "echo $HOME; echo $((1+2))", want: "echo $HOME; echo $((1+2))"},
		{arg: `echo "$(id)" 'it'\''s' # $$ \`, want: `echo "$(id)" 'it'\''s' # $$ \`},
		{arg: "echo ${x $(shell touch made)", want: "echo ${x $(shell touch made)"},
		{arg: "echo one\necho two", want: "echo one\necho two"},
		{env: "echo $HOME", want: "echo $HOME"},
		{want: `echo "hello from $(uname -sr)"; id; exit 0`},
	} {
		// Options -o: the prerequisites are not made.
		cmd := exec.Command(makePath, "-o", "deps", "-o", "build", "-o", "krunhost", "run")
		cmd.Dir = dir
		for _, e := range os.Environ() { // a make that runs this test exports its variables
			if !strings.HasPrefix(e, "CMD=") && !strings.HasPrefix(e, "MAKE") {
				cmd.Env = append(cmd.Env, e)
			}
		}
		if tt.arg != "" {
			cmd.Args = append(cmd.Args, "CMD="+tt.arg)
		}
		if tt.env != "" {
			cmd.Env = append(cmd.Env, "CMD="+tt.env)
		}
		out, err := cmd.CombinedOutput()
		want := "--\n/bin/sh\n-c\n" + tt.want + "\nexit code: 3\n"
		if err != nil || string(out) != want {
			t.Errorf("make run CMD=%q%q printed %q (%v), want %q", tt.arg, tt.env, out, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "made")); err == nil {
		t.Error("make expanded CMD")
	}
}

// TestMakeImageShell checks that the image's shell is what the command line names, and not what the
// user's environment happens to have.
func TestMakeImageShell(t *testing.T) {
	makePath, err := exec.LookPath("make")
	if err != nil {
		t.Skip(err)
	}
	for _, tt := range []struct {
		args, env []string
		want      bool
	}{
		{args: []string{"SH=busybox"}, want: true},
		{env: []string{"SH=busybox", "SHELL=busybox"}},
		{},
	} {
		cmd := exec.Command(makePath, append([]string{"--no-print-directory", "-n", "rootfs"}, tt.args...)...)
		cmd.Dir = moduleRoot
		for _, e := range os.Environ() { // a make that runs this test exports its variables
			if !strings.HasPrefix(e, "SH=") && !strings.HasPrefix(e, "MAKE") {
				cmd.Env = append(cmd.Env, e)
			}
		}
		cmd.Env = append(cmd.Env, tt.env...)
		out, err := cmd.CombinedOutput()
		if got := strings.Contains(string(out), "-shell 'busybox'"); err != nil || got != tt.want {
			t.Errorf("make %q with %q selects busybox: %v (%v), want %v; it would run:\n%s",
				tt.args, tt.env, got, err, tt.want, out)
		}
	}
}
