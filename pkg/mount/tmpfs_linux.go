package mount

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Tmpfs mounts a tmpfs over a directory of an image. Without a mode among its options it has that of the directory, as
// container runtimes do it.
type Tmpfs struct {
	Mount
	// CopyUp fills it with what the directory holds.
	CopyUp bool
	// Keep are paths below the mount point where what the directory has there stays visible, if it has something there.
	Keep []string
}

func (t Tmpfs) Describe() op.Description {
	d := t.Mount.Describe()
	if t.CopyUp {
		d.Details = append(d.Details, op.A("copyUp", "yes"))
	}
	if len(t.Keep) != 0 {
		d.Details = append(d.Details, op.L("keep", t.Keep))
	}
	return d
}

func (t Tmpfs) Do() error {
	if there, err := t.there(); there || err != nil {
		return t.wrap(err)
	}
	covered, err := unix.Open(t.Target, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return t.wrap(t.mount())
	}
	if err != nil {
		return t.wrap(err)
	}
	defer unix.Close(covered)
	if !hasMode(t.Data) {
		var st unix.Stat_t
		if err := unix.Fstat(covered, &st); err != nil {
			return t.wrap(err)
		}
		t.Data = strings.TrimPrefix(t.Data+",mode="+strconv.FormatUint(uint64(st.Mode&0o7777), 8), ",")
	}
	after := t.After
	if t.CopyUp || len(t.Keep) != 0 { // it can't be read-only before
		after.Set |= t.Flags & unix.MS_RDONLY
		t.Flags &^= unix.MS_RDONLY
	}
	t.After = Attrs{}
	if err := t.mount(); err != nil {
		return t.wrap(err)
	}
	// The directory's contents, though something is mounted over it.
	source := "/proc/self/fd/" + strconv.Itoa(covered)
	if t.CopyUp {
		c := copier{left: copyMost}
		if err = c.dir(source, t.Target, copyDepth); err != nil {
			err = t.wrap(fmt.Errorf("copy up: %w", err))
		}
	}
	for _, path := range t.Keep {
		b := Bind{Source: source + strings.TrimPrefix(path, t.Target), Target: path, Lenient: true}
		err = errors.Join(err, b.Do())
	}
	return errors.Join(err, t.wrap(after.apply(t.Target)))
}

// hasMode tells whether the options of a tmpfs have a mode.
func hasMode(data string) bool {
	return strings.HasPrefix(data, "mode=") || strings.Contains(data, ",mode=")
}

// Bounds of what is copied up. That of the bytes is the size of the tmpfs.
const (
	copyMost  = 1 << 16 // files and directories
	copyDepth = 64      // directories in each other
)

// copier copies a directory's contents with owners, permissions and times.
type copier struct {
	left int // entries
}

var (
	errTooMany = errors.New("too many files")
	errTooDeep = errors.New("directories too deep in each other")
)

// dir copies what the directory at from has into the one at to.
func (c *copier) dir(from, to string, depth int) error {
	if depth == 0 {
		return fmt.Errorf("%s: %w", to, errTooDeep)
	}
	names, err := sysfile.Names(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		if c.left--; c.left < 0 {
			return fmt.Errorf("%s: %w", to, errTooMany)
		}
		if err := c.entry(from+"/"+name, to+"/"+name, depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) entry(from, to string, depth int) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return fmt.Errorf("stat %s: %w", to, err)
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if err = unix.Mkdir(to, 0o700); err == nil {
			if err := c.dir(from, to, depth-1); err != nil {
				return err
			}
		}
	case unix.S_IFREG:
		err = c.file(from, to)
	case unix.S_IFLNK:
		target := make([]byte, unix.PathMax)
		var n int
		if n, err = unix.Readlink(from, target); err == nil {
			err = unix.Symlink(string(target[:n]), to)
		}
	default:
		err = unix.Mknod(to, st.Mode, int(st.Rdev))
	}
	if err == nil {
		err = unix.Lchown(to, int(st.Uid), int(st.Gid))
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK { // after chown, which takes set-user-ID bits away
		err = unix.Chmod(to, st.Mode&0o7777)
	}
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, to, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", to, err)
	}
	return nil
}

// file copies the bytes of a file.
func (c *copier) file(from, to string) error {
	in, err := unix.Open(from, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	out, err := unix.Open(to, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	for {
		// The kernel copies from page cache to page cache, up to 2 GiB at a time; what does not fit is ENOSPC.
		n, err := unix.Sendfile(out, in, nil, 1<<30)
		switch {
		case err == unix.EINTR:
		case err != nil || n == 0:
			return err
		}
	}
}
