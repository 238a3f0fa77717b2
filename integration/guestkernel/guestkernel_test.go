package guestkernel

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/krunbox/krunbox/internal/progress"
)

// writeTGZ creates a .tgz archive with one file and returns its path.
func writeTGZ(t *testing.T, name, contents string) string {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	tw := tar.NewWriter(gz)
	header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(contents))}
	if err := tw.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write([]byte(contents)); err != nil {
		t.Fatal(err)
	}
	tw.Close()
	gz.Close()
	path := filepath.Join(t.TempDir(), "archive.tgz")
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// fakeNPM prepends a directory to PATH, with an npm command that runs a shell script.
func fakeNPM(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "npm"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestFetchMember(t *testing.T) {
	archive := writeTGZ(t, "package/lib/x.so", "contents")
	pkg := npmPackage{name: "@scope/name", version: "1.2.3"}
	fakeNPM(t, `case $* in
"pack --silent --ignore-scripts --cache $PWD/npm-cache @scope/name@1.2.3") cp `+archive+` scope-name-1.2.3.tgz ;;
*) exit 1 ;;
esac`)
	path := filepath.Join(t.TempDir(), "x.so")

	// The checksum is not known in advance. The error for an empty one contains it.
	err := pkg.fetchMember(t.Context(), "it", "package/lib/x.so", path)
	_, rest, found := strings.Cut(errString(err), "sha256 is ")
	if !found || len(rest) < 64 {
		t.Fatalf("fetchMember() with a wrong checksum = %v, want the correct one in it", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Errorf("fetchMember() with a wrong checksum extracted %s", path)
	}

	pkg.sha256 = rest[:64]
	if err := pkg.fetchMember(t.Context(), "it", "package/lib/x.so", path); err != nil {
		t.Fatalf("fetchMember() = %v, want nil", err)
	}
	if got, err := os.ReadFile(path); string(got) != "contents" {
		t.Errorf("extracted %q, %v, want %q", got, err, "contents")
	}
	err = pkg.fetchMember(t.Context(), "it", "package/lib/y.so", path)
	if !strings.Contains(errString(err), "package/lib/y.so") {
		t.Errorf("fetchMember() of a missing file = %v, want an error with its name", err)
	}
}

// TestProgress reports a download of 100 bytes, of which 30 have come, and then 70.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		dir := t.TempDir()
		receive := func(name string, size int) {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name, "data"), make([]byte, size), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		pkg := npmPackage{name: "name", version: "1", size: 100}
		stop := pkg.watch(progress.With(t.Context(), &out, "", false), "it", dir)
		receive("a/b", 30)
		time.Sleep(5 * time.Second)
		receive("a/c", 40)
		time.Sleep(10 * time.Second)
		stop()
		const want = "downloading it (0 MB, once): 30 %\ndownloading it (0 MB, once): 70 %\n" +
			"downloading it (0 MB, once): 15 s\n"
		if out.String() != want {
			t.Errorf("output = %q, want %q", out.String(), want)
		}
	})
}

func TestFetchErrors(t *testing.T) {
	pkg := npmPackage{name: "name", version: "1"}
	fakeNPM(t, "echo 404 no such thing >&2; exit 1")
	err := pkg.fetchMember(t.Context(), "it", "m", filepath.Join(t.TempDir(), "m"))
	if !strings.Contains(errString(err), "404 no such thing") {
		t.Errorf("fetchMember() with a failing npm = %v, want an error with npm's message", err)
	}
	t.Setenv("PATH", t.TempDir())
	err = pkg.fetchMember(t.Context(), "it", "m", filepath.Join(t.TempDir(), "m"))
	if !strings.Contains(errString(err), "apt-get install npm") {
		t.Errorf("fetchMember() without npm = %v, want the command that installs it in it", err)
	}
}

func TestUnknownArchitecture(t *testing.T) {
	if _, err := Path(t.Context(), "riscv64"); !strings.Contains(errString(err), `"riscv64"`) {
		t.Errorf("Path(riscv64) = %v, want an error with the architecture", err)
	}
}

func TestPVHELF(t *testing.T) {
	image := bytes.Repeat([]byte("kernel"), 1000)
	f, err := elf.NewFile(bytes.NewReader(pvhELF(image)))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != elf.EM_X86_64 || f.Entry != loadAddress || len(f.Progs) != 2 {
		t.Fatalf("ELF header = %+v with %d segments, want machine %v, entry %#x, 2 segments",
			f.FileHeader, len(f.Progs), elf.EM_X86_64, loadAddress)
	}
	load, note := f.Progs[0], f.Progs[1]
	got := make([]byte, load.Filesz)
	if _, err := load.ReadAt(got, 0); err != nil || !bytes.Equal(got, image) {
		t.Errorf("PT_LOAD has %d bytes (%v), want the image's %d", len(got), err, len(image))
	}
	if load.Type != elf.PT_LOAD || load.Paddr != loadAddress || load.Memsz != load.Filesz+bssSize {
		t.Errorf("PT_LOAD = %+v, want address %#x, %#x more bytes in memory than in the file",
			load.ProgHeader, loadAddress, bssSize)
	}
	desc := make([]byte, note.Filesz)
	if _, err := note.ReadAt(desc, 0); err != nil || note.Type != elf.PT_NOTE || len(desc) != 24 {
		t.Fatalf("PT_NOTE = %+v, %v, want 24 bytes", note.ProgHeader, err)
	}
	if entry := binary.LittleEndian.Uint64(desc[16:]); entry != loadAddress || string(desc[12:15]) != "Xen" {
		t.Errorf("PT_NOTE = %q with entry %#x, want Xen with %#x", desc, entry, loadAddress)
	}
}

// TestPath checks the format of the kernels. It downloads them unless they are cached.
func TestPath(t *testing.T) {
	if testing.Short() {
		t.Skip("may download")
	}
	for arch, magic := range map[string]struct {
		offset int
		bytes  string
	}{"amd64": {0, elf.ELFMAG}, "arm64": {56, "ARM\x64"}} {
		path, err := Path(t.Context(), arch)
		if err != nil {
			t.Fatalf("Path(%s) = %v", arch, err)
		}
		head := make([]byte, 64)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.ReadAt(head, 0); err != nil || !bytes.HasPrefix(head[magic.offset:], []byte(magic.bytes)) {
			t.Errorf("file Path(%s) begins with %q, %v, want %q at offset %d",
				arch, head, err, magic.bytes, magic.offset)
		}
	}
}

func TestPeerInit(t *testing.T) {
	if testing.Short() {
		t.Skip("may download")
	}
	path, err := PeerInit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatalf("PeerInit(): %v", err)
	}
	defer f.Close()
	for _, prog := range f.Progs {
		if prog.Type == elf.PT_INTERP {
			t.Errorf("the program PeerInit() is dynamically linked, want a static one")
		}
	}
}

func errString(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
