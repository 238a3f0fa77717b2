package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/debian"
)

// A node is a file of an image. Its owner is root.
type node struct {
	mode   fs.FileMode // type and permissions
	target string      // of a symbolic link
	rdev   uint64      // st_rdev of a device, see stat(2)
	source string      // file on this host with the contents; empty: they are in data
	data   []byte
}

// contents returns the contents of a regular file.
func (n *node) contents() ([]byte, error) {
	if n.source == "" {
		return n.data, nil
	}
	return os.ReadFile(n.source)
}

// isDevice reports whether the file is a block or character device.
func (n *node) isDevice() bool { return n.mode&fs.ModeDevice != 0 }

// A tree maps paths to files. Paths have no slash at the beginning or end; the root directory is
// ".".
type tree map[string]*node

// newTree returns the files that each image has: mount points, devices, users, and a configuration.
func newTree() tree {
	t := tree{".": {mode: fs.ModeDir | 0o755}}
	for dir, mode := range map[string]fs.FileMode{
		"bin": 0o755, "dev": 0o755, "etc": 0o755, "lib": 0o755, "mnt": 0o755, "proc": 0o555,
		"root": 0o700, "run": 0o755, "sys": 0o555, "tmp": 0o777 | fs.ModeSticky,
		"usr": 0o755, "var": 0o755, "var/tmp": 0o777 | fs.ModeSticky,
	} {
		t[dir] = &node{mode: fs.ModeDir | mode}
	}
	for link, target := range map[string]string{
		"sbin": "bin", "usr/bin": "../bin", "usr/sbin": "../bin", "usr/lib": "../lib",
		"var/run": "../run",
	} {
		t[link] = symlink(target)
	}
	// The kernel opens /dev/console before it starts init. The other devices are for kernels
	// without devtmpfs.
	for name, d := range map[string]struct {
		mode         fs.FileMode
		major, minor uint32
	}{
		"console": {0o600, 5, 1}, "tty": {0o666, 5, 0},
		"null": {0o666, 1, 3}, "zero": {0o666, 1, 5}, "full": {0o666, 1, 7},
		"random": {0o666, 1, 8}, "urandom": {0o666, 1, 9},
	} {
		mode := fs.ModeDevice | fs.ModeCharDevice | d.mode
		t["dev/"+name] = &node{mode: mode, rdev: unix.Mkdev(d.major, d.minor)}
	}
	for name, text := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\n" +
			"nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
		"group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
		"hosts": "127.0.0.1 localhost\n::1 localhost\n",
	} {
		t["etc/"+name] = file([]byte(text))
	}
	// The kernel does not give init a PATH.
	t[".krun_config.json"] = file([]byte(`{"Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"]}` + "\n"))
	return t
}

func symlink(target string) *node { return &node{mode: fs.ModeSymlink | 0o777, target: target} }
func file(data []byte) *node      { return &node{mode: 0o644, data: data} }

// addBinary adds the binary, and links to it with the names of its commands and of init.
func (t tree) addBinary(binary string, commands []string) error {
	links := map[string]string{"init": binaryPath, "init.krun": binaryPath}
	for _, name := range commands {
		links["bin/"+name] = binaryName
	}
	t.link(links)
	return t.add(binaryPath, &node{mode: 0o755, source: binary})
}

// addBusybox adds BusyBox, and links to it with the names of its applets.
func (t tree) addBusybox(ctx context.Context, arch string) error {
	path, err := debian.Busybox(ctx, arch)
	if err != nil {
		return err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	applets, err := debian.BusyboxApplets(program)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	links := map[string]string{}
	for _, name := range applets {
		links["bin/"+name] = shellBusybox
	}
	delete(links, "bin/"+shellBusybox)
	t.link(links)
	return t.add("bin/"+shellBusybox, &node{mode: 0o755, data: program})
}

// link adds symbolic links, but does not replace files that are there.
func (t tree) link(links map[string]string) {
	for link, target := range links {
		if _, taken := t[link]; !taken {
			t[link] = symlink(target)
		}
	}
}

// paths returns all paths, a directory before the files in it.
func (t tree) paths() []string {
	elements := func(path string) []string {
		if path == "." {
			return nil
		}
		return strings.Split(path, "/")
	}
	return slices.SortedFunc(maps.Keys(t), func(a, b string) int {
		return slices.Compare(elements(a), elements(b))
	})
}

// add adds a file and missing directories above it. A file replaces an existing one. A directory
// only changes the permissions of an existing one, to which name may lead by a symbolic link.
func (t tree) add(name string, n *node) error {
	name, err := t.resolve(name, n.mode.IsDir())
	if err != nil {
		return err
	}
	if old := t[name]; old != nil && old.mode.IsDir() != n.mode.IsDir() {
		return fmt.Errorf("/%s: both a directory and another file", name)
	}
	for dir := path.Dir(name); t[dir] == nil; dir = path.Dir(dir) {
		t[dir] = &node{mode: fs.ModeDir | 0o755}
	}
	t[name] = n
	return nil
}

// resolve returns the path of a file without symbolic links to its directory or, with follow, to
// the file itself. Not every program that unpacks archives follows links.
func (t tree) resolve(name string, follow bool) (string, error) {
	const maxLinks = 40 // as in Linux
	rest := strings.Split(clean(name), "/")
	at := "."
	for links := 0; len(rest) > 0; {
		next := path.Join(at, rest[0])
		rest = rest[1:]
		n := t[next]
		isLink := n != nil && n.mode.Type() == fs.ModeSymlink
		switch {
		case n == nil, n.mode.IsDir(), len(rest) == 0 && !(isLink && follow):
			at = next
		case !isLink:
			return "", fmt.Errorf("/%s: /%s is not a directory", clean(name), next)
		case links == maxLinks:
			return "", fmt.Errorf("/%s: too many symbolic links", clean(name))
		default:
			links++
			target := n.target
			if !path.IsAbs(target) {
				target = path.Join(at, target)
			}
			rest = append(strings.Split(clean(target), "/"), rest...)
			at = "."
		}
	}
	return at, nil
}

// clean returns a path in the form of a tree's. It does not lead out of the root.
func clean(name string) string {
	name = path.Clean("/" + name)[1:]
	if name == "" {
		return "."
	}
	return name
}

// copy adds a file of the user or, if that is a directory, all files in it.
func (t tree) copy(f File) error {
	target := f.Target
	if target == "" {
		target = filepath.ToSlash(f.Source)
	}
	err := filepath.WalkDir(f.Source, func(source string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(f.Source, source)
		if err != nil {
			return err
		}
		n, err := readNode(source)
		if err != nil {
			return err
		}
		if inside == "." && n.mode.IsDir() {
			if name, err := t.resolve(target, true); err == nil && t[name] != nil {
				return nil // an existing directory keeps its permissions
			}
		}
		return t.add(path.Join(target, filepath.ToSlash(inside)), n)
	})
	if err != nil {
		return fmt.Errorf("copy %s: %w", f.Source, err)
	}
	return nil
}

// readNode returns the description of a file of this host.
func readNode(source string) (*node, error) {
	info, err := os.Lstat(source)
	if err != nil {
		return nil, err
	}
	n := &node{mode: info.Mode()}
	switch n.mode.Type() {
	case 0:
		n.source = source
	case fs.ModeDir:
	case fs.ModeSymlink:
		n.target, err = os.Readlink(source)
		n.mode = symlink("").mode
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice, fs.ModeNamedPipe:
		var st unix.Stat_t
		err = unix.Lstat(source, &st)
		n.rdev = uint64(st.Rdev)
	default:
		err = &fs.PathError{Op: "copy", Path: source, Err: errors.New("sockets are not supported")}
	}
	return n, err
}

// sysMode returns the mode in the form of stat(2).
func (n *node) sysMode() uint32 {
	mode := uint32(n.mode.Perm())
	for bit, value := range map[fs.FileMode]uint32{
		fs.ModeSetuid: unix.S_ISUID, fs.ModeSetgid: unix.S_ISGID, fs.ModeSticky: unix.S_ISVTX,
	} {
		if n.mode&bit != 0 {
			mode |= value
		}
	}
	switch n.mode.Type() {
	case fs.ModeDir:
		return mode | unix.S_IFDIR
	case fs.ModeSymlink:
		return mode | unix.S_IFLNK
	case fs.ModeDevice:
		return mode | unix.S_IFBLK
	case fs.ModeDevice | fs.ModeCharDevice:
		return mode | unix.S_IFCHR
	case fs.ModeNamedPipe:
		return mode | unix.S_IFIFO
	}
	return mode | unix.S_IFREG
}
