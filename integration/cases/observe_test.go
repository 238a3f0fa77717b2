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
	// observer is a program of the guest that takes down the state it was started in, each part in a file.
	observer = "/bin/observer"

	// observed is the directory of these files, in the root.
	observed = "observed"
)

// A shell has the advantage over a Go program that it changes next to nothing before it looks.
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

// withObserver is withBusybox with observer as its workload. The arguments are observer's.
func withObserver(t *testing.T, arch string, args ...string) vm.Config {
	t.Helper()
	cfg := withBusybox(t, arch)
	cfg.Files = []hostfs.File{{Path: observer, Data: []byte(observerScript), Mode: 0o755}}
	cfg.Args = append([]string{observer}, args...)
	dir := filepath.Join(cfg.Root, observed)
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // whatever the umask is, and whoever the workload runs as
		t.Fatal(err)
	}
	return cfg
}

// state is what observer took down: contents of files, by their names.
type state map[string]string

// observe boots a machine that withObserver made, and returns what its workload saw.
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

// want checks a part of the state, of one line.
func (s state) want(t *testing.T, part, want string) {
	t.Helper()
	if got := strings.TrimSuffix(s[part], "\n"); got != want {
		t.Errorf("%s = %q, want %q", part, got, want)
	}
}

// args are observer's arguments, without its name.
func (s state) args() []string {
	return split(s["args"])[2:] // without /bin/sh, as the kernel executes a script
}

// wantArgs checks observer's arguments.
func (s state) wantArgs(t *testing.T, want ...string) {
	t.Helper()
	if got := s.args(); !slices.Equal(got, want) {
		t.Errorf("arguments = %q, want %q", got, want)
	}
}

// env is the environment, sorted.
func (s state) env() []string {
	return slices.Sorted(slices.Values(split(s["env"])))
}

// wantEnv checks the environment, whatever its order.
func (s state) wantEnv(t *testing.T, want ...string) {
	t.Helper()
	if got, want := s.env(), slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		t.Errorf("environment = %.2000q, want %.2000q", got, want)
	}
}

// field returns what a file such as /proc/PID/status, or limits, has after name.
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

// wantField checks such a value.
func (s state) wantField(t *testing.T, part, name, want string) {
	t.Helper()
	if got := s.field(t, part, name); got != want {
		t.Errorf("%s: %s = %q, want %q", part, name, got, want)
	}
}

// split takes a list apart whose elements all end with a NUL.
func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(list, "\x00"), "\x00")
}
