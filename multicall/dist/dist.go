// Package dist makes releases of krunbox: an archive for each platform, with manual pages and the licences of what is linked
// in, bills of materials and checksums; or installs the same on a machine.
//
// All bytes depend on the sources, the Go release, the version and the time that the options say, and on nothing else.
package dist

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/krunbox/krunbox/multicall"
)

// A Platform is what a binary is built for, in Go's names.
type Platform struct{ GOOS, GOARCH string }

// String is how a platform shows in names of files.
func (p Platform) String() string { return p.GOOS + "-" + p.GOARCH }

// Platforms returns those of a release.
func Platforms() []Platform {
	return []Platform{{"linux", "amd64"}, {"linux", "arm64"}, {"linux", "riscv64"}, {"freebsd", "amd64"}, {"freebsd", "arm64"}}
}

// Options says what to release or install.
type Options struct {
	// Dir is the root directory of the module. Empty: the working directory.
	Dir string
	// Version is what "krunbox --version" prints. What is behind its "+", as commit and date, is not in names of files.
	Version string
	// Time is the time of all files, with seconds; see SourceDate.
	Time time.Time
	// Progress, unless nil, is told what begins.
	Progress func(step string)

	build func(context.Context, multicall.Options) error // multicall.Build, but in tests
}

func (o *Options) complete() error {
	if o.Version == "" || strings.ContainsAny(o.Version, "/ ") {
		return fmt.Errorf("version %q: want one without blanks and slashes", o.Version)
	}
	if o.Time.IsZero() {
		return errors.New("no time is named")
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.build == nil {
		o.build = multicall.Build
	}
	return nil
}

// name is that of an archive's top directory.
func (o *Options) name(p Platform) string {
	version, _, _ := strings.Cut(o.Version, "+")
	return "krunbox-" + version + "-" + p.String()
}

// Release writes into the directory output, which it makes, for each platform an archive NAME.tar.gz and its bill of materials
// NAME.cdx.json (CycloneDX 1.5), and the file SHA256SUMS on all of them. It uses no network if the modules are in the module
// cache.
func Release(ctx context.Context, opts Options, output string, platforms ...Platform) error {
	if err := release(ctx, opts, output, platforms); err != nil {
		return fmt.Errorf("release to %s: %w", output, err)
	}
	return nil
}

func release(ctx context.Context, opts Options, output string, platforms []Platform) error {
	if err := opts.complete(); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "krunbox-dist-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := os.MkdirAll(output, 0o777); err != nil {
		return err
	}
	var sums []string
	write := func(name string, content []byte) error {
		sums = append(sums, fmt.Sprintf("%x  %s\n", sha256.Sum256(content), name))
		return replace(filepath.Join(output, name), content, 0o644)
	}
	for _, p := range platforms {
		opts.Progress("building for " + p.String())
		file := filepath.Join(scratch, p.String())
		box := multicall.Options{Dir: opts.Dir, Output: file, GOOS: p.GOOS, GOARCH: p.GOARCH, Version: opts.Version}
		if err := opts.build(ctx, box); err != nil {
			return err
		}
		binary, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		s, err := load(ctx, opts.Dir, p)
		if err != nil {
			return err
		}
		archive, err := s.archive(&opts, p, binary)
		if err != nil {
			return err
		}
		bill, err := s.bill(&opts, binary)
		if err != nil {
			return err
		}
		name := opts.name(p)
		if err := errors.Join(write(name+".tar.gz", archive), write(name+".cdx.json", bill)); err != nil {
			return err
		}
	}
	slices.SortFunc(sums, func(a, b string) int { return strings.Compare(a[2*sha256.Size:], b[2*sha256.Size:]) })
	return replace(filepath.Join(output, "SHA256SUMS"), []byte(strings.Join(sums, "")), 0o644)
}

// archive is a platform's tar.gz.
func (s *source) archive(opts *Options, p Platform, binary []byte) ([]byte, error) {
	t, err := s.tree(opts, binary, "")
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	gz, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(t.writeTar(gz, opts.name(p), opts.Time), gz.Close()); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Install installs a binary that was built for a platform, its links, manual pages and documents, below the directory prefix,
// which is an absolute path on the machine that is to be; destdir is where that machine's root is now, "" for this one. What is
// there already is replaced if it can be an older krunbox; something else of the same name, such as another init, is an error,
// and nothing is changed.
func Install(ctx context.Context, opts Options, p Platform, binary, destdir, prefix string) error {
	if err := install(ctx, opts, p, binary, destdir, prefix); err != nil {
		return fmt.Errorf("install %s: %w", binary, err)
	}
	return nil
}

func install(ctx context.Context, opts Options, p Platform, binary, destdir, prefix string) error {
	if err := opts.complete(); err != nil {
		return err
	}
	if !filepath.IsAbs(prefix) {
		return fmt.Errorf("prefix %q: want an absolute path", prefix)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	s, err := load(ctx, opts.Dir, p)
	if err != nil {
		return err
	}
	t, err := s.tree(&opts, content, "share/doc/krunbox/")
	if err != nil {
		return err
	}
	dir := filepath.Join(destdir, prefix)
	opts.Progress("installing in " + dir)
	return t.install(dir)
}

// SourceDate is the time that a release of the module in dir has: that of SOURCE_DATE_EPOCH, in seconds since 1970, else of its
// last commit.
func SourceDate(ctx context.Context, dir string) (time.Time, error) {
	const variable = "SOURCE_DATE_EPOCH"
	text := os.Getenv(variable)
	if text == "" {
		out, err := run(ctx, dir, nil, "git", "log", "-1", "--format=%ct")
		if err != nil {
			return time.Time{}, fmt.Errorf("the date of this commit, instead of which there can be %s: %w", variable, err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseUint(text, 10, 33) // tar has room for no more
	if err != nil {
		return time.Time{}, fmt.Errorf("%s=%s: want seconds since 1970", variable, text)
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}
