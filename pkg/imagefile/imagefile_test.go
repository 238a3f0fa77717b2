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
