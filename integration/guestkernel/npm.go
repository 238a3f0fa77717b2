package guestkernel

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/krunbox/krunbox/internal/progress"
)

// npmPackage is one version of a package, with the checksum of its archive.
type npmPackage struct {
	name, version string
	sha256        string // of the .tgz file, in hexadecimal
	size          int64  // of the .tgz file, in bytes
}

// entry returns the name of the cache entry for a file that is made from the package. what is the
// kind of the file. The name depends on the package's checksum.
func (p npmPackage) entry(what string) string {
	return what + "-" + p.sha256[:12]
}

// fetchMember downloads the package and extracts the file member of its archive to path. It fails
// if the checksum is wrong or the archive does not contain member. what is the file for people.
func (p npmPackage) fetchMember(ctx context.Context, what, member, path string) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "npm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	archive, err := p.download(ctx, what, dir)
	if err != nil {
		return err
	}
	if err := checkSHA256(archive, p.sha256); err != nil {
		return fmt.Errorf("package %s@%s: %w", p.name, p.version, err)
	}
	if err := extract(archive, member, path); err != nil {
		return fmt.Errorf("package %s@%s: %w", p.name, p.version, err)
	}
	return nil
}

// download downloads the package's archive into the empty directory dir and returns its path.
func (p npmPackage) download(ctx context.Context, what, dir string) (string, error) {
	spec := p.name + "@" + p.version
	// npm prints no progress without a terminal. It writes what it receives to its cache, which is
	// an own one here: so the package is not kept twice, and the files there are this download's.
	received := filepath.Join(dir, "npm-cache")
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", "--cache", received, spec)
	cmd.Dir = dir
	defer p.watch(ctx, what, received)()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		switch {
		case ctx.Err() != nil:
			return "", fmt.Errorf("download %s: %w", spec, context.Cause(ctx))
		case errors.Is(err, exec.ErrNotFound):
			return "", fmt.Errorf("download %s: the npm command is missing: "+
				"install it (Debian: apt-get install npm)", spec)
		}
		return "", fmt.Errorf("download %s: npm pack: %w: %s",
			spec, err, bytes.TrimSpace(output.Bytes()))
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("download %s: npm pack left %d archives, want 1", spec, len(archives))
	}
	return archives[0], nil
}

// watchInterval is the time between looks at the size of a download.
const watchInterval = 200 * time.Millisecond

// watch reports how much of the package is in the directory received, until stop is called.
func (p npmPackage) watch(ctx context.Context, what, received string) (stop func()) {
	step := progress.Start(ctx, fmt.Sprintf("downloading %s (%d MB, once)", what, p.size/1e6))
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			step.Set(diskUsage(received), p.size)
			select {
			case <-time.After(watchInterval):
			case <-ctx.Done():
			}
		}
	}()
	return func() {
		cancel()
		<-done
		step.End()
	}
}

// diskUsage returns the bytes of all files below dir, of those that do not vanish meanwhile.
func diskUsage(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}

// extract copies the file member of a .tgz archive to path.
func extract(archive, member, path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("extract %s: %w", member, err)
		}
	}()
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	tr := tar.NewReader(gz)
	for {
		switch header, err := tr.Next(); {
		case err == io.EOF:
			return errors.New("not in the archive")
		case err != nil:
			return err
		case header.Name == member && header.Typeflag == tar.TypeReg:
			return writeFile(path, tr)
		}
	}
}

// writeFile creates the file path with the data from r.
func writeFile(path string, r io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
