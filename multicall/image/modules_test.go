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

// moduleFile returns a relocatable ELF file with a section .modinfo that has the entries.
func moduleFile(t *testing.T, entries ...string) []byte {
	t.Helper()
	modinfo := strings.Join(entries, "\x00") + "\x00"
	const names = "\x00.modinfo\x00.shstrtab\x00"
	const headerSize, sectionSize = 64, 64
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT),
		},
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Shoff: headerSize, Ehsize: headerSize, Shentsize: sectionSize, Shnum: 3, Shstrndx: 2,
	}
	data, size := uint64(headerSize+3*sectionSize), uint64(len(modinfo))
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: data, Size: size, Addralign: 1},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: data + size, Size: uint64(len(names)),
			Addralign: 1},
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

// modulesDir makes a directory of a kernel's modules, some of which are compressed.
func modulesDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "6.1.0-test")
	for file, entries := range map[string][]string{
		"kernel/drivers/a/top-level.ko": {"license=GPL", "depends=middle,bottom"},
		"kernel/drivers/a/middle.ko.gz": {
			"depends=bottom", "softdep=pre: wanted missing post: later",
		},
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
	for file, text := range map[string]string{
		"modules.builtin":         "kernel/lib/built-in.ko\n",
		"kernel/lib/notes.ko.txt": "not a module",
	} {
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
		want  []string // paths in the list, without their common prefix and suffix
		err   string
	}{
		{names: []string{"top_level"}, want: []string{
			"lib/wanted", "lib/bottom", "drivers/a/middle", "lib/later", "drivers/a/top-level",
		}},
		{names: []string{"bottom", "top-level"}, want: []string{
			"lib/bottom", "lib/wanted", "drivers/a/middle", "lib/later", "drivers/a/top-level",
		}},
		{names: []string{"built_in", "default"}},
		{names: nil},
		{names: []string{"loop"}, want: []string{"lib/pool", "lib/loop"}},
		{names: []string{"nosuch"}, err: "module nosuch: not in " + dir},
		{names: []string{"broken_dependency"},
			err: "module nosuch: not in " + dir + ", but broken_dependency depends on it"},
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
				t.Errorf("addModules(%q) lists %s, want an uncompressed module", tt.names, path)
			}
			path = strings.TrimPrefix(path, "/lib/modules/6.1.0-test/kernel/")
			got = append(got, strings.TrimSuffix(path, ".ko"))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("addModules(%q) lists %q, want %q", tt.names, got, tt.want)
		}
	}
}
