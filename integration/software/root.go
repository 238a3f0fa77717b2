package software

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/internal/cache"
	"github.com/krunbox/krunbox/internal/debian"
)

// A root describes the root file system of a container image: Debian packages, and what the
// image's Dockerfile and the scripts of the packages make of them.
type root struct {
	Name     string
	Packages []string // besides those of base; their dependencies are added
	Users    []string // lines for /etc/passwd; each user has a group with its name and number
	// Paths of the following are relative to the root.
	Modes []mode            // files, and directories, which are made
	Links map[string]string // targets by path; they replace files
	Files map[string]string // contents by path; a file that begins with #! is executable
}

// A mode has the permissions and the owner of a file or directory.
type mode struct {
	Path  string
	Perm  fs.FileMode
	Owner int // user and group
}

// base is what all roots have, as Debian's own image does.
var base = root{
	Packages: []string{
		"base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "grep", "hostname",
		"libc-bin", "login", "mount", "ncurses-base", "procps", "sed", "usr-is-merged", "util-linux",
	},
	Modes: []mode{
		{"run/lock", fs.ModeSticky | 0o777, 0},
		{"usr/local/bin", 0o755, 0},
		{"usr/local/sbin", 0o755, 0},
		{"usr/bin/setpriv", fs.ModeSetuid | 0o755, 0}, // see control
		{"var/local", fs.ModeSetgid | 0o775, 0},
	},
	Links: map[string]string{
		"var/run":     "/run",
		"var/lock":    "/run/lock",
		"usr/bin/awk": "mawk",
	},
	Files: map[string]string{
		"usr/bin/control": control,

		"etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
		"etc/hosts":         "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
		// What pam-auth-update makes of the packages' templates.
		"etc/pam.d/common-auth":                   "auth required pam_unix.so nullok\n",
		"etc/pam.d/common-account":                "account required pam_unix.so\n",
		"etc/pam.d/common-password":               "password required pam_unix.so yescrypt\n",
		"etc/pam.d/common-session":                "session required pam_unix.so\n",
		"etc/pam.d/common-session-noninteractive": "session required pam_unix.so\n",
	},
}

// control is a program that runs another one, its arguments, and besides it the commands on its
// standard input, as root. The other program does not get to see this.
const control = `#!/bin/sh
exec 3<&0
(
	while read -r line; do
		setpriv --reuid 0 --regid 0 --clear-groups sh -c "$line" <&-
	done <&3 3<&- &
)
exec 3<&- "$@" </dev/null
`

// build returns the path of the root's directory, which is in the cache and must not be changed.
// The first call downloads the packages. The versions are the current ones of that time.
func (r root) build(ctx context.Context) (string, error) {
	if os.Geteuid() != 0 {
		return "", errors.New("roots with files of several owners can only be made by root")
	}
	description, err := json.Marshal([]root{base, r})
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("software-%s-%.6x", r.Name, sha256.Sum256(description))
	return cache.File(ctx, name, func(scratch string) (string, error) {
		files, err := download(ctx, slices.Concat(base.Packages, r.Packages))
		if err != nil {
			return "", err
		}
		path := filepath.Join(scratch, "root")
		if err := debian.Install(ctx, files, path); err != nil {
			return "", err
		}
		if err := os.Chmod(path, 0o755); err != nil {
			return "", err
		}
		// Links of the root must not lead to files of this machine.
		dir, err := os.OpenRoot(path)
		if err != nil {
			return "", err
		}
		defer dir.Close()
		return path, errors.Join(basePasswd(dir), base.setUp(dir), r.setUp(dir))
	})
}

// download returns the files of packages and their dependencies. They stay in the cache, because
// the roots have most of them in common.
func download(ctx context.Context, packages []string) ([]string, error) {
	arch := runtime.GOARCH
	path, unlock, err := cache.Lock(ctx, "debian-"+arch)
	if err != nil {
		return nil, err
	}
	defer unlock()
	archive, err := debian.Open(ctx, arch, path)
	if err != nil {
		return nil, err
	}
	return archive.Fetch(ctx, packages...)
}

// basePasswd does what the script of package base-passwd does.
func basePasswd(dir *os.Root) error {
	for _, name := range []string{"passwd", "group"} {
		contents, err := dir.ReadFile("usr/share/base-passwd/" + name + ".master")
		if err != nil {
			return err
		}
		contents = bytes.ReplaceAll(contents, []byte(":*:"), []byte(":x:"))
		if err := dir.WriteFile("etc/"+name, contents, 0o644); err != nil {
			return err
		}
	}
	return dir.WriteFile("etc/shadow", []byte("root:*:20000:0:99999:7:::\n"), 0o640)
}

// setUp creates the users, directories, links and files of r in dir.
func (r root) setUp(dir *os.Root) error {
	for _, user := range r.Users {
		field := strings.Split(user, ":")
		if err := errors.Join(
			appendFile(dir, "etc/passwd", user+"\n"),
			appendFile(dir, "etc/group", field[0]+":x:"+field[3]+":\n"),
			appendFile(dir, "etc/shadow", field[0]+":*:20000:0:99999:7:::\n"),
		); err != nil {
			return err
		}
	}
	for _, m := range r.Modes {
		if _, err := dir.Stat(m.Path); errors.Is(err, fs.ErrNotExist) {
			if err := dir.MkdirAll(m.Path, 0o755); err != nil {
				return err
			}
		}
		if err := errors.Join(dir.Chown(m.Path, m.Owner, m.Owner), dir.Chmod(m.Path, m.Perm)); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Links)) {
		if err := errors.Join(makeWay(dir, name), dir.Symlink(r.Links[name], name)); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		contents, mode := r.Files[name], fs.FileMode(0o644)
		if strings.HasPrefix(contents, "#!") {
			mode = 0o755
		}
		if err := errors.Join(
			makeWay(dir, name),
			dir.WriteFile(name, []byte(contents), mode),
			dir.Chmod(name, mode),
		); err != nil {
			return err
		}
	}
	return nil
}

// makeWay creates the parents of a file, and removes the file if it exists.
func makeWay(dir *os.Root, name string) error {
	if err := dir.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// appendFile appends text to a file.
func appendFile(dir *os.Root, name, text string) error {
	f, err := dir.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
