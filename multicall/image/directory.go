package image

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// writeDir writes the image as a directory.
func writeDir(_ context.Context, t tree, opts *Options) error {
	root := filepath.Clean(opts.Output)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if there, err := os.ReadDir(root); err != nil || len(there) > 0 {
		return errors.Join(err, errors.New("the directory is not empty"))
	}
	paths := t.paths()
	for _, name := range paths {
		if err := t[name].make(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	// A directory gets its time and permissions after the files in it were made.
	for _, name := range slices.Backward(paths) {
		if err := t[name].finish(filepath.Join(root, name), opts.Time); err != nil {
			return err
		}
	}
	return nil
}

// make makes the file. It skips a device that this user may not make.
func (n *node) make(path string) error {
	switch n.mode.Type() {
	case fs.ModeDir:
		return os.MkdirAll(path, 0o755)
	case fs.ModeSymlink:
		return os.Symlink(n.target, path)
	case 0:
		data, err := n.contents()
		if err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o600)
	}
	err := unix.Mknod(path, n.sysMode(), int(n.rdev))
	if err != nil && !(errors.Is(err, fs.ErrPermission) && n.isDevice()) {
		return &fs.PathError{Op: "mknod", Path: path, Err: err}
	}
	return nil
}

// finish sets owner, permissions and time of the file. The owner does not change if this user is
// not root.
func (n *node) finish(path string, at time.Time) error {
	err := os.Lchown(path, 0, 0)
	if errors.Is(err, fs.ErrNotExist) && n.isDevice() {
		return nil // make skipped it
	}
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if n.mode.Type() != fs.ModeSymlink {
		if err := unix.Chmod(path, n.sysMode()&0o7777); err != nil {
			return &fs.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	ts := unix.NsecToTimespec(at.UnixNano())
	times := []unix.Timespec{ts, ts}
	err = unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return &fs.PathError{Op: "set times of", Path: path, Err: err}
	}
	return nil
}
