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

// DefaultModules are the modules that a guest needs for its devices and roots, unless they are
// built into its kernel. The console is early because its ports appear some time after it was
// loaded.
const DefaultModules = "virtio_pci virtio_mmio virtio_console virtio_blk virtio_net af_packet " +
	"vmw_vsock_virtio_transport virtio_rng fuse virtiofs overlay ext4"

// addModules adds the modules called names and those that they depend on to the image, with the
// list of modules that init loads. Dependencies are read from the modules themselves: packages of
// kernels have no modules.dep.
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
			if err := set.add(name, true); err != nil {
				return err
			}
			continue
		}
		for name := range strings.FieldsSeq(DefaultModules) {
			if err := set.add(name, false); err != nil {
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
	dir   string
	files map[string]string // path below dir, by name
	done  map[string]bool   // names of modules that are built in, in order, or about to be
	order []module
}

// A module is a module to load.
type module struct {
	path string // below the directory of the kernel's modules, without a suffix for compression
	data []byte // not compressed
}

// decompressors maps the suffixes of modules' files to functions that decompress them.
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

// splitModule splits the suffix of a module, one of the keys of decompressors, from the name of a
// file. The suffix of other files is empty.
func splitModule(file string) (base, suffix string) {
	if dot := strings.Index(path.Base(file), ".ko"); dot >= 0 {
		at := len(file) - len(path.Base(file)) + dot
		if _, ok := decompressors[file[at:]]; ok {
			return file[:at], file[at:]
		}
	}
	return file, ""
}

// moduleName returns the kernel's name of a module. File names may have dashes in place of
// underscores.
func moduleName(file string) string {
	base, _ := splitModule(file)
	return strings.ReplaceAll(path.Base(base), "-", "_")
}

// newModuleSet returns an empty set of the modules in dir.
func newModuleSet(dir string) (*moduleSet, error) {
	s := &moduleSet{dir: dir, files: map[string]string{}, done: map[string]bool{}}
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for file := range strings.FieldsSeq(string(builtin)) {
		s.done[moduleName(file)] = true
	}
	return s, fs.WalkDir(os.DirFS(dir), ".", func(file string, d fs.DirEntry, err error) error {
		if _, suffix := splitModule(file); suffix != "" && err == nil && d.Type().IsRegular() {
			s.files[moduleName(file)] = file
		}
		return err
	})
}

// add adds a module after those that it depends on. A missing module is an error if it is required.
func (s *moduleSet) add(name string, required bool) error {
	name = moduleName(name)
	if s.done[name] {
		return nil
	}
	file, ok := s.files[name]
	if !ok {
		if required {
			return fmt.Errorf("module %s: not in %s", name, s.dir)
		}
		return nil
	}
	s.done[name] = true // modules may depend on each other
	m, info, err := s.read(file)
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	before, after := info.soft()
	for _, soft := range before {
		if err := s.add(soft, false); err != nil {
			return err
		}
	}
	for hard := range strings.SplitSeq(strings.Join(info["depends"], ","), ",") {
		if hard == "" {
			continue
		}
		if err := s.add(hard, true); err != nil {
			return fmt.Errorf("%w, but %s depends on it", err, name)
		}
	}
	s.order = append(s.order, m)
	for _, soft := range after {
		if err := s.add(soft, false); err != nil {
			return err
		}
	}
	return nil
}

// read reads a module and its information.
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

// A modinfo is the information in a module, see modinfo(8). A key may have several values.
type modinfo map[string][]string

// parseModinfo reads the information in a module.
func parseModinfo(data []byte) (modinfo, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no section .modinfo")
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

// soft returns the modules to load before and after this one if they exist: see softdep in
// modprobe.d(5).
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
