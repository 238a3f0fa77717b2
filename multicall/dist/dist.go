// Package dist makes releases of krunbox: an archive for each platform, with manual pages,
// completion for shells, a list of the linked modules and their licences; or it installs the same
// files on a machine.
//
// All output depends on the sources, the Go release, and the version and time in the options, and
// on nothing else.
package dist

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/krunbox/krunbox/internal/tool"
	"github.com/krunbox/krunbox/multicall"
)

// A Platform is what a binary is built for, in Go's terms.
type Platform struct{ GOOS, GOARCH string }

// String returns the platform as it is written in file names: linux-amd64.
func (p Platform) String() string { return p.GOOS + "-" + p.GOARCH }

// Platforms returns the platforms of a release.
func Platforms() []Platform {
	return []Platform{
		{"linux", "amd64"}, {"linux", "arm64"}, {"linux", "riscv64"},
		{"freebsd", "amd64"}, {"freebsd", "arm64"},
	}
}

// Options are the options of Release and Install.
type Options struct {
	// Dir is the root directory of the module. Empty: the working directory.
	Dir string
	// Version is printed by "krunbox --version". A commit and a date may follow a "+"; file names
	// and manual pages contain the part before it.
	Version string
	// Time is the modification time of all files, in whole seconds; see SourceDate.
	Time time.Time
	// Progress, unless nil, is called when a step begins.
	Progress func(step string)

	build func(context.Context, multicall.Options) error // multicall.Build, except in tests
}

// complete checks the options and fills in the defaults.
func (o *Options) complete() error {
	if o.Version == "" || strings.ContainsAny(o.Version, "/ ") {
		return fmt.Errorf("version %q: want one without blanks and slashes", o.Version)
	}
	if o.Time.IsZero() {
		return errors.New("no time set for the files")
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.build == nil {
		o.build = multicall.Build
	}
	return nil
}

// name returns the name of an archive's top directory.
func (o *Options) name(p Platform) string {
	return "krunbox-" + o.release() + "-" + p.String()
}

// release returns the version without commit and date.
func (o *Options) release() string {
	release, _, _ := strings.Cut(o.Version, "+")
	return release
}

// Release writes an archive NAME.tar.gz for each platform, and their checksums in SHA256SUMS, to
// the directory output, which it creates if necessary. It needs no network if the modules are in
// the module cache.
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
	sums := map[string]string{} // lines of SHA256SUMS by file name
	for _, p := range platforms {
		opts.Progress("building for " + p.String())
		content, err := opts.archive(ctx, p, filepath.Join(scratch, p.String()))
		if err != nil {
			return err
		}
		name := opts.name(p) + ".tar.gz"
		if err := replace(filepath.Join(output, name), content, 0o644); err != nil {
			return err
		}
		sums[name] = fmt.Sprintf("%x  %s\n", sha256.Sum256(content), name)
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		text.WriteString(sums[name])
	}
	return replace(filepath.Join(output, "SHA256SUMS"), []byte(text.String()), 0o644)
}

// archive builds the binary for a platform, as the file scratch, and returns the platform's tar.gz.
func (o *Options) archive(ctx context.Context, p Platform, scratch string) ([]byte, error) {
	err := o.build(ctx, multicall.Options{
		Dir: o.Dir, Output: scratch, GOOS: p.GOOS, GOARCH: p.GOARCH, Version: o.Version,
	})
	if err != nil {
		return nil, err
	}
	t, err := newTree(ctx, o, p, scratch, "")
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	gz, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(t.writeTar(gz, o.name(p), o.Time), gz.Close()); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Install installs a binary that was built for a platform, its links, manual pages and documents
// below the directory prefix. Prefix is an absolute path on the target machine; destdir is where
// that machine's root directory is now, "" for this machine.
//
// Files of an older krunbox are replaced. If another file has one of the names, such as another
// init, Install fails and changes nothing.
func Install(
	ctx context.Context, opts Options, p Platform, binary, destdir, prefix string,
) error {
	if err := install(ctx, opts, p, binary, destdir, prefix); err != nil {
		return fmt.Errorf("install %s: %w", binary, err)
	}
	return nil
}

func install(
	ctx context.Context, opts Options, p Platform, binary, destdir, prefix string,
) error {
	if err := opts.complete(); err != nil {
		return err
	}
	if !filepath.IsAbs(prefix) {
		return fmt.Errorf("prefix %q: want an absolute path", prefix)
	}
	t, err := newTree(ctx, &opts, p, binary, "share/doc/krunbox/")
	if err != nil {
		return err
	}
	dir := filepath.Join(destdir, prefix)
	opts.Progress("installing in " + dir)
	return t.install(dir)
}

// SourceDate returns the time for a release of the module in dir: SOURCE_DATE_EPOCH, in seconds
// since 1970 (see reproducible-builds.org), or else the time of the last commit.
func SourceDate(ctx context.Context, dir string) (time.Time, error) {
	const variable = "SOURCE_DATE_EPOCH"
	text := os.Getenv(variable)
	if text == "" {
		out, err := tool.Run(ctx, dir, nil, "git", "log", "-1", "--format=%ct")
		if err != nil {
			err = fmt.Errorf("%s is not set, and no commit has a date: %w", variable, err)
			return time.Time{}, err
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseUint(text, 10, 33) // a tar header has 33 bits for a time
	if err != nil {
		return time.Time{}, fmt.Errorf("%s=%s: want seconds since 1970", variable, text)
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}
