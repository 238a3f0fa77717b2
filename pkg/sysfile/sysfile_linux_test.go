package sysfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000} {
		want := bytes.Repeat([]byte("x"), size)
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, max := range []int{size, size + 1, 1 << 20} {
			if got, err := Read(path, max); err != nil || !bytes.Equal(got, want) {
				t.Errorf("Read of %d bytes, at most %d = %d bytes, %v", size, max, len(got), err)
			}
		}
		if size == 0 {
			continue
		}
		if _, err := Read(path, size-1); err == nil || !strings.Contains(err.Error(), "larger than "+strconv.Itoa(size-1)+" bytes") {
			t.Errorf("Read of %d bytes, at most %d = %v, want an error that says so", size, size-1, err)
		}
	}
	if got, err := Read("/proc/self/status", 1<<20); err != nil || !bytes.HasPrefix(got, []byte("Name:")) {
		t.Errorf("Read of a file of /proc = %q, %v", got, err)
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{dir + "/missing": fs.ErrNotExist, dir: unix.EISDIR} {
		_, err := Read(path, 10)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), " "+path+": ") {
			t.Errorf("Read(%s) = %v, want %v of that path", path, err, want)
		}
	}
	if got, err := Read(fifo, 10); len(got) != 0 { // it must not block
		t.Errorf("Read of a FIFO without a writer = %q, %v, want nothing", got, err)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("x", 1<<20)
	for _, data := range []string{big, "short", ""} { // each replaces the one before
		if err := Write(dir+"/file", []byte(data), 0o640); err != nil {
			t.Errorf("Write(%d bytes) = %v", len(data), err)
		}
		if got, err := os.ReadFile(dir + "/file"); err != nil || string(got) != data {
			t.Errorf("after Write(%d bytes) the file has %d, %v", len(data), len(got), err)
		}
	}
	if info, err := os.Stat(dir + "/file"); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode = %v, %v, want 0640", info.Mode(), err)
	}
	if err := os.Symlink(dir+"/file", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{"/link": unix.ELOOP, "/no/file": unix.ENOENT, "": unix.EISDIR} {
		if err := Write(dir+path, []byte("x"), 0o600); !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "open "+dir+path+": ") {
			t.Errorf("Write(%q) = %v, want %v", path, err, want)
		}
	}
	if err := Write("/dev/full", []byte("x"), 0o600); !errors.Is(err, unix.ENOSPC) || !strings.HasPrefix(err.Error(), "write /dev/full: ") {
		t.Errorf("Write(/dev/full) = %v, want ENOSPC", err)
	}
}

func TestMakeDirs(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"/a", "/a/b/c", "/a/b/c", "/d/e/", "//f//g"} {
		if err := MakeDirs(dir + path); err != nil {
			t.Errorf("MakeDirs(%s) = %v", path, err)
		}
		if info, err := os.Stat(dir + path); err != nil || !info.IsDir() {
			t.Errorf("after MakeDirs(%s): %v, %v", path, info, err)
		}
	}
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MakeDirs(dir + "/file/x"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("MakeDirs below a file = %v, want ENOTDIR", err)
	}
	if err := MakeDirs(""); !errors.Is(err, unix.ENOENT) {
		t.Errorf(`MakeDirs("") = %v, want ENOENT`, err)
	}
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 300 {
		name := strings.Repeat("n", i%50+1) + strconv.Itoa(i)
		want = append(want, name)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Names(dir)
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("Names() = %d names, %v, want %d", len(got), err, len(want))
	}
	if _, err := Names(dir + "/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Names(missing) = %v, want ErrNotExist", err)
	}
}

// The kernel's entries are right; wrong ones must end all the same.
func FuzzNames(f *testing.F) {
	f.Add([]byte("ino.....off.....\x18\x00\x08name\x00ino.....off.....\x18\x00\x04..\x00\x00\x00"))
	f.Add(make([]byte, 40))
	f.Fuzz(func(t *testing.T, entries []byte) {
		names := appendNames(nil, entries)
		if len(names) > len(entries)/19 {
			t.Errorf("%d names in %d bytes", len(names), len(entries))
		}
	})
}

func TestAppendNames(t *testing.T) {
	entries := []byte("ino.....off.....\x18\x00\x08name\x00ino.....off.....\x18\x00\x04..\x00\x00\x00ino.....off.....\x15\x00\x08b\x00")
	if got := appendNames([]string{"a"}, entries); !slices.Equal(got, []string{"a", "name", "b"}) {
		t.Errorf("appendNames() = %q", got)
	}
}
