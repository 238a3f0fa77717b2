package guestkernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
)

// bundleSymbol is what libkrunfw calls the kernel image it carries.
const bundleSymbol = "KERNEL_BUNDLE"

const (
	// loadAddress is the physical address an x86-64 image was linked for. Its first instruction is the PVH entry point.
	loadAddress = 0x1000000

	// bssSize is how much memory behind the image the loader sets to zero. The image does not say how large its .bss
	// is, and this is more than enough.
	bssSize = 32 << 20

	// notePVHEntry is the type of the "Xen" ELF note that holds the 32-bit PVH entry point
	// (XEN_ELFNOTE_PHYS32_ENTRY).
	notePVHEntry = 18
)

// kernelBundle returns the kernel image inside the libkrunfw library at path.
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
		image := make([]byte, symbol.Size-1) // the array ends with the zero byte of a C string
		for _, prog := range f.Progs {
			if prog.Type != elf.PT_LOAD || symbol.Value < prog.Vaddr || symbol.Value >= prog.Vaddr+prog.Filesz {
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
	return nil, fmt.Errorf("%s: no symbol %s with contents", path, bundleSymbol)
}

// pvhELF wraps a raw x86-64 kernel image into an ELF file that boots by the PVH protocol, the only kind of 64-bit
// kernel besides a bzImage that QEMU loads.
func pvhELF(image []byte) []byte {
	const (
		headerSize = 64 // of elf.Header64
		progSize   = 56 // of elf.Prog64
		noteOffset = headerSize + 2*progSize
		dataOffset = 0x1000 // as the load address, a multiple of the page size
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
		binary.Write(&out, binary.LittleEndian, part) // a Buffer's Write never fails
	}
	out.Write(make([]byte, dataOffset-out.Len()))
	out.Write(image)
	return out.Bytes()
}
