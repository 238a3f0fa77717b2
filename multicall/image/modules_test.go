package image

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// moduleFile makes a relocatable ELF file that has nothing but the section .modinfo.
func moduleFile(t *testing.T, entries ...string) []byte {
	t.Helper()
	modinfo := strings.Join(entries, "\x00") + "\x00"
	const names = "\x00.modinfo\x00.shstrtab\x00"
	const header, section = 64, 64 // sizes
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Shoff: header, Ehsize: header, Shentsize: section, Shnum: 3, Shstrndx: 2,
	}
	data := uint64(header + 3*section)
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: data, Size: uint64(len(modinfo)), Addralign: 1},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: data + uint64(len(modinfo)), Size: uint64(len(names)), Addralign: 1},
	}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, h); err != nil {
		t.Fatal(err)
	}
	if err := binary.Write(&b, binary.LittleEndian, sections); err != nil {
		t.Fatal(err)
	}
	b.WriteString(modinfo + names)
	return b.Bytes()
}

// modulesDir makes a directory of modules as a kernel has it, some of them compressed.
func modulesDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "6.1.0-test")
	for file, entries := range map[string][]string{
		"kernel/drivers/a/top-level.ko":   {"license=GPL", "depends=middle,bottom"},
		"kernel/drivers/a/middle.ko.gz":   {"depends=bottom", "softdep=pre: wanted missing post: later"},
		"kernel/lib/bottom.ko.xz":         {"depends="},
		"kernel/lib/wanted.ko.zst":        {"name=wanted"},
		"kernel/lib/later.ko":             {"depends=built_in"},
		"kernel/lib/loop.ko":              {"depends=pool"},
		"kernel/lib/pool.ko":              {"depends=loop"},
		"kernel/lib/broken-dependency.ko": {"depends=nosuch"},
	} {
		var b bytes.Buffer
		var w io.WriteCloser
		var err error
		switch filepath.Ext(file) {
		case ".gz":
			w = gzip.NewWriter(&b)
		case ".xz":
			w, err = xz.NewWriter(&b)
		case ".zst":
			w, err = zstd.NewWriter(&b)
		}
		content := moduleFile(t, entries...)
		if w != nil && err == nil {
			if _, err = w.Write(content); err == nil {
				err = w.Close()
			}
			content = b.Bytes()
		}
		path := filepath.Join(dir, file)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(path, content, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for file, text := range map[string]string{"modules.builtin": "kernel/lib/built-in.ko\n", "kernel/lib/notes.ko.txt": "no module"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAddModules(t *testing.T) {
	dir := modulesDir(t)
	for _, tt := range []struct {
		names []string
		want  []string // in the list, without what all begin and end with
		err   string
	}{
		{names: []string{"top_level"}, want: []string{"lib/wanted", "lib/bottom", "drivers/a/middle", "lib/later", "drivers/a/top-level"}},
		{names: []string{"bottom", "top-level"}, want: []string{"lib/bottom", "lib/wanted", "drivers/a/middle", "lib/later", "drivers/a/top-level"}},
		{names: []string{"built_in", "default"}},
		{names: nil},
		{names: []string{"loop"}, want: []string{"lib/pool", "lib/loop"}},
		{names: []string{"nosuch"}, err: "module nosuch: there is none in " + dir},
		{names: []string{"broken_dependency"}, err: "module nosuch: there is none in " + dir + ", which broken_dependency depends on"},
	} {
		tr := newTree()
		err := addModules(tr, &kernel{version: "6.1.0-test", modules: dir}, tt.names)
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("addModules(%q) = %v, want %s", tt.names, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("addModules(%q) = %v", tt.names, err)
			continue
		}
		var got []string
		for path := range strings.FieldsSeq(string(tr["lib/modules/krunbox.order"].data)) {
			if n := tr[path[1:]]; n == nil || !bytes.HasPrefix(n.data, []byte(elf.ELFMAG)) {
				t.Errorf("addModules(%q) lists %s, which is no module in the image that is not compressed", tt.names, path)
			}
			got = append(got, strings.TrimSuffix(strings.TrimPrefix(path, "/lib/modules/6.1.0-test/kernel/"), ".ko"))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("addModules(%q) lists %q, want %q", tt.names, got, tt.want)
		}
	}
}

func TestFindKernel(t *testing.T) {
	modules := modulesDir(t)
	root := t.TempDir()
	for _, dir := range []string{"boot", "lib/modules"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(root, "boot/vmlinuz-6.1.0-test")
	if err := os.WriteFile(image, []byte("kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	find := func(spec string) (*kernel, error) {
		return findKernel(t.Context(), &Options{Kernel: spec}, t.TempDir())
	}
	if k, err := find(image); err != nil || *k != (kernel{image: image, version: "6.1.0-test"}) {
		t.Errorf("findKernel(no modules) = %+v, %v", k, err)
	}
	if err := os.Symlink(modules, filepath.Join(root, "lib/modules/6.1.0-test")); err != nil {
		t.Fatal(err)
	}
	want := kernel{image, "6.1.0-test", filepath.Join(root, "lib/modules/6.1.0-test")}
	for _, spec := range []string{root, image} {
		if k, err := find(spec); err != nil || *k != want {
			t.Errorf("findKernel(%s) = %+v, %v, want %+v", spec, k, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(modules, "modules.order"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if k, err := find(modules); err != nil || *k != (kernel{version: "6.1.0-test", modules: modules}) {
		t.Errorf("findKernel(%s) = %+v, %v", modules, k, err)
	}
	if err := os.Mkdir(filepath.Join(root, "lib/modules/6.2"), 0o755); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		root:                          "there are several",
		t.TempDir():                   "neither lib/modules nor modules.order",
		root + "/nosuch":              "no such file",
		modules + "/modules.order":    "want a file vmlinuz-VERSION",
		root + "/boot/vmlinuz-nosuch": "no such file",
	} {
		if k, err := find(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("findKernel(%s) = %+v, %v, want %q", spec, k, err, want)
		}
	}
}

// An image without a kernel has no modules; one that needs one says so.
func TestAddKernelErrors(t *testing.T) {
	for _, opts := range []Options{{Modules: []string{"fuse"}}, {KernelOutput: "vmlinuz"}} {
		if err := addKernel(t.Context(), newTree(), &opts, ""); err == nil || !strings.Contains(err.Error(), "no kernel is named") {
			t.Errorf("addKernel(%+v) = %v", opts, err)
		}
	}
	opts := Options{Kernel: modulesDir(t), KernelOutput: "vmlinuz", Progress: func(string) {}}
	if err := os.WriteFile(filepath.Join(opts.Kernel, "modules.order"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := addKernel(t.Context(), newTree(), &opts, ""); err == nil || !strings.Contains(err.Error(), "to copy") {
		t.Errorf("addKernel(modules only, kernel wanted) = %v", err)
	}
}
