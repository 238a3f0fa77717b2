package mount

import (
	"errors"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// entry returns a mount of an OCI configuration.
func entry(destination, fsType, source string, options ...string) specs.Mount {
	return specs.Mount{Destination: destination, Type: fsType, Source: source, Options: options}
}

// tmpfs returns the mount of a tmpfs whose mount point may be missing.
func tmpfs(target string, flags uintptr, data string) Mount {
	return Mount{Type: "tmpfs", Source: "tmpfs", Target: target,
		Flags: flags, Data: data, Parents: true}
}

// do carries out operations that must not fail.
func do(t *testing.T, ops ...op.Op) {
	t.Helper()
	for _, op := range ops {
		if err := op.Do(); err != nil {
			t.Errorf("%v: %v", op.Describe(), err)
		}
	}
}

// put writes a file and creates its directory.
func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantError checks that err wraps cause and that its text contains text.
func wantError(t *testing.T, what string, err, cause error, text string) {
	t.Helper()
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s = %v, want %v with %q", what, err, cause, text)
	}
}

// wantFile checks the contents of a file.
func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("ReadFile(%s) = %q, %v, want %q", path, got, err, want)
	}
}

// wantMount checks type, options and propagation, as in /proc/self/mountinfo, of the topmost mount
// on a mount point.
func wantMount(t *testing.T, point, fsType, options, propagation string) {
	t.Helper()
	fields, tail := mountLine(t, point)
	if fields == nil {
		t.Errorf("nothing is mounted on %s", point)
		return
	}
	got := strings.Split(fields[5], ",")
	slices.Sort(got)
	want := strings.Split(options, ",")
	slices.Sort(want)
	gotProp, _, _ := strings.Cut(strings.Join(fields[6:], " "), ":")
	gotType := strings.Fields(tail)[0]
	if gotType != fsType || !slices.Equal(got, want) || gotProp != propagation {
		t.Errorf("mount on %s = %s %q %q, want %s %q %q",
			point, gotType, got, gotProp, fsType, want, propagation)
	}
}

// mountLine returns the line of /proc/self/mountinfo for the topmost mount on a mount point: the
// fields before the hyphen, and the text after it.
func mountLine(t *testing.T, point string) (fields []string, tail string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		head, after, _ := strings.Cut(line, " - ")
		if f := strings.Fields(head); f[4] == point {
			fields, tail = f, after
		}
	}
	return fields, tail
}

// wantReadOnly checks that a directory or file is on a read-only mount.
func wantReadOnly(t *testing.T, path string) {
	t.Helper()
	if err := unix.Access(path, unix.W_OK); err != unix.EROFS {
		t.Errorf("Access(%s, W_OK) = %v, want EROFS", path, err)
	}
}

// wantSize checks the size of a file system, in bytes.
func wantSize(t *testing.T, path string, want uint64) {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil || fs.Blocks*uint64(fs.Bsize) != want {
		t.Errorf("Statfs(%s) = %d blocks of %d, %v, want %d bytes",
			path, fs.Blocks, fs.Bsize, err, want)
	}
}

func lstat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}

// enterRoot makes dir, which has no /proc and no /dev, the root until leave is called.
func enterRoot(t *testing.T, dir string) (leave func()) {
	t.Helper()
	old, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Chroot(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(unix.Fchdir(old), unix.Chroot("."), unix.Close(old)); err != nil {
			t.Error(err)
		}
	}
}
