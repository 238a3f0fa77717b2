package system

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEnableControllers(t *testing.T) {
	dir := t.TempDir()
	const control = "/cgroup.subtree_control"
	for list, want := range map[string]string{"cpuset cpu io\n": "+cpuset +cpu +io ", "\n": ""} {
		put(t, dir+"/cgroup.controllers", list)
		put(t, dir+control, "")
		err := EnableControllers{dir}.Do()
		if got, _ := os.ReadFile(dir + control); err != nil || string(got) != want {
			t.Errorf("with controllers %q: %v, %s has %q, want %q", list, err, control, got, want)
		}
	}
	if err := (EnableControllers{dir + "/nowhere"}).Do(); err != nil {
		t.Errorf("without a cgroup = %v, want nil", err)
	}
	put(t, dir+"/cgroup.controllers", "cpu")
	if err := os.Remove(dir + control); err != nil {
		t.Fatal(err)
	}
	if err := (EnableControllers{dir}).Do(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("without subtree_control = %v, want ENOENT", err)
	}
}

func TestDelegateCgroupInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		if err := (DelegateCgroup{dir + "/nowhere", 1000}).Do(); err != nil {
			t.Errorf("without a cgroup = %v, want nil", err)
		}
		files := map[string]uint32{"": 1000, "/cgroup.procs": 1000, "/cgroup.subtree_control": 1000,
			"/cgroup.threads": 1000, "/memory.max": 0}
		for file := range files {
			if file != "" {
				put(t, dir+file, "")
			}
		}
		if err := os.Chmod(dir, 0o555); err != nil { // as the first cgroup has it
			t.Fatal(err)
		}
		if err := (DelegateCgroup{dir, 1000}).Do(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("permissions = %v, %v, want 0755", info.Mode(), err)
		}
		for file, want := range files {
			var st unix.Stat_t
			if err := unix.Stat(dir+file, &st); err != nil || st.Uid != want || st.Gid != 0 {
				t.Errorf("owner of %q = %d:%d, %v, want %d:0", file, st.Uid, st.Gid, err, want)
			}
		}
	})
}
