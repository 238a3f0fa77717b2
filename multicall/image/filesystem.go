package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	// Times and permissions of a directory come when everything is in it.
	for _, name := range slices.Backward(paths) {
		if err := t[name].finish(filepath.Join(root, name), opts.Time); err != nil {
			return err
		}
	}
	return nil
}

// make makes the file.
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
	if err := unix.Mknod(path, n.sysMode(), int(n.rdev)); err != nil && !notAllowed(err, n) {
		return &fs.PathError{Op: "mknod", Path: path, Err: err}
	}
	return nil
}

// finish gives it to root and sets permissions and times.
func (n *node) finish(path string, at time.Time) error {
	if err := os.Lchown(path, 0, 0); errors.Is(err, fs.ErrNotExist) && n.mode&fs.ModeDevice != 0 {
		return nil // no device could be made
	} else if err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if n.mode.Type() != fs.ModeSymlink {
		if err := unix.Chmod(path, n.sysMode()&0o7777); err != nil {
			return &fs.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	ts := unix.NsecToTimespec(at.UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "set the times of", Path: path, Err: err}
	}
	return nil
}

// notAllowed tells whether the file is a device, and the reason why there is none that only root makes them.
func notAllowed(err error, n *node) bool {
	return errors.Is(err, fs.ErrPermission) && n.mode&fs.ModeDevice != 0
}

// writeExt4 writes the image as an ext4 file system.
func writeExt4(ctx context.Context, t tree, opts *Options) error {
	// A directory for mke2fs would do, but for the owners, the devices, and the order in which it is read. So debugfs makes each
	// file.
	scratch, err := os.MkdirTemp(filepath.Dir(opts.Output), filepath.Base(opts.Output)+".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	digest := sha256.New()
	script, size, err := debugfsScript(t, scratch, digest, opts.Time)
	if err != nil {
		return err
	}
	// The identifiers, which else are random, depend on the contents.
	digest.Write(script)
	id := uuid(digest.Sum(nil))
	if opts.SizeMiB > 0 {
		size = int64(opts.SizeMiB) << 20
	}
	const disk = "disk"
	if err := e2fsprogs(ctx, scratch, opts.Time, "mke2fs", nil, "-q", "-F", "-t", "ext4", "-L", "krunbox", "-U", id, "-m", "0",
		"-E", "hash_seed="+id+",lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", disk, strconv.FormatInt(size>>10, 10)+"k"); err != nil {
		return err
	}
	if err := e2fsprogs(ctx, scratch, opts.Time, "debugfs", script, "-w", "-f", "-", disk); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(scratch, disk), 0o644); err != nil {
		return err
	}
	return os.Rename(filepath.Join(scratch, disk), opts.Output)
}

// debugfsScript returns the commands that make the files, whose contents it copies to scratch and digest, and how large the file
// system has to be.
func debugfsScript(t tree, scratch string, digest io.Writer, at time.Time) (script []byte, size int64, err error) {
	var b bytes.Buffer
	quote := func(s string) string {
		if strings.ContainsAny(s, "\"\n\r") {
			err = fmt.Errorf("%q: debugfs can't be told such a name", s)
		}
		return `"` + s + `"`
	}
	for i, name := range t.paths() {
		n := t[name]
		// Not all of its commands take a path.
		dir, base := filepath.Split(name)
		fmt.Fprintf(&b, "cd %s\n", quote("/"+dir))
		path := quote(base)
		switch n.mode.Type() {
		case fs.ModeDir:
			if name != "." {
				fmt.Fprintf(&b, "mkdir %s\n", path)
			}
			size += 4096
		case fs.ModeSymlink:
			fmt.Fprintf(&b, "symlink %s %s\n", path, quote(n.target))
		case fs.ModeNamedPipe:
			fmt.Fprintf(&b, "mknod %s p\n", path)
		case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
			kind := "b"
			if n.mode&fs.ModeCharDevice != 0 {
				kind = "c"
			}
			fmt.Fprintf(&b, "mknod %s %s %d %d\n", path, kind, unix.Major(n.rdev), unix.Minor(n.rdev))
		default:
			data, err := n.contents()
			if err != nil {
				return nil, 0, err
			}
			if err := os.WriteFile(filepath.Join(scratch, strconv.Itoa(i)), data, 0o600); err != nil {
				return nil, 0, err
			}
			fmt.Fprintf(digest, "%d\n%s", len(data), data)
			fmt.Fprintf(&b, "write %d %s\n", i, path)
			size += int64(len(data)+4095) &^ 4095
		}
		fmt.Fprintf(&b, "sif %s mode 0%o\n", path, n.sysMode())
		for _, field := range []string{"uid", "gid"} {
			fmt.Fprintf(&b, "sif %s %s 0\n", path, field)
		}
		for _, field := range []string{"atime", "ctime", "mtime", "crtime"} {
			fmt.Fprintf(&b, "sif %s %s @%d\n", path, field, at.Unix())
		}
	}
	const spare = 16 << 20
	return b.Bytes(), (size + size/2 + spare) &^ (1<<20 - 1), err
}

// uuid makes a UUID of the random kind of a digest.
func uuid(digest []byte) string {
	u := slices.Clone(digest[:16])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// e2fsprogs runs a program that works on ext4, in dir. What it prints is an error: debugfs ends well whatever happens.
func e2fsprogs(ctx context.Context, dir string, at time.Time, program string, stdin []byte, args ...string) error {
	path, err := exec.LookPath(program)
	if err != nil {
		if path, err = exec.LookPath("/sbin/" + program); err != nil { // not in the PATH of a user
			return fmt.Errorf("%s is missing: install it (Debian: apt-get install e2fsprogs)", program)
		}
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", at.Unix()), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", at.Unix()))
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Run()
	text := strings.TrimSpace(stderr.String())
	if banner, rest, _ := strings.Cut(text, "\n"); strings.HasPrefix(banner, program+" ") {
		text = rest
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w: %s", program, err, text)
	case text != "":
		return fmt.Errorf("%s: %s", program, text)
	}
	return nil
}
