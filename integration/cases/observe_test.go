package cases

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
)

const (
	// observer is the path of a program in the guest that records the state in which it was
	// started, each part in a file.
	observer = "/bin/observer"

	// observed is the directory of these files, relative to the root.
	observed = "observed"
)

// The observer is a shell script, because a Go program changes more of its state before it can
// record it.
const observerScript = `#!/bin/sh
umask >/observed/umask
umask 0
a=$(readlink /proc/$$/fd/0) b=$(readlink /proc/$$/fd/1) c=$(readlink /proc/$$/fd/2)
echo $a $b $c >/observed/streams
ls /proc/self/fd >/observed/fds
cat /proc/$$/cmdline >/observed/args
cat /proc/$$/environ >/observed/env
cat /proc/self/limits >/observed/limits
cat /proc/self/status >/observed/status
cat /proc/$$/stat >/observed/stat
cat /proc/1/status >/observed/init-status
cat /proc/self/mountinfo >/observed/mountinfo
pwd -P >/observed/dir
hostname >/observed/hostname
id >/observed/id
exit 0
`

// withObserver returns withBusybox with observer as its workload. args are the arguments of
// observer.
func withObserver(t *testing.T, arch string, args ...string) vm.Config {
	t.Helper()
	cfg := withBusybox(t, arch)
	cfg.Files = []hostfs.File{{Path: observer, Data: []byte(observerScript), Mode: 0o755}}
	cfg.Args = append([]string{observer}, args...)
	dir := filepath.Join(cfg.Root, observed)
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	// Mkdir applies the umask. The workload may run as any user.
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A state is what observer recorded: the contents of its files, by name.
type state map[string]string

// observe boots a machine that withObserver made, and returns what its workload recorded.
func observe(t *testing.T, cfg vm.Config) state {
	t.Helper()
	run(t, cfg, 0)
	s := state{}
	dir := filepath.Join(cfg.Root, observed)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		b, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		s[entry.Name()] = string(b)
	}
	return s
}

// want checks a part of the state that is a single line.
func (s state) want(t *testing.T, part, want string) {
	t.Helper()
	if got := strings.TrimSuffix(s[part], "\n"); got != want {
		t.Errorf("%s = %q, want %q", part, got, want)
	}
}

// args returns the arguments of observer, without its name.
func (s state) args() []string {
	// The first two are /bin/sh, which the kernel inserts for a script, and the script.
	return split(s["args"])[2:]
}

// wantArgs checks the arguments of observer.
func (s state) wantArgs(t *testing.T, want ...string) {
	t.Helper()
	if got := s.args(); !slices.Equal(got, want) {
		t.Errorf("arguments = %q, want %q", got, want)
	}
}

// env returns the sorted environment.
func (s state) env() []string {
	return slices.Sorted(slices.Values(split(s["env"])))
}

// defaultPath is the variable PATH of a workload if nobody sets it.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// wantEnv checks the environment, in any order. Without PATH in want, it must have defaultPath.
func (s state) wantEnv(t *testing.T, want ...string) {
	t.Helper()
	if !slices.ContainsFunc(want, func(s string) bool { return strings.HasPrefix(s, "PATH=") }) {
		want = append(want, defaultPath)
	}
	if got, want := s.env(), slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		t.Errorf("environment = %.2000q, want %.2000q", got, want)
	}
}

// field returns the value after name in a part in the format of /proc/PID/status or
// /proc/PID/limits.
func (s state) field(t *testing.T, part, name string) string {
	t.Helper()
	for line := range strings.Lines(s[part]) {
		if value, found := strings.CutPrefix(line, name); found {
			return strings.Join(strings.Fields(strings.TrimPrefix(value, ":")), " ")
		}
	}
	t.Errorf("%s has no %q", part, name)
	return ""
}

// wantField checks the value that field returns.
func (s state) wantField(t *testing.T, part, name, want string) {
	t.Helper()
	if got := s.field(t, part, name); got != want {
		t.Errorf("%s: %s = %q, want %q", part, name, got, want)
	}
}

// split returns the elements of a list in which each element ends with a NUL.
func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(list, "\x00"), "\x00")
}
