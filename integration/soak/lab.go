package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/guestroot"
)

// A Lab has what all boots share. Create it with NewLab.
type Lab struct {
	// Verbose makes guests print the kernel's messages and the stages of the boot.
	Verbose bool

	dir  string
	init string // path of krunbox
}

// helperPath is the path of the program of package guest in the guest.
const helperPath = "/bin/guest"

// NewLab prepares boots of the program init: it builds the guests' program and the images of root file
// systems, which takes a few seconds. Close removes them.
func NewLab(ctx context.Context, init string) (*Lab, error) {
	init, err := filepath.Abs(init)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(init); err != nil {
		return nil, fmt.Errorf("%w: run make build first", err)
	}
	dir, err := os.MkdirTemp("", "krunbox-soak-")
	if err != nil {
		return nil, err
	}
	l := &Lab{dir: dir, init: init}
	if err := l.prepare(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Close removes the files of the Lab.
func (l *Lab) Close() error { return os.RemoveAll(l.dir) }

func (l *Lab) prepare(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", l.path("guest"),
		"github.com/krunbox/krunbox/integration/soak/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the guests' program: %w\n%s", err, output)
	}
	root := l.path("root")
	if err := l.createRoot(ctx, root); err != nil {
		return err
	}
	for _, fsType := range []string{"ext4", "xfs", "btrfs", "erofs"} {
		if err := diskimage.Create(l.path("root."+fsType), diskimage.FileSystem{Type: fsType, Dir: root}); err != nil {
			return err
		}
		if fsType == "erofs" {
			continue
		}
		if err := diskimage.Create(l.path("empty."+fsType), diskimage.FileSystem{Type: fsType}); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) path(name string) string { return filepath.Join(l.dir, name) }

// createRoot creates a root with busybox and the guests' program.
func (l *Lab) createRoot(ctx context.Context, dir string) error {
	if err := guestroot.Create(ctx, arch, dir); err != nil {
		return err
	}
	helper, err := os.ReadFile(l.path("guest"))
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, helperPath), helper, 0o755),
		os.Mkdir(filepath.Join(dir, "data"), 0o755))
}

// image copies the image of a disk to dir and returns its path.
func (l *Lab) image(dir string, d disk) (string, error) {
	from := l.path("empty." + d.fsType)
	if d.use == "root" {
		from = l.path("root." + d.fsType)
	}
	to := filepath.Join(dir, d.use+".img")
	return to, copySparse(to, from)
}

// copySparse copies a file. Blocks of zeros become holes.
func copySparse(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	zeros := make([]byte, 64<<10)
	buf := make([]byte, len(zeros))
	for offset := int64(0); ; {
		n, err := io.ReadFull(in, buf)
		if n > 0 && string(buf[:n]) != string(zeros[:n]) {
			if _, err := out.WriteAt(buf[:n], offset); err != nil {
				return err
			}
		}
		offset += int64(n)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return errors.Join(out.Truncate(offset), out.Close())
		case err != nil:
			return err
		}
	}
}
