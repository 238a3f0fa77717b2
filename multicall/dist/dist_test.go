package dist

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/multicall"
)

const moduleRoot = "../.."

var sourceTime = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// testOptions are options with which every binary is the text "binary of" and its platform.
func testOptions() Options {
	write := func(_ context.Context, o multicall.Options) error {
		return os.WriteFile(o.Output, []byte("binary of "+o.GOOS+"-"+o.GOARCH+" "+o.Version), 0o777)
	}
	return Options{Dir: moduleRoot, Version: "v1.2.3+0123456789ab.2026-11-25", Time: sourceTime, build: write}
}

// unpack returns the headers and contents of an archive.
func unpack(t *testing.T, name string) (headers []*tar.Header, contents map[string]string) {
	t.Helper()
	packed, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	gz, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if !gz.ModTime.IsZero() || gz.Name != "" {
		t.Errorf("%s: gzip has time %v and name %q, want none", name, gz.ModTime, gz.Name)
	}
	contents = map[string]string{}
	for r := tar.NewReader(gz); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return headers, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, h)
		contents[h.Name] = string(content)
	}
}

// A release has an archive and a bill for each platform, sums that are right, and the same bytes another time, wherever and
// with whatever umask it is made.
func TestRelease(t *testing.T) {
	first, second := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b", "c")
	var steps []string
	opts := testOptions()
	opts.Progress = func(step string) { steps = append(steps, step) }
	if err := Release(t.Context(), opts, first, Platforms()...); err != nil {
		t.Fatal(err)
	}
	if err := Release(t.Context(), testOptions(), second, Platforms()...); err != nil {
		t.Fatal(err)
	}
	if len(steps) != len(Platforms()) {
		t.Errorf("progress is %q, want a step for each platform", steps)
	}

	var want []string
	for _, p := range Platforms() {
		name := "krunbox-v1.2.3-" + p.String()
		want = append(want, name+".cdx.json", name+".tar.gz")
	}
	slices.Sort(want)
	var sums string
	for _, name := range want {
		a, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(second, name)); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is another one in a second release (%v)", name, err)
		}
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(a), name)
	}
	if got, err := os.ReadFile(filepath.Join(first, "SHA256SUMS")); string(got) != sums {
		t.Errorf("SHA256SUMS is %q (%v), want %q", got, err, sums)
	}
	entries, err := os.ReadDir(first)
	if err != nil || len(entries) != len(want)+1 {
		t.Errorf("release left %v (%v), want %q and SHA256SUMS", entries, err, want)
	}

	for _, p := range Platforms() {
		top := "krunbox-v1.2.3-" + p.String()
		headers, contents := unpack(t, filepath.Join(first, top+".tar.gz"))
		applets := []string{"init"}
		if p.GOOS == "linux" {
			applets = []string{"dhcpclient", "init", "krun-timesync", "mount-root", "redirect-stdio"}
		}
		var links, pages, names []string
		for _, h := range headers {
			names = append(names, h.Name)
			if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || !h.ModTime.Equal(sourceTime) {
				t.Errorf("%s: %s belongs to %d:%d (%q, %q) and is of %v", top, h.Name, h.Uid, h.Gid, h.Uname, h.Gname, h.ModTime)
			}
			switch {
			case h.Typeflag == tar.TypeSymlink && h.Linkname == "krunbox" && path.Dir(h.Name) == top+"/sbin":
				links = append(links, path.Base(h.Name))
			case h.Typeflag == tar.TypeReg && path.Dir(h.Name) == top+"/share/man/man8":
				pages = append(pages, strings.TrimSuffix(strings.TrimPrefix(path.Base(h.Name), "krunbox-"), ".8"))
			case h.Name == top+"/sbin/krunbox":
				if h.Typeflag != tar.TypeLink || h.Linkname != top+"/lib/krunbox/init.krun" || !slices.Contains(names, h.Linkname) {
					t.Errorf("%s: %+v is no link to a file before it", top, h)
				}
			case h.Name == top+"/lib/krunbox/init.krun" && h.Mode != 0o755:
				t.Errorf("%s: %s has mode %o", top, h.Name, h.Mode)
			}
		}
		if !slices.IsSorted(names) || names[0] != top+"/" {
			t.Errorf("%s: names are %q, want them sorted, and directories before what is in them", top, names)
		}
		if !slices.Equal(links, applets) || !slices.Equal(pages, applets) {
			t.Errorf("%s: links are %q, pages %q, want %q", top, links, pages, applets)
		}
		if got, want := contents[top+"/lib/krunbox/init.krun"], "binary of "+p.String()+" "+opts.Version; got != want {
			t.Errorf("%s: binary is %q, want %q", top, got, want)
		}
		for name, word := range map[string]string{
			"README.md": "krunbox", "LICENSE": "Apache",
			"licenses/golang.org/x/sys@*/LICENSE": "Redistribution", "licenses/go1.*/LICENSE": "Redistribution",
		} {
			found := false
			for _, n := range names {
				match, _ := path.Match(top+"/"+name, n)
				found = found || match && strings.Contains(contents[n], word)
			}
			if !found {
				t.Errorf("%s: no %s with %q in it", top, name, word)
			}
		}
	}
}

func TestReleaseErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"no version", func(o *Options) { o.Version = "" }, `version ""`},
		{"version", func(o *Options) { o.Version = "../v1" }, `version "../v1"`},
		{"no time", func(o *Options) { o.Time = time.Time{} }, "no time"},
		{"no module", func(o *Options) { o.Dir = "/nonexistent" }, "/nonexistent"},
		{"build", func(o *Options) {
			o.build = func(context.Context, multicall.Options) error { return errors.New("does not compile") }
		}, "does not compile"},
	} {
		opts, output := testOptions(), t.TempDir()
		tt.change(&opts)
		err := Release(t.Context(), opts, output, Platforms()[0])
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), output) {
			t.Errorf("%s: Release() = %v, want an error with %q and %s", tt.name, err, tt.want, output)
		}
		if entries, _ := os.ReadDir(output); len(entries) > 0 {
			t.Errorf("%s: a failed Release left %v", tt.name, entries)
		}
	}
}

// What goes with every copy is there, or an error names what is missing.
func TestDocuments(t *testing.T) {
	dir := t.TempDir()
	put := func(name string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, nil, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	s := source{dir: dir, goroot: filepath.Join(dir, "go"), release: "go1.2.3", packages: []goPackage{
		{Module: &goModule{Path: "example.org/b", Version: "v2.0.0", Dir: filepath.Join(dir, "b")}},
		{Module: &goModule{Path: "example.org/a", Version: "v1.0.0", Dir: filepath.Join(dir, "a")}},
		{Module: &goModule{Path: "example.org/b", Version: "v2.0.0", Dir: filepath.Join(dir, "b")}},
		{Module: &goModule{Path: "example.org/main", Main: true}},
		{Standard: true},
	}}
	put("b/main.go")
	put("a/license.md")
	for _, step := range []struct{ missing, file string }{
		{"README.md", "README.md"},
		{"LICENSE", "LICENSE"},
		{"licence of go1.2.3", "go/PATENTS"},
		{"licence of go1.2.3: no file LICENSE or COPYING in " + dir + "/go", "go/LICENSE"},
		{"licence of example.org/b@v2.0.0: no file LICENSE or COPYING in " + dir + "/b", "b/COPYING"},
	} {
		if _, err := s.documents(); err == nil || !strings.Contains(err.Error(), step.missing) {
			t.Errorf("documents() = %v, want an error with %q", err, step.missing)
		}
		put(step.file)
	}
	files, err := s.documents()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.name)
	}
	want := []string{"README.md", "LICENSE", "licenses/go1.2.3/LICENSE", "licenses/go1.2.3/PATENTS",
		"licenses/example.org/a@v1.0.0/license.md", "licenses/example.org/b@v2.0.0/COPYING"}
	if !slices.Equal(names, want) {
		t.Errorf("documents() = %q, want %q", names, want)
	}
}

func TestInstall(t *testing.T) {
	destdir := t.TempDir()
	binary := filepath.Join(destdir, "built")
	prefix := filepath.Join(destdir, "usr", "local")
	install := func(prefix string) error {
		return Install(t.Context(), testOptions(), Platform{"linux", "amd64"}, binary, destdir, prefix)
	}
	if err := install("/usr/local"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), binary) {
		t.Errorf("Install() without a binary = %v, want an error that names it", err)
	}
	for _, content := range []string{"old", "new"} {
		if err := os.WriteFile(binary, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := install("/usr/local"); err != nil {
			t.Fatal(err)
		}
		for name, mode := range map[string]fs.FileMode{
			"sbin/krunbox": 0o755, "lib/krunbox/init.krun": 0o755, "sbin/init": 0o755, "sbin/redirect-stdio": 0o755,
		} {
			got, err := os.ReadFile(filepath.Join(prefix, name))
			if err != nil || string(got) != content {
				t.Errorf("%s has %q (%v), want %q", name, got, err, content)
			}
			if info, err := os.Stat(filepath.Join(prefix, name)); err != nil || info.Mode() != mode {
				t.Errorf("%s: %v, %v, want mode %v", name, info.Mode(), err, mode)
			}
		}
	}
	for _, name := range []string{"share/man/man8/krunbox-init.8", "share/doc/krunbox/LICENSE", "share/doc/krunbox/README.md"} {
		if info, err := os.Lstat(filepath.Join(prefix, name)); err != nil || info.Mode() != 0o644 || info.Size() == 0 {
			t.Errorf("%s: %v, %v, want a file that all can read", name, info, err)
		}
	}
	if err := install("usr"); err == nil || !strings.Contains(err.Error(), `"usr"`) {
		t.Errorf("Install() with prefix usr = %v, want an error", err)
	}
}

// Somebody else's init stays, and nothing is installed beside it.
func TestInstallReplacesNothingElse(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "built")
	if err := os.WriteFile(binary, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(target string) error{
		"sbin/init":             func(target string) error { return os.Symlink("../lib/systemd/systemd", target) },
		"sbin/mount-root":       func(target string) error { return os.WriteFile(target, []byte("other"), 0o777) },
		"lib/krunbox/init.krun": func(target string) error { return os.Symlink("elsewhere", target) },
		"sbin/krunbox":          func(target string) error { return os.Mkdir(target, 0o777) },
	} {
		destdir := t.TempDir()
		target := filepath.Join(destdir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o777), put(target)); err != nil {
			t.Fatal(err)
		}
		err := Install(t.Context(), testOptions(), Platform{"linux", "amd64"}, binary, destdir, "/")
		if err == nil || !strings.Contains(err.Error(), target) {
			t.Errorf("Install() over another %s = %v, want an error that names it", name, err)
		}
		var found []string
		err = filepath.WalkDir(destdir, func(path string, d fs.DirEntry, err error) error {
			if !d.IsDir() || path == target {
				found = append(found, path)
			}
			return err
		})
		if err != nil || !slices.Equal(found, []string{target}) {
			t.Errorf("after an Install() that was refused there are %q (%v), want %s alone", found, err, target)
		}
	}
}

func TestSourceDate(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1764072000": 1764072000} {
		t.Setenv("SOURCE_DATE_EPOCH", text)
		if got, err := SourceDate(t.Context(), "/nonexistent"); err != nil || got.Unix() != want {
			t.Errorf("SourceDate() with %s = %v, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"-1", "today", "99999999999"} {
		t.Setenv("SOURCE_DATE_EPOCH", text)
		if got, err := SourceDate(t.Context(), moduleRoot); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH="+text) {
			t.Errorf("SourceDate() with %s = %v, %v, want an error", text, got, err)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	if got, err := SourceDate(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("SourceDate() without a repository = %v, %v, want an error with what else would do", got, err)
	}
}
