package imagefile

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadOnce(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(dir+"/file", []byte("12345"), 0o600), unix.Mkfifo(dir+"/fifo", 0o600),
		os.Symlink("file", dir+"/link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "link"} {
		if data, err := ReadOnce(dir+"/"+name, 5); string(data) != "12345" || err != nil {
			t.Errorf("ReadOnce(%s) = %q, %v, want all of the file", name, data, err)
		}
	}
	for name, want := range map[string]string{
		"file": "read " + dir + "/file: larger than 4 bytes",
		"fifo": "read " + dir + "/fifo: not a regular file",
		"none": "open " + dir + "/none: no such file or directory",
		".":    "read " + dir + "/.: is a directory",
	} {
		data, err := ReadOnce(dir+"/"+name, 4)
		if err == nil || !strings.Contains(err.Error(), want) || data != nil {
			t.Errorf("ReadOnce(%s) = %q, %v, want %s", name, data, err, want)
		}
		if errors.Is(err, fs.ErrNotExist) != (name == "none") {
			t.Errorf("ReadOnce(%s) = %v, means a missing file: %v", name, err, name != "none")
		}
	}
}
