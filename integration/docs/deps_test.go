package docs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// aptGet is a program in place of apt-get. It logs its arguments, and reports progress as apt-get
// does. Its first FAILURES calls that install fail.
const aptGet = `#!/bin/sh
echo "$*" >>"$LOG"
case $* in
*Status-Fd=3*)
	echo "dlstatus:1:12.5:Retrieving file 1 of 8" >&3
	echo "pmstatus:qemu:99.9:Unpacking qemu" >&3
	;;
esac
case $* in
install*)
	[ "$(grep -c ^install "$LOG")" -gt "$FAILURES" ] || {
		echo "E: no such package" >&2
		exit 100
	}
	;;
esac
`

// TestDeps runs deps.sh on a machine that lacks all programs, with and without a terminal.
func TestDeps(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root only: deps.sh installs nothing otherwise")
	}
	const (
		installing = "deps: installing qemu-system-x86 qemu-system-arm busybox-static npm python3-minimal cpio e2fsprogs\n"
		percent    = "\r\x1b[Kdeps: 12 % Retrieving file 1 of 8\r\x1b[Kdeps: 99 % Unpacking qemu"
	)
	for _, tt := range []struct {
		name, failures string
		terminal       bool
		code           int
		want           []string // in this order
		not            string
	}{
		{"pipe", "0", false, 0, []string{installing, "deps: unpacking dnsmasq-base "}, "%"},
		{"terminal", "0", true, 0, []string{installing, percent, "\r\x1b[Kdeps: unpacking dnsmasq-base ", percent}, "E: "},
		{"outdated lists", "1", false, 0, []string{installing, "deps: unpacking "}, "E: "},
		{"failure", "9", false, 100, []string{installing, "E: no such package\n"}, "unpacking"},
		{"failure, terminal", "9", true, 100, []string{installing, percent, "E: no such package\n"}, "unpacking"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"sh", "id", "mkdir", "ls", "grep", "mktemp", "rm", "mv", "chmod"} {
				path, err := exec.LookPath(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			for name, text := range map[string]string{"apt-get": aptGet, "dpkg-deb": "#!/bin/sh\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			deps, err := filepath.Abs("../deps.sh")
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "sh"), deps)
			if tt.terminal { // script(1) provides one, and adds carriage returns
				script, err := exec.LookPath("script")
				if err != nil {
					t.Skip(err)
				}
				cmd = exec.CommandContext(t.Context(), script, "-qec", "sh "+deps, "/dev/null")
			}
			cmd.Env = []string{"PATH=" + dir, "SHELL=" + filepath.Join(dir, "sh"), "LOG=" + filepath.Join(dir, "log"),
				"FAILURES=" + tt.failures, "KRUNBOX_CACHE=" + filepath.Join(dir, "cache")}
			out, err := cmd.CombinedOutput()
			code := 0
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(out), "\r\n", "\n")
			if code != tt.code || strings.Contains(text, tt.not) {
				t.Errorf("exit code %d, output %q, want %d, without %q", code, text, tt.code, tt.not)
			}
			rest := text
			for _, want := range tt.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("output = %q, want %q in this order", text, tt.want)
				}
				rest = after
			}
		})
	}
}
