package image

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/krunbox/krunbox/pkg/kmodule"
)

// DefaultModules are the modules that a guest needs for its devices and roots, unless they are built into its kernel. The
// console comes early: its ports appear some time after it was loaded.
const DefaultModules = "virtio_pci virtio_mmio virtio_console virtio_blk virtio_net af_packet vmw_vsock_virtio_transport virtio_rng " +
	"fuse virtiofs overlay ext4"

// addModules puts the modules called names into the image, and those that they depend on, and the list in whose order init
// loads them. What reads a module's own notes of what it depends on needs no modules.dep, which packages don't have.
func addModules(t tree, k *kernel, names []string) error {
	set, err := newModuleSet(k.modules)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		names = []string{"default"}
	}
	for _, name := range names {
		if name != "default" {
			if err := set.want(name, true); err != nil {
				return err
			}
			continue
		}
		for name := range strings.FieldsSeq(DefaultModules) {
			if err := set.want(name, false); err != nil {
				return err
			}
		}
	}
	var list bytes.Buffer
	for _, m := range set.order {
		name := path.Join("lib/modules", k.version, m.path)
		if err := t.add(name, file(m.data)); err != nil {
			return err
		}
		list.WriteString("/" + name + "\n")
	}
	return t.add(kmodule.List, file(list.Bytes()))
}

// A moduleSet collects modules of a kernel in the order to load them.
type moduleSet struct {
	dir     string
	files   map[string]string // path below dir, by name
	builtin map[string]bool   // names that the kernel needs no file for
	order   []module
	state   map[string]int
}

// A module is one to be loaded.
type module struct {
	path string // below the directory of the kernel's modules, without a suffix for compression
	data []byte // not compressed
}

// States of a module's name.
const (
	unknown = iota
	visited // it is in the order, or those before it are being looked for
)

// decompressors are the ways in which modules are compressed, by suffix.
var decompressors = map[string]func(io.Reader) (io.Reader, error){
	".ko":    func(r io.Reader) (io.Reader, error) { return r, nil },
	".ko.gz": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	".ko.xz": func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) },
	".ko.zst": func(r io.Reader) (io.Reader, error) {
		z, err := zstd.NewReader(r)
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	},
}

// splitModule returns the name of a file without the suffix that tells a module, and the suffix. It is empty for other files.
func splitModule(file string) (base, suffix string) {
	if dot := strings.Index(path.Base(file), ".ko"); dot >= 0 {
		at := len(file) - len(path.Base(file)) + dot
		if _, ok := decompressors[file[at:]]; ok {
			return file[:at], file[at:]
		}
	}
	return file, ""
}

// moduleName is how the kernel calls a module: in file names, dashes stand for the underscores too.
func moduleName(file string) string {
	base, _ := splitModule(file)
	return strings.ReplaceAll(path.Base(base), "-", "_")
}

func newModuleSet(dir string) (*moduleSet, error) {
	s := &moduleSet{dir: dir, files: map[string]string{}, builtin: map[string]bool{}, state: map[string]int{}}
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for file := range strings.FieldsSeq(string(builtin)) {
		s.builtin[moduleName(file)] = true
	}
	return s, fs.WalkDir(os.DirFS(dir), ".", func(file string, d fs.DirEntry, err error) error {
		if _, suffix := splitModule(file); suffix != "" && err == nil && d.Type().IsRegular() {
			s.files[moduleName(file)] = file
		}
		return err
	})
}

// want adds a module, and before it those that it depends on. That there is none of this name is an error if it is required.
func (s *moduleSet) want(name string, required bool) error {
	name = moduleName(name)
	if s.state[name] == visited || s.builtin[name] {
		return nil
	}
	file, ok := s.files[name]
	if !ok {
		if required {
			return fmt.Errorf("module %s: there is none in %s", name, s.dir)
		}
		return nil
	}
	s.state[name] = visited
	m, info, err := s.read(file)
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	before, after := info.soft()
	for _, soft := range before {
		if err := s.want(soft, false); err != nil {
			return err
		}
	}
	for _, hard := range strings.FieldsFunc(strings.Join(info["depends"], ","), func(r rune) bool { return r == ',' }) {
		if err := s.want(hard, true); err != nil {
			return fmt.Errorf("%w, which %s depends on", err, name)
		}
	}
	s.order = append(s.order, m)
	for _, soft := range after {
		if err := s.want(soft, false); err != nil {
			return err
		}
	}
	return nil
}

// read reads a module.
func (s *moduleSet) read(file string) (module, modinfo, error) {
	base, suffix := splitModule(file)
	f, err := os.Open(filepath.Join(s.dir, file))
	if err != nil {
		return module{}, nil, err
	}
	defer f.Close()
	r, err := decompressors[suffix](f)
	if err != nil {
		return module{}, nil, fmt.Errorf("%s: %w", file, err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return module{}, nil, fmt.Errorf("%s: %w", file, err)
	}
	info, err := parseModinfo(data)
	if err != nil {
		return module{}, nil, fmt.Errorf("%s: %w", file, err)
	}
	return module{base + ".ko", data}, info, nil
}

// A modinfo is what a module says of itself: several values for a key, as modinfo(8) prints them.
type modinfo map[string][]string

func parseModinfo(data []byte) (modinfo, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("it has no section .modinfo")
	}
	text, err := section.Data()
	if err != nil {
		return nil, err
	}
	info := modinfo{}
	for entry := range bytes.SplitSeq(text, []byte{0}) {
		if key, value, ok := strings.Cut(string(entry), "="); ok && value != "" {
			info[key] = append(info[key], value)
		}
	}
	return info, nil
}

// soft returns the modules to be loaded before and after this one, if there are such: modprobe.d(5), softdep.
func (m modinfo) soft() (before, after []string) {
	for _, value := range m["softdep"] {
		to := map[string]*[]string{"pre:": &before, "post:": &after}
		var list *[]string
		for word := range strings.FieldsSeq(value) {
			if l, ok := to[word]; ok {
				list = l
			} else if list != nil {
				*list = append(*list, word)
			}
		}
	}
	return before, after
}
