package imagefile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

// TestReplace replaces whatever is at the path, and only that.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, plant := range map[string]func(string) error{
		"nothing": func(string) error { return nil },
		"a FIFO":  func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a link":  func(path string) error { return os.Symlink(other, path) },
		"a file":  func(path string) error { return os.WriteFile(path, []byte("["), 0o600) },
	} {
		for _, planted := range []string{path, path + ".new"} {
			_ = os.Remove(path)
			if err := plant(planted); err != nil {
				t.Fatal(err)
			}
			if err := Replace(path, []byte("[]\n")); err != nil {
				t.Errorf("with %s at %s: %v", name, planted, err)
			}
			text, err := os.ReadFile(path)
			if err != nil || string(text) != "[]\n" {
				t.Errorf("with %s at %s: %q, %v, want []", name, planted, text, err)
			}
			if info, err := os.Lstat(path); err != nil || info.Mode() != 0o644 {
				t.Errorf("with %s at %s: %v, %v, want -rw-r--r--", name, planted, info, err)
			}
		}
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "untouched" {
		t.Errorf("the file that a link led to has %q, %v", text, err)
	}
	// A directory that is not empty stays.
	if err := errors.Join(os.Remove(path), os.MkdirAll(path+"/sub", 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("[]\n")); err == nil {
		t.Error("Replace() of a directory succeeds")
	}
	if names, err := filepath.Glob(dir + "/*"); err != nil || len(names) != 2 {
		t.Errorf("files: %v, %v, want %s and %s", names, err, other, path)
	}
}

// TestReplaceInNamespace has a file system with room for half of the data.
func TestReplaceInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		const dir = "/dev" // in this namespace
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8k"); err != nil {
			t.Fatal(err)
		}
		path := dir + "/file"
		if err := Replace(path, []byte("[]\n")); err != nil {
			t.Error(err)
		}
		if err := Replace(path, make([]byte, 16<<10)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("Replace() with more than there is room for = %v, want ENOSPC", err)
		}
		text, err := os.ReadFile(path)
		if names, _ := filepath.Glob(dir + "/*"); err != nil || string(text) != "[]\n" || len(names) != 1 {
			t.Errorf("the file has %q, %v, want its old contents and no other file: %q", text, err, names)
		}
	})
}
