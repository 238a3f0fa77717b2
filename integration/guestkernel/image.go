package guestkernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
)

// bundleSymbol is the symbol of the kernel image in libkrunfw.
const bundleSymbol = "KERNEL_BUNDLE"

const (
	// loadAddress is the physical address for which an x86-64 image is linked. The PVH entry point
	// is at the start of the image.
	loadAddress = 0x1000000

	// bssSize is the number of bytes after the image that the loader sets to zero. The image does
	// not contain the size of its .bss, which is smaller than this.
	bssSize = 32 << 20

	// notePVHEntry is XEN_ELFNOTE_PHYS32_ENTRY, the type of the ELF note with the name "Xen" that
	// contains the 32-bit PVH entry point.
	notePVHEntry = 18
)

// kernelBundle returns the kernel image in the libkrunfw library at path.
func kernelBundle(path string) ([]byte, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, symbol := range symbols {
		if symbol.Name != bundleSymbol || symbol.Size < 2 {
			continue
		}
		image := make([]byte, symbol.Size-1) // without the zero byte at the end of a C string
		for _, prog := range f.Progs {
			if prog.Type != elf.PT_LOAD ||
				symbol.Value < prog.Vaddr || symbol.Value >= prog.Vaddr+prog.Filesz {
				continue
			}
			if _, err := prog.ReadAt(image, int64(symbol.Value-prog.Vaddr)); err != nil {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return nil, fmt.Errorf("%s: symbol %s: %w", path, bundleSymbol, err)
			}
			return image, nil
		}
	}
	return nil, fmt.Errorf("%s: no data for symbol %s", path, bundleSymbol)
}

// pvhELF returns an ELF file with a raw x86-64 kernel image, which boots by the PVH protocol. QEMU
// loads only such files and bzImages as 64-bit kernels.
func pvhELF(image []byte) []byte {
	const (
		headerSize = 64 // size of elf.Header64
		progSize   = 56 // size of elf.Prog64
		noteOffset = headerSize + 2*progSize
		dataOffset = 0x1000 // page-aligned, as loadAddress is
	)
	note := struct {
		NameSize, DescSize, Type uint32
		Name                     [4]byte
		Desc                     uint64
	}{NameSize: 4, DescSize: 8, Type: notePVHEntry, Name: [4]byte{'X', 'e', 'n'}, Desc: loadAddress}
	noteSize := uint64(binary.Size(note))

	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT),
		},
		Type:      uint16(elf.ET_EXEC),
		Machine:   uint16(elf.EM_X86_64),
		Version:   uint32(elf.EV_CURRENT),
		Entry:     loadAddress,
		Phoff:     headerSize,
		Ehsize:    headerSize,
		Phentsize: progSize,
		Phnum:     2,
	}
	load := elf.Prog64{
		Type:   uint32(elf.PT_LOAD),
		Flags:  uint32(elf.PF_R | elf.PF_W | elf.PF_X),
		Off:    dataOffset,
		Vaddr:  loadAddress,
		Paddr:  loadAddress,
		Filesz: uint64(len(image)),
		Memsz:  uint64(len(image)) + bssSize,
		Align:  dataOffset,
	}
	noteProg := elf.Prog64{
		Type:   uint32(elf.PT_NOTE),
		Flags:  uint32(elf.PF_R),
		Off:    noteOffset,
		Filesz: noteSize,
		Memsz:  noteSize,
		Align:  4,
	}

	var out bytes.Buffer
	out.Grow(dataOffset + len(image))
	for _, part := range []any{header, load, noteProg, note} {
		binary.Write(&out, binary.LittleEndian, part) // Buffer.Write never fails
	}
	out.Write(make([]byte, dataOffset-out.Len()))
	out.Write(image)
	return out.Bytes()
}
