// Package debian downloads and unpacks Debian packages for any architecture, as any user.
//
// It uses the package sources and keys of this host, which runs Debian or one of its derivatives.
// Apt verifies the signatures.
package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/krunbox/krunbox/internal/tool"
)

// Packages are the packages for one architecture.
type Packages struct {
	arch, dir string
	options   []string // of apt-get
	updateErr error
}

// Open reads the package lists for arch, an architecture such as amd64 or arm64. It keeps them in
// dir, an existing directory, so that this host does not have to know the architecture.
func Open(ctx context.Context, arch, dir string) (*Packages, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	p := &Packages{arch: arch, dir: dir, options: []string{
		"-qq",
		"-o", "APT::Architecture=" + arch,
		"-o", "APT::Architectures=" + arch,
		"-o", "APT::Sandbox::User=root", // apt's own user can't write to the directories
		"-o", "Dir::State=" + filepath.Join(dir, "state"),
		"-o", "Dir::State::status=/dev/null",
		"-o", "Dir::Cache=" + filepath.Join(dir, "cache"),
	}}
	// A source may lack the architecture. This matters only if a download fails.
	_, p.updateErr = p.apt(ctx, "update")
	return p, nil
}

func (p *Packages) apt(ctx context.Context, args ...string) ([]byte, error) {
	return tool.Run(ctx, p.dir, nil, "apt-get", append(args, p.options...)...)
}

// Download downloads the current version of the package called name and returns the path of its
// file.
func (p *Packages) Download(ctx context.Context, name string) (string, error) {
	if _, err := p.apt(ctx, "download", name+":"+p.arch); err != nil {
		return "", errors.Join(err, p.updateErr)
	}
	found, err := filepath.Glob(filepath.Join(p.dir, name+"_*.deb"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("apt-get download %s left %d files, want 1", name, len(found))
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// Fetch downloads the current versions of packages and of those that they depend on, but not of
// those that they recommend. It returns the paths of their files, in the order of their
// installation. Files that dir has from an earlier call are not downloaded again.
func (p *Packages) Fetch(ctx context.Context, names ...string) ([]string, error) {
	install := append([]string{"install", "--yes", "--no-install-recommends"}, names...)
	if _, err := p.apt(ctx, append(install, "--download-only")...); err != nil {
		return nil, errors.Join(err, p.updateErr)
	}
	// Apt lists what it would have to download, which is all if it looks elsewhere.
	list, err := p.apt(ctx, append(install, "--print-uris", "-o", "Dir::Cache::archives=none/")...)
	if err != nil {
		return nil, err
	}
	var files []string
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line) // URI, name, size, checksum
		if len(fields) < 3 {
			return nil, fmt.Errorf("apt-get install --print-uris: cannot parse line %q", line)
		}
		files = append(files, filepath.Join(p.dir, "cache/archives", fields[1]))
	}
	return files, nil
}

// Unpack extracts the contents of a package file to dir.
func Unpack(ctx context.Context, file, dir string) error {
	_, err := tool.Run(ctx, "", nil, "dpkg-deb", "-x", file, dir)
	return err
}

// Field returns a field of a package file, such as Depends; see deb-control(5).
func Field(ctx context.Context, file, name string) (string, error) {
	out, err := tool.Run(ctx, "", nil, "dpkg-deb", "-f", file, name)
	return string(out), err
}
