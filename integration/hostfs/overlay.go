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

// directory has the virtual names in one directory of the guest. A nil *directory has no names.
type directory struct {
	inode   uint64
	entries map[string]entry // not changed after New
}

// entry is the *file or *directory of a virtual name.
type entry any

// file is a virtual file.
type file struct {
	inode   uint64
	mode    uint32 // permissions
	oneShot bool

	mu       sync.Mutex
	resolved bool   // the name of a one-shot file was looked up and no longer exists
	dropped  bool   // the contents of a one-shot file no longer exist
	data     []byte // read only
}

// newOverlay returns the root directory of the configured virtual names. It reads the sources of
// the files.
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
		return errors.New("not a path of a file")
	}
	if parent.entries[base] != nil {
		return errors.New("path already used")
	}
	parent.add(base, &file{
		inode:   f.inodes.next(),
		mode:    config.Mode & 0o7777,
		oneShot: config.OneShot,
		data:    config.Data,
	})
	return nil
}

// addDirectory adds the directory name and its missing parents to root, and returns it. It fails if
// name is not absolute or a component of it is a virtual file.
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

// checkParents returns an error if a parent of the virtual file name is not a directory in Base,
// but a symbolic link, for example: the virtual directory would hide it.
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

// components returns the components of the absolute path p.
func components(p string) []string {
	return strings.FieldsFunc(path.Clean(p), func(r rune) bool { return r == '/' })
}

func (d *directory) add(name string, e entry) {
	if d.entries == nil {
		d.entries = map[string]entry{}
	}
	d.entries[name] = e
}

// get returns the entry of name. It returns nil if name is not virtual, or is that of a one-shot
// file that was looked up.
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

// lookup is like get, and marks a one-shot file as looked up.
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

// isResolved reports whether f is a one-shot file that was looked up.
func (f *file) isResolved() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.resolved
}

// resolve marks f as looked up if it is a one-shot file. It reports whether the name existed.
func (f *file) resolve() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.resolved
	f.resolved = f.oneShot
	return !was
}

// cacheTime returns how long the guest may cache the name and attributes of f.
func (f *file) cacheTime() time.Duration {
	if f.oneShot {
		return 0
	}
	return forever
}

// contents returns the contents of f and whether they still exist.
func (f *file) contents() ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.data, !f.dropped
}

// release drops the contents of f if it is a one-shot file.
func (f *file) release() {
	if !f.oneShot {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropped = true
	f.data = nil
}
