package kmodule

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if list, err := ReadList(path); list != nil || err != nil {
		t.Errorf("ReadList(missing) = %v, %v, want nothing", list, err)
	}
	if err := os.WriteFile(path, []byte("/a.ko\n/b.ko debug=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []Module{{Path: "/a.ko"}, {Path: "/b.ko", Params: "debug=1"}}
	list, err := ReadList(path)
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("ReadList() = %q, %v, want %q", list, err, want)
	}
	if got, want := Load(list).Describe().String(),
		`load modules list=[/a.ko "/b.ko debug=1"]`; got != want {
		t.Errorf("Describe() = %s, want %s", got, want)
	}
	if err := os.WriteFile(path, make([]byte, maxListSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadList(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("ReadList(large list) = %v, want an error about its size", err)
	}
}

// TestLoadErrors checks that every failure is reported and the next module is tried.
func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Load{{Path: dir + "/a.ko"}, {Path: dir + "/b.ko"}}.Do()
	want := "load " + dir + "/a.ko: no such file or directory\n" +
		"load " + dir + "/b.ko: no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("Do() = %v, want %s", err, want)
	}
	// A FIFO must not block. The error depends on the machine.
	if err := (Load{{Path: fifo}}).Do(); err == nil {
		t.Error("Do() of a FIFO = nil, want an error")
	}
}
