package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// kernelDirs are the directories that base file systems cover.
var kernelDirs = []string{"/dev", "/proc", "/sys"}

// Targets returns the mount points of mounts: their destinations, after symbolic links of the image
// in the directory root are resolved. If /var/run is a link to /run, the destination /var/run/x
// becomes /run/x. Links below the mount points of earlier mounts, and below /dev, /proc and /sys, are
// not resolved, because the image's files there are covered.
func Targets(root string, mounts []specs.Mount) []string {
	targets := make([]string, len(mounts))
	for i, m := range mounts {
		covered := slices.Concat(kernelDirs, targets[:i])
		targets[i] = followLinks(root, path.Clean("/"+m.Destination), covered)
	}
	return targets
}

// followLinks resolves the symbolic links in the absolute path name, with root as root directory. It
// does not look at the paths in covered or below them. If a link cannot be resolved, the result is a
// path on which the mount will fail, with an error that says why.
func followLinks(root, name string, covered []string) string {
	const maxLinks = 40 // as path_resolution(7)
	done, rest := "", name
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			done = done[:max(0, strings.LastIndexByte(done, '/'))]
			continue
		}
		next := done + "/" + part
		if slices.Contains(covered, next) {
			return path.Join(next, rest)
		}
		link, err := os.Readlink(root + next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path.Join(next, rest)
		case err != nil: // not a link
			done = next
			continue
		}
		if links++; links > maxLinks {
			return name
		}
		if path.IsAbs(link) {
			done = ""
		}
		rest = link + "/" + rest
	}
	return path.Join("/", done)
}

// Uncover makes the file or directory Target of the root file system visible although a file system
// is mounted on a parent directory. It does nothing if Target does not exist, or is a device node:
// /dev has nodes for all devices of the machine.
type Uncover struct{ Target string }

func (u Uncover) Describe() op.Description {
	return op.Describe("keep visible", u.Target, "missing", "ok")
}

// rootCopy is where Uncover mounts the root file system, without the mounts below it.
const rootCopy = "/dev/.root"

func (u Uncover) Do() (err error) {
	defer op.Wrap(&err, "keep %s visible", u.Target)
	if err := os.Mkdir(rootCopy, 0o700); err != nil {
		return err
	}
	defer func() { _ = os.Remove(rootCopy) }()
	if err := unix.Mount("/", rootCopy, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the root on %s: %w", rootCopy, err)
	}
	defer func() { _ = unix.Unmount(rootCopy, unix.MNT_DETACH) }()
	var st unix.Stat_t
	source := rootCopy + u.Target
	err = unix.Lstat(source, &st)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil
	}
	if err != nil {
		return err
	}
	if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFCHR || kind == unix.S_IFBLK {
		return nil
	}
	return Bind{Source: source, Target: u.Target, Recursive: true}.Do()
}
