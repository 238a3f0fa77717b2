package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/mkuimage/cpio"
)

// writeImage writes an image that contains some files of the user.
func writeImage(t *testing.T, output string) {
	t.Helper()
	tr := newTree()
	for path, n := range map[string]*node{
		"etc/motd": file([]byte("hello\n")),
		"empty":    file(nil),
		"pipe":     {mode: fs.ModeNamedPipe | 0o640},
		"a b":      {mode: 0o755 | fs.ModeSetuid, data: bytes.Repeat([]byte("x"), 70_000)},
		"opt/tool": symlink("../bin/tool"),
	} {
		if err := tr.add(path, n); err != nil {
			t.Fatal(err)
		}
	}
	write, err := writerFor(output)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Output: output, Time: time.Unix(1_000_000, 0)}
	if err := write(t.Context(), tr, &opts); err != nil {
		t.Fatal(err)
	}
}

// TestWriteIsReproducible checks that a second image of each kind, in another directory, is the
// same.
func TestWriteIsReproducible(t *testing.T) {
	for _, kind := range []string{
		".cpio", ".cpio.gz", ".cpio.zst", ".tar", ".tar.gz", ".tar.zst", ".ext4",
	} {
		var written [2][]byte
		for i := range written {
			output := filepath.Join(t.TempDir(), fmt.Sprint("image", i, kind))
			writeImage(t, output)
			var err error
			if written[i], err = os.ReadFile(output); err != nil {
				t.Fatal(err)
			}
			if others, err := os.ReadDir(filepath.Dir(output)); err != nil || len(others) != 1 {
				t.Errorf("%s: %d files (%v), want only the image", kind, len(others), err)
			}
		}
		if !bytes.Equal(written[0], written[1]) {
			t.Errorf("%s: the second image differs from the first", kind)
		}
	}
}

// checkListing compares descriptions of files with those of some files in each image.
func checkListing(t *testing.T, got map[string]string) {
	t.Helper()
	for path, want := range listing {
		if got[path] != want {
			t.Errorf("%s is %q, want %q", path, got[path], want)
		}
	}
}

// listing has descriptions of files, as describe returns them.
var listing = map[string]string{
	"tmp":         "41777 0 0:0",
	"etc/motd":    "100644 hello\n 0:0",
	"empty":       "100644  0:0",
	"a b":         "104755 70000 0:0",
	"pipe":        "10640 0 0:0",
	"opt/tool":    "120777 ../bin/tool 0:0",
	"dev/console": "20600 0 5:1",
}

// describe returns mode, contents and device numbers of a file. Long contents, and those of a file
// that is neither regular nor a link, are represented by their length.
func describe(mode uint64, data []byte, major, minor uint64) string {
	text := string(data)
	kind := mode & cpio.S_IFMT
	if len(data) > 100 || kind != cpio.S_IFREG && kind != cpio.S_IFLNK {
		text = fmt.Sprint(len(data))
	}
	return fmt.Sprintf("%o %s %d:%d", mode, text, major, minor)
}

func TestWriteCPIO(t *testing.T) {
	output := filepath.Join(t.TempDir(), "image.cpio")
	writeImage(t, output)
	f, err := os.Open(output)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := map[string]string{}
	err = cpio.ForEachRecord(cpio.Newc.Reader(f), func(r cpio.Record) error {
		if r.UID != 0 || r.GID != 0 || r.MTime != 1_000_000 || r.Major != 0 || r.Minor != 0 {
			t.Errorf("%s: wrong owner, time or device: %+v", r.Name, r.Info)
		}
		if _, again := got[r.Name]; again {
			t.Errorf("%s is in the archive twice", r.Name)
		}
		data, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		got[r.Name] = describe(r.Mode, data, r.Rmajor, r.Rminor)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checkListing(t, got)
}

// TestWriteCPIOForOthers checks that cpio(1) reads an archive.
func TestWriteCPIOForOthers(t *testing.T) {
	output := filepath.Join(t.TempDir(), "image.cpio")
	writeImage(t, output)
	f, err := os.Open(output)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("cpio", "-itv", "--quiet")
	cmd.Stdin = f
	list, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cpio: %v\n%s", err, list)
	}
	for _, want := range []string{"-rwsr-xr-x", "opt/tool -> ../bin/tool", "5,   1"} {
		if !strings.Contains(string(list), want) {
			t.Errorf("cpio -itv prints\n%swant %q in it", list, want)
		}
	}
}

func TestWriteTar(t *testing.T) {
	output := filepath.Join(t.TempDir(), "image.tar.gz")
	writeImage(t, output)
	f, err := os.Open(output)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	types := map[byte]uint64{
		tar.TypeReg: 0o100000, tar.TypeDir: 0o40000, tar.TypeSymlink: 0o120000,
		tar.TypeFifo: 0o10000, tar.TypeChar: 0o20000,
	}
	for r := tar.NewReader(gz); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 1_000_000 {
			t.Errorf("%s: wrong owner or time: %+v", h.Name, h)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeSymlink {
			data = []byte(h.Linkname)
		}
		mode := types[h.Typeflag] | uint64(h.Mode)
		name := strings.Trim(h.Name, "./")
		got[name] = describe(mode, data, uint64(h.Devmajor), uint64(h.Devminor))
	}
	checkListing(t, got)
}

func TestWriteZstd(t *testing.T) {
	dir := t.TempDir()
	writeImage(t, dir+"/a.cpio")
	writeImage(t, dir+"/a.cpio.zst")
	want, err := os.ReadFile(dir + "/a.cpio")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir + "/a.cpio.zst")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, want) {
		t.Errorf("decompressed, the image has %d bytes (%v), want those of a.cpio", len(got), err)
	}
}

func TestWriteDir(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root") + "/"
	writeImage(t, root)
	for path, want := range map[string]fs.FileMode{
		"": fs.ModeDir | 0o755, "tmp": fs.ModeDir | fs.ModeSticky | 0o777,
		"proc": fs.ModeDir | 0o555, "a b": fs.ModeSetuid | 0o755,
		"pipe": fs.ModeNamedPipe | 0o640, "opt/tool": fs.ModeSymlink | 0o777,
	} {
		info, err := os.Lstat(root + path)
		if err != nil {
			t.Error(err)
		} else if info.Mode() != want || info.ModTime().Unix() != 1_000_000 {
			t.Errorf("%s has mode %v and time %v, want %v", path, info.Mode(), info.ModTime(), want)
		}
	}
	err := writeDir(t.Context(), newTree(), &Options{Output: root})
	if !fails(err, "not empty") {
		t.Errorf("writeDir(directory with files) = %v, want an error", err)
	}
}

func TestWriteExt4(t *testing.T) {
	output := filepath.Join(t.TempDir(), "image.ext4")
	writeImage(t, output)
	tool := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/sbin:/usr/sbin")
		if path, err := exec.LookPath("/sbin/" + args[0]); err == nil {
			cmd.Path, cmd.Err = path, nil
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	tool("e2fsck", "-fn", output)
	for path, want := range map[string][]string{
		"/tmp":         {"Mode:  01777", "User:     0", "mtime: 0x000f4240"},
		"/a b":         {"Mode:  04755", "Size: 70000", "crtime: 0x000f4240"},
		"/opt/tool":    {`Fast link dest: "../bin/tool"`},
		"/dev/console": {"character special", "05:01"},
		"/pipe":        {"Type: FIFO", "Mode:  0640"},
	} {
		got := tool("debugfs", "-R", `stat "`+path+`"`, output)
		for _, want := range want {
			if !strings.Contains(got, want) {
				t.Errorf("stat %s prints\n%s\nwant %q in it", path, got, want)
			}
		}
	}
	if got := tool("debugfs", "-R", "cat /etc/motd", output); !strings.HasSuffix(got, "hello\n") {
		t.Errorf("/etc/motd is %q", got)
	}
}

func TestWriterForErrors(t *testing.T) {
	for _, output := range []string{"image", "image.iso", "image.ext4.gz", "image.cpio.xz", ".gz"} {
		if _, err := writerFor(output); err == nil {
			t.Errorf("writerFor(%q) succeeded", output)
		}
	}
}

func TestSourceDate(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, "1700000000": 1700000000, "-1": -1, "today": -1, "99999999999": -1, "1 ": -1,
	} {
		t.Setenv("SOURCE_DATE_EPOCH", text)
		got, err := sourceDate()
		if (err != nil) != (want < 0) || err == nil && got.Unix() != want {
			t.Errorf("sourceDate() with %q = %v, %v, want %d", text, got, err, want)
		}
	}
}
