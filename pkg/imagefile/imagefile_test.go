//go:build unix

package imagefile

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := Read(dir+"/file", 5); string(data) != "12345" || err != nil {
		t.Errorf("Read() = %q, %v, want all of the file", data, err)
	}
	for name, want := range map[string]string{
		"file": "read " + dir + "/file: larger than 4 bytes",
		"fifo": "read " + dir + "/fifo: not a regular file",
		"none": "open " + dir + "/none: no such file or directory",
		".":    "read " + dir + "/.: is a directory",
	} {
		data, err := Read(dir+"/"+name, 4)
		if err == nil || !strings.Contains(err.Error(), want) || data != nil {
			t.Errorf("Read(%s) = %q, %v, want %s", name, data, err, want)
		}
		if name == "none" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Read(%s): %v does not wrap the cause", name, err)
		}
	}
}

// Write replaces regular files only. What a FIFO's reader does not take, or a link leads to, does not
// matter to it.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"12345", "678"} {
		if err := Write(dir+"/file", []byte(text), true); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(dir + "/file"); string(got) != text {
			t.Errorf("the file is %q, %v, want %q", got, err, text)
		}
	}
	for _, name := range []string{"fifo", "read"} {
		if err := unix.Mkfifo(dir+"/"+name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := os.OpenFile(dir+"/read", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := os.Symlink("file", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for name, create := range map[string]bool{"fifo": true, "read": true, "link": true, ".": true, "none": false} {
		err := Write(dir+"/"+name, make([]byte, 1<<20), create)
		if err == nil || !strings.Contains(err.Error(), dir+"/"+name) {
			t.Errorf("Write(%s) = %v, want an error with the path", name, err)
		}
	}
	if got, err := os.ReadFile(dir + "/file"); string(got) != "678" {
		t.Errorf("the file is %q, %v after a write to a link", got, err)
	}
}
