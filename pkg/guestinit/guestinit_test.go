package guestinit

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/krunbox/krunbox/pkg/guestconfig"
)

// program is the smallest file that is a program for a machine, elf(5).
func program(machine byte) []byte {
	header := make([]byte, 64)
	copy(header, "\x7fELF\x02\x01\x01") // 64 bits, little-endian
	header[16], header[18], header[20], header[52] = 2, machine, 1, 64
	header[54], header[58] = 56, 64 // sizes of the entries of tables that are empty
	return header
}

const x86, arm = 62, 183

func TestBinaryIn(t *testing.T) {
	fsys := fstest.MapFS{
		"binaries/init_amd64.krun":   {Data: program(x86)},
		"binaries/init_riscv64.krun": {Data: program(arm)},
	}
	if got, err := binaryIn(fsys, "amd64"); err != nil || !bytes.Equal(got, program(x86)) {
		t.Errorf("binaryIn(amd64) = %q, %v, want the file", got, err)
	}
	for arch, want := range map[string]string{
		"arm64":   "init for arm64 was not there to embed: make it with make guestinit",
		"riscv64": "binaries/init_riscv64.krun: a program for EM_AARCH64, want EM_RISCV",
		"sparc":   `unknown architecture "sparc": want amd64, arm64 or riscv64`,
		"":        `unknown architecture ""`,
		"../x":    `unknown architecture "../x"`,
	} {
		_, err := binaryIn(fsys, arch)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("binaryIn(%q) = %v, want %s", arch, err, want)
		}
		if got := errors.Is(err, fs.ErrNotExist); got != (arch == "arm64") {
			t.Errorf("binaryIn(%q) = %v, is fs.ErrNotExist: %v", arch, err, got)
		}
	}
}

// What is embedded is what was built for that architecture; what is not says so.
func TestBinary(t *testing.T) {
	for arch := range machines {
		got, err := Binary(arch)
		_, statErr := os.Stat("binaries/init_" + arch + ".krun")
		if there := statErr == nil; there != (err == nil) || !there && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Binary(%s) = %v, the file: %v", arch, err, statErr)
		}
		r, readerErr := NewReader(arch)
		if data, _ := io.ReadAll(r); !bytes.Equal(data, got) || (readerErr == nil) != (err == nil) {
			t.Errorf("NewReader(%s) = %d bytes, %v, want %d, %v", arch, len(data), readerErr, len(got), err)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	for path, data := range map[string][]byte{good: program(x86), bad: []byte("#!/bin/sh\n")} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	find := func(arch, path string) ([]byte, error) {
		return Find(arch, func(name string) string { return map[string]string{EnvBinaryPath: path}[name] })
	}
	if got, err := find("amd64", good); err != nil || !bytes.Equal(got, program(x86)) {
		t.Errorf("Find with a file = %q, %v, want its contents", got, err)
	}
	for _, test := range []struct{ arch, path, want string }{
		{"arm64", good, good + ": a program for EM_X86_64, want EM_AARCH64"},
		{"amd64", bad, bad + ": no ELF program"},
		{"amd64", dir + "/none", "KRUN_INIT_BINARY_PATH: open " + dir + "/none: no such file"},
		{"mips", good, `unknown architecture "mips"`},
	} {
		if _, err := find(test.arch, test.path); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Find(%s) with %s = %v, want %s", test.arch, test.path, err, test.want)
		}
	}
	want, wantErr := Binary("amd64")
	if got, err := find("amd64", ""); !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
		t.Errorf("Find without a file = %d bytes, %v, want those of Binary, %v", len(got), err, wantErr)
	}
}

func TestOverlay(t *testing.T) {
	files, err := Overlay([]byte("init"), &guestconfig.Config{Args: []string{"a"}})
	if err != nil || len(files) != 2 {
		t.Fatalf("Overlay = %v, %v, want two files", files, err)
	}
	for i, want := range []File{
		{Path: "/init.krun", Mode: 0o755, Data: []byte("init"), OneShot: true},
		{Path: "/.krun_config.json", Mode: 0o444, Data: []byte(`{"process":{"args":["a"]}}`), OneShot: true},
	} {
		if err := same("", want, files[i]); err != nil {
			t.Errorf("file %d: %v", i, err)
		}
	}
	if files, err := Overlay(nil, nil); len(files) != 1 || err != nil {
		t.Errorf("Overlay without a configuration = %v, %v, want init alone", files, err)
	}
	if _, err := Overlay(nil, &guestconfig.Config{Cwd: "\x00"}); err == nil {
		t.Error("Overlay with a configuration that no file can have succeeds")
	}
}

func TestSame(t *testing.T) {
	type list struct{ List []string }
	for _, test := range []struct {
		want, got list
		err       string
	}{
		{list{}, list{[]string{}}, ""},
		{list{[]string{"a"}}, list{[]string{"a"}}, ""},
		{list{[]string{"a"}}, list{[]string{"b"}}, `x.List[0] = "a" can't be expressed: init would read "b"`},
		{list{[]string{"a"}}, list{}, `x.List[0] = "a" can't be expressed: init would leave it out`},
		{list{}, list{[]string{strings.Repeat("a", 99)}}, `x.List[0] is missing: init would read "` + strings.Repeat("a", 59) + "... there"},
	} {
		err := same("x", test.want, test.got)
		if err == nil && test.err != "" || err != nil && err.Error() != test.err {
			t.Errorf("same(%q, %q) = %v, want %s", test.want, test.got, err, test.err)
		}
	}
}
