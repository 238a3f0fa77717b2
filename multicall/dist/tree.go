package dist

import (
	"archive/tar"
	"bytes"
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

// A file is one of an archive or an installation. It has contents, or is a link.
type file struct {
	name       string // below the top, or below the prefix
	executable bool
	content    []byte
	symlink    string // what it contains
	hardlink   string // the other name, which is before this one in order
}

// A tree is all files.
type tree []file

// Where things are. A host copies init.krun to where its guest sees it, so that is no symbolic link.
const (
	initPath   = "lib/krunbox/init.krun"
	binaryName = "krunbox"
	commandDir = "sbin/"
	manualDir  = "share/man/man8/"
)

// tree has the binary under all its names, the manual pages and, in the directory docs, the documents.
func (s *source) tree(opts *Options, binary []byte, docs string) (tree, error) {
	t, err := s.documents()
	if err != nil {
		return nil, err
	}
	for i := range t {
		t[i].name = docs + t[i].name
	}
	t = append(t, file{name: initPath, executable: true, content: binary}, file{name: commandDir + binaryName, hardlink: initPath})
	pages, err := s.manual(opts)
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		t = append(t, file{name: commandDir + p.applet, symlink: binaryName}, file{name: manualDir + p.name, content: []byte(p.text)})
	}
	slices.SortFunc(t, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return t, nil
}

func (f file) mode() fs.FileMode {
	if f.executable {
		return 0o755
	}
	return 0o644
}

// writeTar writes an archive of the files in the directory top.
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
		return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: at})
	}
	for _, f := range t {
		h := &tar.Header{Name: path.Join(top, f.name), Mode: int64(f.mode()), Size: int64(len(f.content)), ModTime: at}
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

// install puts the files into dir. It looks first whether they may be there.
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
		if f.symlink == "" && f.hardlink == "" {
			if err := replace(target, f.content, f.mode()); err != nil {
				return err
			}
			continue
		}
		if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		link := func() error { return os.Symlink(f.symlink, target) }
		if f.hardlink != "" {
			link = func() error { return os.Link(filepath.Join(dir, f.hardlink), target) }
		}
		if err := link(); err != nil {
			return err
		}
	}
	return nil
}

// mayReplace refuses to replace what was not installed from here: a system's init for one, be it a link or a program.
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
		return fmt.Errorf("%s is there and not krunbox's", target)
	}
	return nil
}

// replace writes a file that is there completely or not at all.
func replace(target string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(target), filepath.Base(target)+".tmp-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, bytes.NewReader(content))
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), target)
}
