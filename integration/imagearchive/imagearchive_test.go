package imagearchive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// file returns the header of a file with contents, which are its name.
func file(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(name))}
}

func dir(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755} }

func link(kind byte, name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: kind, Linkname: target, Mode: 0o777}
}

// newLayer returns the bytes of a layer.
func newLayer(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, h.Name[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// newImage returns an image for linux/amd64.
func newImage(t *testing.T, layers ...[]byte) v1.Image {
	t.Helper()
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64",
		Config: v1.Config{Cmd: []string{"/bin/sh"}}})
	for _, b := range layers {
		if err != nil {
			break
		}
		var l v1.Layer
		l, err = tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil })
		if err == nil {
			image, err = mutate.AppendLayers(image, l)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// saved returns the file that "docker save" makes of images.
func saved(t *testing.T, images map[string]v1.Image) string {
	t.Helper()
	tags := map[name.Tag]v1.Image{}
	for s, image := range images {
		tag, err := name.NewTag(s)
		if err != nil {
			t.Fatal(err)
		}
		tags[tag] = image
	}
	path := filepath.Join(t.TempDir(), "saved.tar")
	if err := tarball.MultiWriteToFile(path, tags); err != nil {
		t.Fatal(err)
	}
	return path
}

// oneSaved is saved for an image.
func oneSaved(t *testing.T, image v1.Image) string {
	t.Helper()
	return saved(t, map[string]v1.Image{"one:latest": image})
}

// laidOut returns an OCI layout directory.
func laidOut(t *testing.T, index v1.ImageIndex, images ...v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir, index)
	for _, image := range images {
		if err == nil {
			err = path.AppendImage(image)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// tarred returns a tar file with the contents of a directory.
func tarred(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// compressed returns a compressed copy of a file.
func compressed(t *testing.T, path string, compress func(io.Writer) io.WriteCloser) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := compress(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return written(t, b.Bytes())
}

// written returns a file with contents.
func written(t *testing.T, contents []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, contents, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// unpack returns the root of the image in a file.
func unpack(t *testing.T, path string) (string, error) {
	t.Helper()
	t.Setenv("KRUNBOX_CACHE", t.TempDir())
	image, err := Open(path, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	return image.Root(t.Context())
}

// describe returns a line for each file below root: name, type and permissions and, if this process
// is root, the owner.
func describe(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %v", path[len(root)+1:], info.Mode())
		if os.Getuid() == 0 {
			fmt.Fprintf(&b, " %d:%d", st.Uid, st.Gid)
		}
		switch info.Mode().Type() {
		case 0:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %s %d", data, st.Nlink)
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			b.WriteString(" " + target)
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestRoot unpacks an image with every kind of change to a lower layer, from each format.
func TestRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root only: files have several owners")
	}
	owned := file("owned")
	owned.Uid, owned.Gid, owned.Mode = 1000, 2000, 0o4750
	marked := file("marked")
	marked.PAXRecords = map[string]string{"SCHILY.xattr.user.mark": "value"}
	device := tar.Header{Name: "device", Typeflag: tar.TypeChar, Mode: 0o600, Devmajor: 1, Devminor: 3}
	image := newImage(t,
		newLayer(t, dir("."), dir("a"), file("a/kept"), file("a/removed"), dir("b"), file("b/hidden"), dir("b/deep"),
			file("b/deep/hidden"), file("c"), dir("d"), file("d/below"), owned, marked, device, link(tar.TypeLink, "hard", "a/kept"),
			link(tar.TypeSymlink, "soft", "/a")),
		newLayer(t, file("a/.wh.removed"), file("b/new"), file("b/.wh..wh..opq"), dir("c"), file("c/now a directory"),
			file("d"), file(".wh.not there"), link(tar.TypeLink, "harder", "a/kept")),
	)
	const want = `a drwxr-xr-x 0:0
a/kept -rw-r--r-- 0:0 a/kept 3
b drwxr-xr-x 0:0
b/new -rw-r--r-- 0:0 b/new 1
c drwxr-xr-x 0:0
c/now a directory -rw-r--r-- 0:0 c/now a directory 1
d -rw-r--r-- 0:0 d 1
device Dcrw------- 0:0
hard -rw-r--r-- 0:0 a/kept 3
harder -rw-r--r-- 0:0 a/kept 3
marked -rw-r--r-- 0:0 marked 1
owned urwxr-x--- 1000:2000 owned 1
soft Lrwxrwxrwx 0:0 /a
`
	directory, docker := laidOut(t, empty.Index, image), oneSaved(t, image)
	nested := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image},
		mutate.IndexAddendum{Add: attestation(t)})
	for format, path := range map[string]string{
		"docker save":          docker,
		"OCI directory":        directory,
		"OCI archive":          tarred(t, directory),
		"nested index":         laidOut(t, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: nested})),
		"docker save, gzip":    compressed(t, docker, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
		"OCI archive, zstd":    compressed(t, tarred(t, directory), newZstd),
		"the same image twice": laidOut(t, empty.Index, image, image),
	} {
		t.Run(format, func(t *testing.T) {
			root, err := unpack(t, path)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(t, root); got != want {
				t.Errorf("files =\n%s\nwant\n%s", got, want)
			}
			value := make([]byte, 10)
			n, err := unix.Lgetxattr(filepath.Join(root, "marked"), "user.mark", value)
			if err != nil && !errors.Is(err, unix.ENOTSUP) || err == nil && string(value[:n]) != "value" {
				t.Errorf("attribute = %q, %v, want value", value[:max(n, 0)], err)
			}
		})
	}
}

func newZstd(w io.Writer) io.WriteCloser {
	encoder, err := zstd.NewWriter(w)
	if err != nil {
		panic(err)
	}
	return encoder
}

// attestation returns what BuildKit adds to an index: a manifest that is no image.
func attestation(t *testing.T) v1.Image {
	t.Helper()
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "unknown", Architecture: "unknown"})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestCached checks that an image is unpacked once.
func TestCached(t *testing.T) {
	t.Setenv("KRUNBOX_CACHE", t.TempDir())
	path := oneSaved(t, newImage(t, newLayer(t, file("a"))))
	var roots []string
	for range 2 {
		image, err := Open(path, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		root, err := image.Root(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, root)
		image.image = nil // what was unpacked is not read again
		if err := image.Close(); err != nil {
			t.Error(err)
		}
	}
	want := filepath.Join(os.Getenv("KRUNBOX_CACHE"), "image-sha256-")
	if roots[0] != roots[1] || !strings.HasPrefix(roots[0], want) {
		t.Errorf("Root() = %q, want twice %s...", roots, want)
	}
}

// TestEscape unpacks layers that try to write outside of the root.
func TestEscape(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20)
	for name, layer := range map[string][]byte{
		"..":               newLayer(t, file(up[:len(up)-1]+outside+"/new")),
		"absolute":         newLayer(t, file(outside+"/new")),
		"link":             newLayer(t, link(tar.TypeSymlink, "l", outside), file("l/new"), file("l/.wh.secret")),
		"relative link":    newLayer(t, link(tar.TypeSymlink, "l", up+outside[1:]), file("l/new"), file("l/.wh.secret")),
		"opaque link":      newLayer(t, link(tar.TypeSymlink, "l", outside), file("l/.wh..wh..opq")),
		"replaced link":    newLayer(t, link(tar.TypeSymlink, "l", secret), file("l")),
		"hard link":        newLayer(t, link(tar.TypeLink, "l", up+secret[1:]), file("l")),
		"hard link, link":  newLayer(t, link(tar.TypeSymlink, "d", outside), link(tar.TypeLink, "l", "d/secret")),
		"whiteout":         newLayer(t, file(up[:len(up)-1]+outside+"/.wh.secret")),
		"whiteout of ..":   newLayer(t, link(tar.TypeSymlink, "l", outside+"/below"), file("l/.wh...")),
		"mode of the link": newLayer(t, link(tar.TypeSymlink, "l", outside), dir("l")),
	} {
		t.Run(name, func(t *testing.T) {
			root, err := unpack(t, oneSaved(t, newImage(t, layer))) // may fail
			t.Logf("Root() = %s, %v", root, err)
			entries, err := os.ReadDir(outside)
			if err != nil || len(entries) != 1 {
				t.Errorf("files outside = %v, %v, want secret only", entries, err)
			}
			if data, err := os.ReadFile(secret); string(data) != "secret" {
				t.Errorf("file outside = %q, %v, want it unchanged", data, err)
			}
			info, err := os.Stat(secret)
			if err != nil || info.Sys().(*syscall.Stat_t).Nlink != 1 {
				t.Errorf("file outside = %v, %v, want it without another name", info, err)
			}
		})
	}
}

// TestErrors checks that each bad input gets one line that says what to do.
func TestErrors(t *testing.T) {
	layer := newLayer(t, file("a"))
	image := newImage(t, layer)
	other := newImage(t, newLayer(t, file("b")))
	arm, err := mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", Architecture: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(oneSaved(t, image))
	if err != nil {
		t.Fatal(err)
	}
	truncated, err := os.ReadFile(compressed(t, written(t, whole), func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }))
	if err != nil {
		t.Fatal(err)
	}
	truncated = truncated[:len(truncated)/2]
	for _, tt := range []struct {
		name, path string
		want       []string
	}{
		{"no file", "/nonexistent", []string{"/nonexistent: no such file or directory: ", "docker save -o FILE.tar IMAGE"}},
		{"no archive", written(t, []byte("text")), []string{": not a tar archive: ", "docker save -o FILE.tar IMAGE"}},
		{"long text", written(t, bytes.Repeat([]byte("text"), 1000)), []string{": not a tar archive: "}},
		{"empty", written(t, nil), []string{": not a tar archive: "}},
		{"truncated", written(t, whole[:len(whole)/2]), []string{"damaged or incomplete", "save it again"}},
		{"truncated, gzip", written(t, truncated), []string{"decompress", "EOF"}},
		{"files", written(t, layer), []string{"neither index.json nor manifest.json", "docker export", "--root"}},
		{"directory", t.TempDir(), []string{"neither index.json nor manifest.json"}},
		{"architecture", oneSaved(t, arm), []string{"is for linux/arm64, and the guest is linux/amd64", "--arch"}},
		{"architecture, OCI", laidOut(t, empty.Index, arm), []string{"is for linux/arm64"}},
		{"no layers", oneSaved(t, newImage(t)), []string{"no layers", "base image"}},
		{"no layers, OCI", laidOut(t, empty.Index, newImage(t)), []string{"no layers"}},
		{"no image", laidOut(t, empty.Index), []string{"no image", "docker save"}},
		{"two images", saved(t, map[string]v1.Image{"one:latest": image, "two:latest": other}),
			[]string{"2 images for linux/amd64", "one:latest", "two:latest", "save one of them"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image, err := Open(tt.path, "amd64")
			if err == nil {
				image.Close()
				t.Fatal("Open() = nil, want an error")
			}
			for _, want := range append(slices.Clip(tt.want), filepath.Base(tt.path)) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Open() = %v, want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("Open() = %v, want one line", err)
			}
		})
	}
}

// TestChoice opens an archive with images for several architectures.
func TestChoice(t *testing.T) {
	image := newImage(t, newLayer(t, file("a")))
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Architecture = "arm64"
	arm, err := mutate.ConfigFile(image, config)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		laidOut(t, empty.Index, image, arm),
		saved(t, map[string]v1.Image{"one:latest": image, "two:latest": arm}),
	} {
		for arch, want := range map[string]v1.Image{"amd64": image, "arm64": arm} {
			got, err := Open(path, arch)
			if err != nil {
				t.Fatal(err)
			}
			digest, err := partial.ConfigName(want)
			if err != nil || got.Digest != digest.Hex {
				t.Errorf("Open(%s) has the digest %s, want %s, %v", arch, got.Digest, digest.Hex, err)
			}
			got.Close()
		}
	}
}

// TestChecksum opens images with a layer that is not the one of the configuration, or is missing.
func TestChecksum(t *testing.T) {
	image := newImage(t, newLayer(t, file("a")))
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct {
		name, want string
		do         func(blob string) error
	}{
		{"other", "layer 1 of 1: wrong checksum", func(blob string) error {
			return os.WriteFile(blob, newLayer(t, file("b")), 0o644)
		}},
		{"missing", "layer 1 of 1: ", os.Remove},
		{"whiteout of ..", "layer 1 of 1: unpack: .wh...: not the name of a whiteout", func(blob string) error {
			return os.WriteFile(blob, newLayer(t, file(".wh...")), 0o644)
		}},
	} {
		dir := laidOut(t, empty.Index, image)
		if err := change.do(filepath.Join(dir, "blobs/sha256", digest.Hex)); err != nil {
			t.Fatal(err)
		}
		root, err := unpack(t, dir)
		if err == nil || !strings.Contains(err.Error(), change.want) {
			t.Errorf("%s: Root() = %s, %v, want %s", change.name, root, err, change.want)
		}
		if entries, err := filepath.Glob(os.Getenv("KRUNBOX_CACHE") + "/*"); err != nil || len(entries) != 1 {
			t.Errorf("%s: cache = %q, %v, want the lock only", change.name, entries, err)
		}
	}
}
