package hostfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// directory holds the virtual names of one directory of the guest. The zero pointer is one without any.
type directory struct {
	inode   uint64
	entries map[string]entry // does not change once the file system is made
}

// entry is what a virtual name stands for: a *file or a *directory.
type entry any

// file is a virtual file.
type file struct {
	inode   uint64
	mode    uint32 // permissions
	oneShot bool

	mu       sync.Mutex
	resolved bool   // a one-shot file's name is gone
	dropped  bool   // and so are its contents
	data     []byte // never written to
}

// newOverlay returns the root directory of the configured virtual names.
func (f *FS) newOverlay() (*directory, error) {
	root := &directory{inode: rootInode}
	for _, name := range f.config.Dirs {
		if _, err := f.addDirectory(root, name); err != nil {
			return nil, fmt.Errorf("virtual directory %s: %w", name, err)
		}
	}
	for _, file := range f.config.Files {
		if err := f.addFile(root, file); err != nil {
			return nil, fmt.Errorf("virtual file %s: %w", file.Path, err)
		}
	}
	return root, nil
}

func (f *FS) addFile(root *directory, config File) error {
	if config.Source != "" {
		if config.Data != nil {
			return errors.New("both source and data given")
		}
		var err error
		if config.Data, err = os.ReadFile(config.Source); err != nil {
			return err
		}
	}
	if config.Mode == 0 {
		config.Mode = 0o644
	}
	if err := f.checkParents(config.Path); err != nil {
		return err
	}
	dir, base := path.Split(config.Path)
	parent, err := f.addDirectory(root, dir)
	if err != nil {
		return err
	}
	if base == "" || base == "." || base == ".." {
		return errors.New("not the path of a file")
	}
	if parent.entries[base] != nil {
		return errors.New("given twice")
	}
	parent.add(base, &file{
		inode:   f.inodes.next(),
		mode:    config.Mode & 0o7777,
		oneShot: config.OneShot,
		data:    config.Data,
	})
	return nil
}

// addDirectory adds the directory name to root, and its parents where they are missing.
func (f *FS) addDirectory(root *directory, name string) (*directory, error) {
	if !path.IsAbs(name) {
		return nil, errors.New("not an absolute path")
	}
	d := root
	for _, component := range components(name) {
		if d.entries[component] == nil {
			d.add(component, &directory{inode: f.inodes.next()})
		}
		next, ok := d.entries[component].(*directory)
		if !ok {
			return nil, syscall.ENOTDIR
		}
		d = next
	}
	return d, nil
}

// checkParents refuses a virtual file in a directory that is something else in the base, a symbolic link say: the
// virtual directory would hide all that is behind it.
func (f *FS) checkParents(name string) error {
	if f.config.Base == "" {
		return nil
	}
	p := f.config.Base
	for _, component := range components(path.Dir(name)) {
		p = filepath.Join(p, component)
		fi, err := os.Lstat(p)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !fi.IsDir() {
			return fmt.Errorf("%s is not a directory", p)
		}
	}
	return nil
}

// components returns the names in the absolute path p.
func components(p string) []string {
	return strings.FieldsFunc(path.Clean(p), func(r rune) bool { return r == '/' })
}

func (d *directory) add(name string, e entry) {
	if d.entries == nil {
		d.entries = map[string]entry{}
	}
	d.entries[name] = e
}

// get returns what name stands for, nil if it is not virtual, or no more.
func (d *directory) get(name string) entry {
	if d == nil {
		return nil
	}
	e := d.entries[name]
	if f, ok := e.(*file); ok && f.isResolved() {
		return nil
	}
	return e
}

// lookup is get for LOOKUP, which uses up the name of a one-shot file.
func (d *directory) lookup(name string) entry {
	if d == nil {
		return nil
	}
	e := d.entries[name]
	if f, ok := e.(*file); ok && !f.resolve() {
		return nil
	}
	return e
}

// isResolved reports whether the name of f is used up.
func (f *file) isResolved() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.resolved
}

// resolve uses up the name of a one-shot file, and reports whether it was there.
func (f *file) resolve() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.resolved
	f.resolved = f.oneShot
	return !was
}

// cacheTime is how long the guest may rely on the name and attributes of f.
func (f *file) cacheTime() time.Duration {
	if f.oneShot {
		return 0
	}
	return forever
}

// contents returns the contents, and whether they are still there.
func (f *file) contents() ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.data, !f.dropped
}

// release drops the contents of a one-shot file.
func (f *file) release() {
	if !f.oneShot {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropped = true
	f.data = nil
}
