package guestroot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(dir, 0o700); err != nil { // the permissions of os.MkdirTemp
		t.Fatal(err)
	}
	if err := create(dir, []byte("program"), []string{"[", "busybox", "sh"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{
		"bin/busybox": 0o755,
		"bin/sh":      0o755,
		"bin/[":       0o755,
		"usr/bin/sh":  0o755,
		"sbin/sh":     0o755,
		"etc/passwd":  0o644,
		".":           os.ModeDir | 0o755,
		"tmp":         os.ModeDir | os.ModeSticky | 0o777,
		"root":        os.ModeDir | 0o700,
		"dev":         os.ModeDir | 0o755,
		"proc":        os.ModeDir | 0o555,
		"sys":         os.ModeDir | 0o555,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode() != want {
			t.Errorf("mode of %s = %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestCreateForEachArchitecture(t *testing.T) {
	if testing.Short() {
		t.Skip("may download")
	}
	for arch, machine := range machines {
		dir := t.TempDir()
		if err := Create(t.Context(), arch, dir); err != nil {
			t.Errorf("Create(%s) = %v, want nil", arch, err)
			continue
		}
		if !isStatic(filepath.Join(dir, "bin/sh"), machine) {
			t.Errorf("bin/sh of the root for %s is not a static executable for %[1]s", arch)
		}
	}
	err := Create(t.Context(), "riscv64", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("Create(riscv64) = %v, want an error with the architecture", err)
	}
}
