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
	"time"

	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// program returns the smallest file that is a program for a machine, elf(5).
func program(machine byte) []byte {
	header := make([]byte, 64)
	copy(header, "\x7fELF\x02\x01\x01") // 64 bits, little-endian
	header[16], header[18], header[20], header[52] = 2, machine, 1, 64
	header[54], header[58] = 56, 64 // sizes of the entries of empty tables
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
		"arm64":   "init for arm64 is not embedded: build it with make guestinit",
		"riscv64": "binaries/init_riscv64.krun: program for EM_AARCH64, want EM_RISCV",
		"sparc":   `unknown architecture "sparc": want amd64, arm64 or riscv64`,
		"":        `unknown architecture ""`,
		"../x":    `unknown architecture "../x"`,
	} {
		_, err := binaryIn(fsys, arch)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("binaryIn(%q) = %v, want the error %s", arch, err, want)
		}
		if got, want := errors.Is(err, fs.ErrNotExist), arch == "arm64"; got != want {
			t.Errorf("binaryIn(%q) = %v, which is fs.ErrNotExist: %v, want %v", arch, err, got, want)
		}
	}
}

// Binary returns what was built for each architecture, and an error for what was not built.
func TestBinary(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64", "riscv64"} {
		got, err := Binary(arch)
		_, statErr := os.Stat("binaries/init_" + arch + ".krun")
		if statErr == nil && err != nil || statErr != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Binary(%s) = %v, want the error of the file, %v", arch, err, statErr)
		}
		r, readerErr := NewReader(arch)
		data, _ := io.ReadAll(r)
		if !bytes.Equal(data, got) || (readerErr == nil) != (err == nil) {
			t.Errorf("NewReader(%s) = %d bytes, %v, want %d, %v",
				arch, len(data), readerErr, len(got), err)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	files := map[string][]byte{good: program(x86), bad: []byte("#!/bin/sh\n")}
	for path, data := range files {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	find := func(arch, path string) ([]byte, error) {
		environ := map[string]string{EnvBinaryPath: path}
		return Find(arch, func(name string) string { return environ[name] })
	}
	if got, err := find("amd64", good); err != nil || !bytes.Equal(got, program(x86)) {
		t.Errorf("Find with a file = %q, %v, want its contents", got, err)
	}
	for _, test := range []struct{ arch, path, want string }{
		{"arm64", good, good + ": program for EM_X86_64, want EM_AARCH64"},
		{"amd64", bad, bad + ": not an ELF program"},
		{"amd64", dir + "/none", "KRUN_INIT_BINARY_PATH: open " + dir + "/none: no such file"},
		{"mips", good, `unknown architecture "mips"`},
	} {
		_, err := find(test.arch, test.path)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Find(%s) with %s = %v, want the error %s", test.arch, test.path, err, test.want)
		}
	}
	want, wantErr := Binary("amd64")
	if got, err := find("amd64", ""); !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
		t.Errorf("Find without a file = %d bytes, %v, want what Binary returns, %d bytes, %v",
			len(got), err, len(want), wantErr)
	}
}

func TestOverlay(t *testing.T) {
	config := guestconfig.Config{Process: specs.Process{Args: []string{"a"}}}
	files, err := Overlay([]byte("init"), &config)
	if err != nil || len(files) != 2 {
		t.Fatalf("Overlay = %v, %v, want two files", files, err)
	}
	data := []byte(`{"process":{"args":["a"]}}`)
	for i, want := range []File{
		{Path: "/init.krun", Mode: 0o755, Data: []byte("init"), OneShot: true},
		{Path: "/.krun_config.json", Mode: 0o444, Data: data, OneShot: true},
	} {
		if !equal(files[i], want) {
			t.Errorf("Overlay returned the file %+v, want %+v", files[i], want)
		}
	}
	if files, err := Overlay(nil, nil); len(files) != 1 || err != nil {
		t.Errorf("Overlay without a configuration = %v, %v, want one file", files, err)
	}
	if _, err := Overlay(nil, &guestconfig.Config{Hostname: "\x00"}); err == nil {
		t.Error("Overlay = nil for a configuration that no file can have, want an error")
	}
}

func TestSame(t *testing.T) {
	type values struct {
		List []string
		Map  map[string]int
		Time time.Duration
		Ptr  *struct{ N int }
	}
	for _, test := range []struct {
		want, got values
		err       string
	}{
		{values{}, values{List: []string{}, Map: map[string]int{}}, ""},
		{values{List: []string{"a"}}, values{List: []string{"a"}}, ""},
		{
			values{List: []string{"a"}}, values{List: []string{"b"}},
			`x.List[0] = "a" can't be expressed: init would read "b"`,
		},
		{
			values{List: []string{"a"}}, values{},
			`x.List[0] = "a" can't be expressed: init would leave it out`,
		},
		{
			values{}, values{List: []string{strings.Repeat("a", 99)}},
			`x.List[0] is missing: init would read "` + strings.Repeat("a", 59) + "... there",
		},
		{
			values{Map: map[string]int{"a": 1}}, values{Map: map[string]int{}},
			`x.Map = map[string]int{"a":1} can't be expressed: init would read map[string]int{}`,
		},
		{
			values{Time: time.Second}, values{Time: time.Minute},
			"x.Time = 1s can't be expressed: init would read 1m0s",
		},
		{
			values{Ptr: &struct{ N int }{1}}, values{Ptr: &struct{ N int }{2}},
			"x.Ptr.N = 1 can't be expressed: init would read 2",
		},
		{
			values{Ptr: &struct{ N int }{1}}, values{},
			"x.Ptr = &struct { N int }{N:1} can't be expressed: init would read (*struct { N int })(nil)",
		},
	} {
		err := same("x", test.want, test.got)
		if err == nil && test.err != "" || err != nil && err.Error() != test.err {
			t.Errorf("same(%+v, %+v) = %v, want %s", test.want, test.got, err, test.err)
		}
	}
}
