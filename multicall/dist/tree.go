package dist

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A file is a file of an archive or an installation: contents or a link.
type file struct {
	name       string // below the archive's top directory, or below the prefix
	executable bool
	content    []byte
	symlink    string // target of a symbolic link
	hardlink   string // other name of a hard link, which sorts before this one
}

// A tree is a list of files, sorted by name.
type tree []file

// Places of files. Hosts copy init.krun to where the guest sees it, so it is not a symbolic link.
const (
	initPath   = "lib/krunbox/init.krun"
	binaryName = "krunbox"
	commandDir = "sbin/"
	manualDir  = "share/man/man" // with the section
)

// newTree returns the binary under all its names, the manual pages, what shells need to complete
// command lines and, in the directory docs, the documents.
func newTree(ctx context.Context, opts *Options, p Platform, binary, docs string) (tree, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	s, err := load(ctx, opts.Dir, p)
	if err != nil {
		return nil, err
	}
	t, err := s.documents()
	if err != nil {
		return nil, err
	}
	for i := range t {
		t[i].name = docs + t[i].name
	}
	t = append(t, file{name: initPath, executable: true, content: content},
		file{name: commandDir + binaryName, hardlink: initPath})
	texts, err := s.texts()
	if err != nil {
		return nil, err
	}
	completions, err := s.completions(texts)
	if err != nil {
		return nil, err
	}
	t = append(t, completions...)
	for _, p := range manual(opts, texts) {
		t = append(t, file{name: commandDir + p.applet, symlink: binaryName},
			file{name: manualDir + appletSection + "/" + p.name, content: []byte(p.text)})
	}
	if p.GOOS == "linux" {
		page, err := s.hostPage(opts)
		if err != nil {
			return nil, err
		}
		t = append(t, file{name: manualDir + hostSection + "/" + page.name, content: []byte(page.text)})
	}
	slices.SortFunc(t, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return t, nil
}

// mode returns the permissions of a file that is not a link.
func (f file) mode() fs.FileMode {
	if f.executable {
		return 0o755
	}
	return 0o644
}

// writeTar writes a tar archive in which the files are in the directory top.
func (t tree) writeTar(w io.Writer, top string, at time.Time) error {
	archive := tar.NewWriter(w)
	dirs := map[string]bool{".": true}
	var addDir func(dir string) error
	addDir = func(dir string) error {
		if dirs[dir] {
			return nil
		}
		dirs[dir] = true
		if err := addDir(path.Dir(dir)); err != nil {
			return err
		}
		return archive.WriteHeader(&tar.Header{
			Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: at,
		})
	}
	for _, f := range t {
		h := &tar.Header{
			Name: path.Join(top, f.name), ModTime: at,
			Mode: int64(f.mode()), Size: int64(len(f.content)),
		}
		switch h.Typeflag = tar.TypeReg; {
		case f.symlink != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.symlink, 0o777
		case f.hardlink != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeLink, path.Join(top, f.hardlink), 0o755
		}
		if err := addDir(path.Dir(h.Name)); err != nil {
			return err
		}
		if err := archive.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		if _, err := archive.Write(f.content); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return archive.Close()
}

// install writes the files to dir. It checks first that it may replace the files that exist.
func (t tree) install(dir string) error {
	for _, f := range t {
		if err := f.mayReplace(filepath.Join(dir, f.name)); err != nil {
			return err
		}
	}
	for _, f := range t {
		target := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		var err error
		switch {
		case f.symlink != "":
			err = replaceByLink(os.Symlink, f.symlink, target)
		case f.hardlink != "":
			err = replaceByLink(os.Link, filepath.Join(dir, f.hardlink), target)
		default:
			err = replace(target, f.content, f.mode())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mayReplace returns an error if target exists and cannot be from an older installation. An example
// is the system's init, which is a program or a link to another file.
func (f file) mayReplace(target string) error {
	info, err := os.Lstat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	old := ""
	if info.Mode().Type() == fs.ModeSymlink {
		if old, err = os.Readlink(target); err != nil {
			return err
		}
	}
	if old != f.symlink || f.symlink == "" && !info.Mode().IsRegular() {
		return fmt.Errorf("%s exists and does not belong to krunbox", target)
	}
	return nil
}

// replace writes a file so that target is the old one or the complete new one at any time.
func replace(target string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(target), filepath.Base(target)+".tmp-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), target)
}

// replaceByLink removes target, if it exists, and calls link to make it a link to old.
func replaceByLink(link func(old, target string) error, old, target string) error {
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return link(old, target)
}
