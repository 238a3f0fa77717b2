package mount

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Tmpfs mounts a tmpfs over a directory of an image. Without a mode among its options it gets the
// mode of the directory, as with container runtimes.
type Tmpfs struct {
	Mount
	// CopyUp copies the contents of the directory into the tmpfs, or only directories and symbolic
	// links.
	CopyUp Copy
	// With IfReadOnly, Do does nothing if the directory is writable.
	IfReadOnly bool
	// Keep lists paths below the mount point. Their files and directories stay visible although the
	// tmpfs covers them. Missing ones are ignored.
	Keep []string
}

// Copy says which contents of a directory are copied.
type Copy uint8

// Values of Tmpfs.CopyUp.
const (
	CopyNothing Copy = iota
	CopyDirectories
	CopyAll
)

func (c Copy) String() string {
	return [...]string{"nothing", "directories and links", "all"}[c]
}

func (t Tmpfs) Describe() op.Description {
	return t.describe("copyUp", op.If(t.CopyUp != CopyNothing, t.CopyUp),
		"keep", op.If(len(t.Keep) != 0, t.Keep), "if", op.If(t.IfReadOnly, "not writable"))
}

func (t Tmpfs) Do() error {
	if exists, err := t.exists(); exists || err != nil {
		return t.wrap(err)
	}
	covered, err := unix.Open(t.Target, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return t.wrap(t.mount())
	}
	if err == unix.ENOTDIR && t.IfReadOnly {
		return nil // the image has another file there
	}
	if err != nil {
		return t.wrap(err)
	}
	defer unix.Close(covered)
	var st unix.Stat_t
	if err := unix.Fstat(covered, &st); err != nil {
		return t.wrap(err)
	}
	// The mount may be writable on a file server that refuses to write. Removing an attribute that does
	// not exist changes nothing, and the server refuses that too.
	if t.IfReadOnly && unix.Removexattr(t.Target, "user.krunbox") != unix.EROFS {
		return nil
	}
	if !strings.Contains(","+t.Data, ",mode=") {
		t.Data = strings.TrimPrefix(fmt.Sprintf("%s,mode=%o", t.Data, st.Mode&0o7777), ",")
	}
	after := t.After
	if t.CopyUp != CopyNothing || len(t.Keep) != 0 { // these need a writable tmpfs
		after.Set |= t.Flags & unix.MS_RDONLY
		t.Flags &^= unix.MS_RDONLY
	}
	t.After = Attrs{}
	if err := t.mount(); err != nil {
		return t.wrap(err)
	}
	// This path leads to the directory although the tmpfs covers it.
	source := fmt.Sprintf("/proc/self/fd/%d", covered)
	if t.CopyUp != CopyNothing {
		c := copier{what: t.CopyUp, left: maxCopies}
		if err = c.dir(source, t.Target, maxCopyDepth); err != nil {
			err = t.wrap(fmt.Errorf("copy up: %w", err))
		}
	}
	for _, path := range t.Keep {
		b := Bind{Source: source + strings.TrimPrefix(path, t.Target), Target: path, Lenient: true}
		err = errors.Join(err, b.Do())
	}
	return errors.Join(err, t.wrap(after.apply(t.Target)))
}

// RunDir is the directory of an image for data that does not outlive a boot.
type RunDir struct {
	Path    string // /run, or its target if it is a symbolic link
	Missing bool
	Empty   bool // also if it is missing
}

// FindRun looks at /run of the image in the directory root.
func FindRun(root string) RunDir {
	r := RunDir{Path: "/run"}
	var st unix.Stat_t
	err := unix.Lstat(root+r.Path, &st)
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		r.Path = followLinks(root, r.Path, nil)
		err = unix.Lstat(root+r.Path, &st)
	}
	r.Missing = err == unix.ENOENT
	r.Empty = r.Missing
	if err != nil || st.Nlink > 2 { // it has subdirectories; listing it would cost requests
		return r
	}
	fd, err := unix.Open(root+r.Path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return r
	}
	defer unix.Close(fd)
	var entries [1024]byte
	for {
		n, err := unix.Getdents(fd, entries[:])
		if err != nil || n == 0 {
			r.Empty = err == nil
			return r
		}
		if _, count, _ := unix.ParseDirent(entries[:n], 1, nil); count > 0 { // besides . and ..
			return r
		}
	}
}

// Tmpfs returns the mount of a tmpfs on the directory. It has the directory's owner and mode, and
// copies of the directories and links in it.
func (r RunDir) Tmpfs() Tmpfs {
	t := Tmpfs{Mount: Mount{Type: "tmpfs", Source: "tmpfs", Target: r.Path,
		Flags: unix.MS_NOSUID | unix.MS_NODEV, Optional: r.Missing, Once: true, MemoryPercent: 20}}
	if r.Missing {
		t.Data = "mode=0755"
	}
	if !r.Empty {
		t.CopyUp = CopyDirectories
	}
	return t
}

// Bounds of what is copied up. The size of the tmpfs bounds the bytes.
const (
	maxCopies    = 1 << 16 // files and directories
	maxCopyDepth = 64      // nested directories
)

var (
	errTooMany = errors.New("too many files")
	errTooDeep = errors.New("too many nested directories")
)

// copier copies the contents of a directory with owners, permissions and times.
type copier struct {
	what Copy
	left int // number of files and directories that may still be copied
}

// dir copies the contents of the directory from into the directory to. depth bounds the levels of
// nested directories.
func (c *copier) dir(from, to string, depth int) error {
	if depth == 0 {
		return fmt.Errorf("%s: %w", to, errTooDeep)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if c.left--; c.left < 0 {
			return fmt.Errorf("%s: %w", to, errTooMany)
		}
		if err := c.entry(from+"/"+e.Name(), to+"/"+e.Name(), depth); err != nil {
			return err
		}
	}
	return nil
}

// entry copies a file or directory.
func (c *copier) entry(from, to string, depth int) error {
	var st unix.Stat_t
	err := unix.Lstat(from, &st)
	if err != nil {
		return fmt.Errorf("stat %s: %w", to, err)
	}
	kind := st.Mode & unix.S_IFMT
	if c.what == CopyDirectories && kind != unix.S_IFDIR && kind != unix.S_IFLNK {
		return nil
	}
	switch kind {
	case unix.S_IFDIR:
		if err = unix.Mkdir(to, 0o700); err == nil {
			if err := c.dir(from, to, depth-1); err != nil {
				return err
			}
		}
	case unix.S_IFREG:
		err = copyFile(from, to)
	case unix.S_IFLNK:
		var target string
		if target, err = os.Readlink(from); err == nil {
			err = os.Symlink(target, to)
		}
	default:
		err = unix.Mknod(to, st.Mode, int(st.Rdev))
	}
	if err == nil {
		err = unix.Lchown(to, int(st.Uid), int(st.Gid))
	}
	if err == nil && kind != unix.S_IFLNK { // after chown, which clears set-user-ID bits
		err = unix.Chmod(to, st.Mode&0o7777)
	}
	if err == nil {
		times := []unix.Timespec{st.Atim, st.Mtim}
		err = unix.UtimesNanoAt(unix.AT_FDCWD, to, times, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", to, err)
	}
	return nil
}

// copyFile copies the contents of a regular file.
func copyFile(from, to string) error {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}
