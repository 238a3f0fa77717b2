package guestkernel

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// npmPackage is one version of a package, with the checksum of its archive.
type npmPackage struct {
	name, version string
	sha256        string // of the .tgz file, in hexadecimal
}

// entry returns the name of the cache entry for a file that is made from the package. what is the
// kind of the file. The name depends on the package's checksum.
func (p npmPackage) entry(what string) string {
	return what + "-" + p.sha256[:12]
}

// fetchMember downloads the package and extracts the file member of its archive to path. It fails
// if the checksum is wrong or the archive does not contain member.
func (p npmPackage) fetchMember(ctx context.Context, member, path string) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "npm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	archive, err := p.download(ctx, dir)
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
func (p npmPackage) download(ctx context.Context, dir string) (string, error) {
	spec := p.name + "@" + p.version
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", spec)
	cmd.Dir = dir
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
