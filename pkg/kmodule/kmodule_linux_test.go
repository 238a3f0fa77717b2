package kmodule

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
)

func TestPlan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if ops, err := Plan(path); ops != nil || err != nil {
		t.Errorf("Plan(no such file) = %v, %v, want nothing", ops, err)
	}
	if err := os.WriteFile(path, []byte("/a.ko\n/b.ko debug=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := boot.WriteText(&text, []boot.Stage[string]{{Name: "modules", Plan: Plan}}, path); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/a.ko", "/b.ko debug=1"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the plan is %q, want %q in it", text.String(), want)
		}
	}
	if err := os.WriteFile(path, make([]byte, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Plan(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("Plan(too large a list) = %v, want an error that says so", err)
	}
}

// Each failure is a line, and does not keep others from being tried.
func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Load{{Path: dir + "/a.ko"}, {Path: dir + "/b.ko"}}.Do()
	want := "load " + dir + "/a.ko: no such file or directory\nload " + dir + "/b.ko: no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("Do() = %v, want %s", err, want)
	}
	// It must not block; what it says depends on this machine.
	if err := (Load{{Path: fifo}}).Do(); err == nil {
		t.Error("Do() of a FIFO succeeded")
	}
}
