package cases

import (
	"os"
	"testing"

	"github.com/krunbox/krunbox/integration/hostfs"
)

// TestProgramThatCannotRun checks the exit code and the error message for programs that cannot be
// executed.
func TestProgramThatCannotRun(t *testing.T) {
	foreign, err := os.ReadFile(product(t, "arm64"))
	if err != nil {
		t.Fatal(err)
	}
	files := []hostfs.File{
		{Path: "/data/garbage", Data: []byte("\x00\x01\x02 is no program"), Mode: 0o755},
		{Path: "/data/foreign", Data: foreign, Mode: 0o755},
		{Path: "/data/orphan", Data: []byte("#!/no/interpreter -x\n"), Mode: 0o755},
		{Path: "/data/document", Data: []byte("#!/bin/sh\n"), Mode: 0o644},
	}
	for _, tt := range []struct {
		program string
		want    int
		line    []string // parts of the message, in order
	}{
		{"nonesuch", 127, []string{`"nonesuch"`, "not in PATH", "/data", "no such file or directory"}},
		{"/no/such", 127, []string{`"/no/such"`, "no such file or directory"}},
		{"/data/orphan", 127, []string{`"/data/orphan"`, "/no/interpreter", "no such file or directory"}},
		{"/etc", 126, []string{`"/etc"`, "directory", "permission denied"}},
		{"/data/document", 126, []string{`"/data/document"`, "0644", "permission denied"}},
		{"document", 126, []string{`"document"`, "/data/document", "0644", "permission denied"}},
		{"/data/garbage", 126, []string{`"/data/garbage"`, "neither a program nor a script", "exec format error"}},
		{"/data/foreign", 126, []string{`"/data/foreign"`, "arm64", "exec format error"}},
		{"/etc/passwd/sh", 126, []string{`"/etc/passwd/sh"`, "not a directory"}},
	} {
		t.Run(tt.program, func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			cfg.Files = files
			cfg.Env = []string{"PATH=/nowhere:/bin:/data"}
			cfg.Args = []string{tt.program, "argument"}
			wantLine(t, console(run(t, cfg, tt.want)), append([]string{"krunbox: "}, tt.line...)...)
		})
	}
}

// TestProgramLookUp checks that init looks up programs like execvp(3): in the PATH of the
// workload's environment, with a text file as a shell script.
func TestProgramLookUp(t *testing.T) {
	const text = "echo $0 $1 $PATH; exit 3\n" // no #! line
	for _, tt := range []struct {
		name, config, path, want string
	}{
		{"PATH of the configuration", `{"args": ["tool", "x"], "env": ["PATH=/opt/bin:/bin"]}`, "/opt/bin/tool", "/opt/bin/tool x /opt/bin:/bin\n"},
		{"relative PATH", `{"args": ["tool", "x"], "env": ["PATH=:/bin"], "cwd": "/opt"}`, "/opt/tool", "./tool x :/bin\n"},
		{"relative path", `{"args": ["bin/tool", "x"], "env": ["PATH=/bin"], "cwd": "/opt"}`, "/opt/bin/tool", "bin/tool x /bin\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			cfg.Files = []hostfs.File{{Path: tt.path, Data: []byte(text), Mode: 0o755}}
			cfg.GuestConfig = []byte(tt.config)
			wantConsole(t, run(t, cfg, 3), tt.want)
		})
	}
}
