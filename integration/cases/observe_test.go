package cases

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
)

// observer is where the guest has the program that observe runs.
const observer = "/bin/observer"

// observerScript takes down the state that it was started in, each part in a file. A shell has the advantage over a Go
// program that it changes next to nothing before it looks.
const observerScript = `#!/bin/sh
umask >/observed/umask
umask 0
pwd -P >/observed/dir
cat /proc/$$/cmdline >/observed/args
cat /proc/$$/environ >/observed/env
cat /proc/self/limits >/observed/limits
cat /proc/self/status >/observed/status
cat /proc/$$/stat >/observed/stat
cat /proc/self/mountinfo >/observed/mountinfo
cat /proc/1/status >/observed/status1
ls -l /proc/self/fd >/observed/fds
hostname >/observed/hostname
id >/observed/id
exit 0
`

// state is what a workload saw: contents of files by their names.
type state map[string]string

// observe boots a machine with a root of its own, whose workload is observer, and returns what that has seen. The caller
// sees to it that the machine runs observer: addObserver does, as long as the machine has no configuration.
func observe(t *testing.T, cfg vm.Config) state {
	t.Helper()
	dir := filepath.Join(cfg.Root, "observed")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	cfg.Files = append(cfg.Files, hostfs.File{Path: observer, Data: []byte(observerScript), Mode: 0o755})
	run(t, cfg, 0)

	s := state{}
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
