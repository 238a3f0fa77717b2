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
	"os"
	"os/exec"
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

// testOptions returns options with which each binary is a text that names its platform and version.
func testOptions() Options {
	write := func(_ context.Context, o multicall.Options) error {
		return os.WriteFile(o.Output, []byte("binary of "+o.GOOS+"-"+o.GOARCH+" "+o.Version), 0o777)
	}
	return Options{
		Dir: moduleRoot, Version: "v1.2.3+0123456789ab.2026-11-25", Time: sourceTime, build: write,
	}
}

// An archive is the contents of a tar.gz file.
type archive struct {
	top      string // the top directory
	headers  []*tar.Header
	contents map[string]string // by name below top
}

// unpack reads the archive with the top directory top from dir.
func unpack(t *testing.T, dir, top string) archive {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, top+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if !gz.ModTime.IsZero() || gz.Name != "" {
		t.Errorf("%s: gzip header has time %v and name %q, want none", top, gz.ModTime, gz.Name)
	}
	a := archive{top: top, contents: map[string]string{}}
	for r := tar.NewReader(gz); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return a
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		a.headers = append(a.headers, h)
		a.contents[strings.TrimPrefix(h.Name, top+"/")] = string(content)
	}
}

// TestRelease checks the archive of each platform.
func TestRelease(t *testing.T) {
	output, opts := t.TempDir(), testOptions()
	var steps []string
	opts.Progress = func(step string) { steps = append(steps, step) }
	if err := Release(t.Context(), opts, output, Platforms()...); err != nil {
		t.Fatal(err)
	}
	if len(steps) != len(Platforms()) {
		t.Errorf("Release() reported the steps %q, want one for each platform", steps)
	}
	for _, p := range Platforms() {
		t.Run(p.String(), func(t *testing.T) {
			a := unpack(t, output, "krunbox-v1.2.3-"+p.String())
			checkHeaders(t, a)
			checkApplets(t, a, p)
			checkModules(t, a, p)
			want := "binary of " + p.String() + " " + opts.Version
			if got := a.contents[initPath]; got != want {
				t.Errorf("%s has %q, want %q", initPath, got, want)
			}
			for name, want := range map[string]string{"README.md": "krunbox", "LICENSE": "Apache"} {
				if !strings.Contains(a.contents[name], want) {
					t.Errorf("%s is missing, or lacks %q", name, want)
				}
			}
		})
	}
}

// checkHeaders checks order, owners and times of all files, and the mode and the hard link of the
// binary.
func checkHeaders(t *testing.T, a archive) {
	t.Helper()
	var names []string
	for _, h := range a.headers {
		names = append(names, h.Name)
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s has owner %d:%d (%q:%q), want 0:0", h.Name, h.Uid, h.Gid, h.Uname, h.Gname)
		}
		if !h.ModTime.Equal(sourceTime) {
			t.Errorf("%s has time %v, want %v", h.Name, h.ModTime, sourceTime)
		}
		target := a.top + "/" + initPath
		switch h.Name {
		case target:
			if h.Mode != 0o755 {
				t.Errorf("%s has mode %o, want 755", h.Name, h.Mode)
			}
		case a.top + "/sbin/krunbox":
			isLink := h.Typeflag == tar.TypeLink && h.Linkname == target
			if !isLink || !slices.Contains(names, target) {
				t.Errorf("%+v is not a hard link to %s, or precedes it", h, target)
			}
		}
	}
	if !slices.IsSorted(names) || names[0] != a.top+"/" {
		t.Errorf("names are %q, want them sorted, and %s/ first", names, a.top)
	}
}

// checkApplets checks that each applet of the platform has a link and a manual page.
func checkApplets(t *testing.T, a archive, p Platform) {
	t.Helper()
	want := []string{"init"}
	if p.GOOS == "linux" {
		want = []string{"boot-chart", "dhcpclient", "init", "krun-timesync", "mount-root", "redirect-stdio"}
	}
	var links, pages []string
	for _, h := range a.headers {
		dir, base := path.Split(strings.TrimPrefix(h.Name, a.top+"/"))
		switch {
		case dir == commandDir && h.Typeflag == tar.TypeSymlink && h.Linkname == binaryName:
			links = append(links, base)
		case dir == manualDir+appletSection+"/" && h.Typeflag == tar.TypeReg:
			pages = append(pages, strings.TrimSuffix(strings.TrimPrefix(base, "krunbox-"), ".8"))
		}
	}
	if !slices.Equal(links, want) || !slices.Equal(pages, want) {
		t.Errorf("links are %q, pages are %q, want %q", links, pages, want)
	}
}

// checkModules checks that MODULES lists the modules that the go command links, with their hashes,
// and that there is a licence of each, and of Go.
func checkModules(t *testing.T, a archive, p Platform) {
	t.Helper()
	const format = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}"
	cmd := exec.Command("go", "list", "-deps", "-f", format, "./cmds/...", ownMain)
	cmd.Dir = moduleRoot
	cmd.Env = append(os.Environ(), "GOOS="+p.GOOS, "GOARCH="+p.GOARCH, "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(want)
	want = slices.Compact(want)
	goSum, err := os.ReadFile(filepath.Join(moduleRoot, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	licensed := []string{"go1.*"}
	for line := range strings.Lines(a.contents["MODULES"]) {
		module, hash, ok := strings.Cut(line, " h1:")
		if !ok || !strings.Contains("\n"+string(goSum), "\n"+line) {
			t.Errorf("MODULES has %q, want a line of go.sum (hash %q)", line, hash)
		}
		got = append(got, module)
		licensed = append(licensed, strings.ReplaceAll(module, " ", "@"))
	}
	if !slices.Equal(got, want) {
		t.Errorf("MODULES lists %q, want %q", got, want)
	}
	for _, name := range licensed {
		if !hasLicence(a, "licenses/"+name+"/*") {
			t.Errorf("no licence of %s", name)
		}
	}
}

// hasLicence reports whether a file that pattern matches has the text of a well-known licence.
func hasLicence(a archive, pattern string) bool {
	for name, text := range a.contents {
		if ok, _ := path.Match(pattern, name); ok {
			text = strings.Join(strings.Fields(text), " ")
			for _, phrase := range []string{
				"Redistribution and use in source and binary forms", // BSD
				"Permission is hereby granted, free of charge",      // MIT
				"Apache License Version 2.0",
			} {
				if strings.Contains(text, phrase) {
					return true
				}
			}
		}
	}
	return false
}

// TestReleaseIsReproducible checks that a second release in another directory has the same bytes,
// and that SHA256SUMS has the checksums of all files.
func TestReleaseIsReproducible(t *testing.T) {
	first, second := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b", "c")
	platforms := []Platform{{"linux", "riscv64"}, {"freebsd", "arm64"}}
	for _, output := range []string{first, second} {
		if err := Release(t.Context(), testOptions(), output, platforms...); err != nil {
			t.Fatal(err)
		}
	}
	var sums string
	for _, name := range []string{
		"krunbox-v1.2.3-freebsd-arm64.tar.gz", "krunbox-v1.2.3-linux-riscv64.tar.gz",
	} {
		a, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(second, name)); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs in a second release (%v)", name, err)
		}
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(a), name)
	}
	if got, err := os.ReadFile(filepath.Join(first, "SHA256SUMS")); string(got) != sums {
		t.Errorf("SHA256SUMS has %q (%v), want %q", got, err, sums)
	}
	if entries, err := os.ReadDir(first); err != nil || len(entries) != 3 {
		t.Errorf("Release() left %v (%v), want two archives and SHA256SUMS", entries, err)
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
			o.build = func(context.Context, multicall.Options) error {
				return errors.New("does not compile")
			}
		}, "does not compile"},
	} {
		opts, output := testOptions(), t.TempDir()
		tt.change(&opts)
		err := Release(t.Context(), opts, output, Platforms()[0])
		if err == nil || !strings.Contains(err.Error(), tt.want) ||
			!strings.Contains(err.Error(), output) {
			t.Errorf("%s: Release() = %v, want %q and %s in it", tt.name, err, tt.want, output)
		}
		if entries, _ := os.ReadDir(output); len(entries) > 0 {
			t.Errorf("%s: a failed Release left %v", tt.name, entries)
		}
	}
}

// TestDocuments checks that documents returns everything that must be in each copy, and that its
// error names what is missing.
func TestDocuments(t *testing.T) {
	dir := t.TempDir()
	put := func(name string) {
		t.Helper()
		name = filepath.Join(dir, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, nil, 0o666))
		if err != nil {
			t.Fatal(err)
		}
	}
	module := func(name, version, sum string) goPackage {
		m := goModule{Path: "example.org/" + name, Version: version, Sum: sum}
		m.Dir = filepath.Join(dir, name)
		return goPackage{Module: &m}
	}
	s := source{
		dir: dir, goroot: filepath.Join(dir, "go"), release: "go1.2.3", packages: []goPackage{
			module("b", "v2.0.0", ""), module("a", "v1.0.0", "h1:aaa="), module("b", "v2.0.0", ""),
			{Module: &goModule{Path: "example.org/main", Main: true}}, {Name: "fmt"},
		},
	}
	_, err := s.documents()
	if err == nil || !strings.Contains(err.Error(), "example.org/b v2.0.0") {
		t.Errorf("documents() = %v, want an error that names the module without a hash", err)
	}
	s.packages[0], s.packages[2] = module("b", "v2.0.0", "h1:b="), module("b", "v2.0.0", "h1:b=")
	put("b/main.go")
	put("a/license.md")
	put("docs/page.md")
	for _, step := range []struct{ missing, file string }{
		{"README.md", "README.md"},
		{"LICENSE", "LICENSE"},
		{"licence of go1.2.3", "go/PATENTS"},
		{"licence of go1.2.3: no file LICENSE or COPYING in " + dir, "go/LICENSE"},
		{"licence of example.org/b@v2.0.0: no file LICENSE or COPYING in " + dir, "b/COPYING"},
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
	want := []string{"MODULES", "README.md", "LICENSE", "docs/page.md", "licenses/go1.2.3/LICENSE",
		"licenses/go1.2.3/PATENTS", "licenses/example.org/a@v1.0.0/license.md",
		"licenses/example.org/b@v2.0.0/COPYING"}
	if !slices.Equal(names, want) {
		t.Errorf("documents() = %q, want %q", names, want)
	}
	list := "example.org/a v1.0.0 h1:aaa=\nexample.org/b v2.0.0 h1:b=\n"
	if got := string(files[0].content); got != list {
		t.Errorf("MODULES has %q, want %q", got, list)
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
		got, err := SourceDate(t.Context(), moduleRoot)
		if err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH="+text) {
			t.Errorf("SourceDate() with %s = %v, %v, want an error", text, got, err)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	got, err := SourceDate(t.Context(), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("SourceDate(no repository) = %v, %v, want an error with the variable", got, err)
	}
}
