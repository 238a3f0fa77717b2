package exec

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestKeptMounts(t *testing.T) {
	got := keptMounts([]string{"/proc", "/proc/sys", "/proc/sys/fs/binfmt_misc", "/proc", "/proc/keys", "/proc/system", "/proc/keys"})
	want := []string{"/proc/sys", "/proc/keys", "/proc/system"}
	if !slices.Equal(got, want) {
		t.Errorf("keptMounts() = %q, want %q", got, want)
	}
}

// A program in a PID namespace is process 1, and its /proc shows that namespace and has what was
// mounted on the one before. A script that only the shell can execute needs a second attempt.
func TestStartInPIDNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		out, text := output(t)
		const attrs = unix.MS_NOSUID | unix.MS_NOATIME
		for _, err := range []error{
			unix.Mount("", "/proc", "", unix.MS_REMOUNT|unix.MS_BIND|attrs, ""),
			unix.Mount("/dev/null", "/proc/cmdline", "", unix.MS_BIND, ""),
			os.WriteFile(dir+"/script", []byte("echo $$ $(cat /proc/1/comm) $(wc -c </proc/cmdline); grep -o '/proc.* -' /proc/self/mountinfo\n"), 0o755),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		spec := Spec{
			Process:      specs.Process{Args: []string{dir + "/script"}, Env: []string{"PATH=/usr/bin:/bin"}},
			Streams:      [3]int{0, int(out.Fd()), int(out.Fd())},
			PIDNamespace: true,
			ProcMounts:   func() ([]string, error) { return []string{"/proc", "/proc", "/proc/cmdline"}, nil },
		}
		pid, err := spec.Start()
		if err != nil {
			t.Fatal(err)
		}
		if ws := wait(t, pid); ws != 0 {
			t.Errorf("status = %#x, want 0", ws)
		}
		lines := strings.SplitAfter(text(), "\n")
		if len(lines) != 4 || lines[0] != "1 sh 0\n" || lines[1] != "/proc rw,nosuid,noatime -\n" || !strings.HasPrefix(lines[2], "/proc/cmdline ") {
			t.Errorf("output = %q, want process 1, sh, an empty file, and the two mounts", lines)
		}

		spec.Process.Args = []string{"/no/such"}
		if _, err := spec.Start(); ExitCode(err) != 127 {
			t.Errorf("Start() of a missing program = %v, want one with code 127", err)
		}
	})
}
