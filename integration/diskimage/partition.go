package diskimage

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"unicode/utf16"
)

const (
	sectorSize = 512
	alignment  = 1 << 20 // alignment of partitions, bytes
)

// A Partition is a partition of a disk.
type Partition struct {
	Image string // path of the file that is copied into the partition
	UUID  string // GPT only
	Label string // GPT only; at most 36 UTF-16 code units

	offset, size int64
}

// CreateGPT creates an image of a disk with a GUID partition table (UEFI specification, section 5).
// uuid is the UUID of the disk. It fails if an image cannot be read, or a UUID or label is invalid.
func CreateGPT(path, uuid string, partitions []Partition) error {
	const (
		entries     = 128
		entrySize   = 128
		headerSize  = 92
		tableBlocks = entries * entrySize / sectorSize
		linuxData   = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	)
	disk, size, err := create(path, partitions)
	if err != nil {
		return err
	}
	defer disk.Close()

	table := make([]byte, entries*entrySize)
	for i, p := range partitions {
		e := table[i*entrySize:][:entrySize]
		if err := putGUID(e, linuxData); err != nil {
			return err
		}
		if err := putGUID(e[16:], p.UUID); err != nil {
			return err
		}
		binary.LittleEndian.PutUint64(e[32:], uint64(p.offset/sectorSize))
		binary.LittleEndian.PutUint64(e[40:], uint64((p.offset+p.size)/sectorSize-1))
		label := utf16.Encode([]rune(p.Label))
		if _, err := binary.Encode(e[56:], binary.LittleEndian, label); err != nil {
			return fmt.Errorf("partition label %q: %w", p.Label, err)
		}
	}
	last := size/sectorSize - 1
	header := func(self, other, table int64, sum uint32) ([]byte, error) {
		h := make([]byte, sectorSize)
		copy(h, "EFI PART\x00\x00\x01\x00")
		binary.LittleEndian.PutUint32(h[12:], headerSize)
		// Partitions can be in the blocks between the third and the fourth, inclusive.
		for i, block := range []int64{self, other, 2 + tableBlocks, last - tableBlocks - 1} {
			binary.LittleEndian.PutUint64(h[24+8*i:], uint64(block))
		}
		if err := putGUID(h[56:], uuid); err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint64(h[72:], uint64(table))
		for i, n := range []uint32{entries, entrySize, sum} {
			binary.LittleEndian.PutUint32(h[80+4*i:], n)
		}
		binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:headerSize]))
		return h, nil
	}
	sum := crc32.ChecksumIEEE(table)
	first, err := header(1, last, 2, sum)
	if err != nil {
		return err
	}
	backup, err := header(last, 1, last-tableBlocks, sum)
	if err != nil {
		return err
	}
	return writeAll(disk,
		piece{protectiveMBR(last), 0}, piece{first, sectorSize}, piece{table, 2 * sectorSize},
		piece{table, (last - tableBlocks) * sectorSize}, piece{backup, last * sectorSize})
}

// CreateMBR creates an image of a disk with a master boot record and at most four partitions. In
// the kernel, the UUID of partition 1 is ddddeeee-01 if the signature is 0xddddeeee. It fails if
// there are too many partitions or an image cannot be read.
func CreateMBR(path string, signature uint32, partitions []Partition) error {
	if len(partitions) > 4 {
		return fmt.Errorf("%s: %d partitions, want at most 4", path, len(partitions))
	}
	disk, _, err := create(path, partitions)
	if err != nil {
		return err
	}
	defer disk.Close()
	mbr := newMBR(signature)
	const linux = 0x83
	for i, p := range partitions {
		putMBREntry(mbr, i, linux, p.offset/sectorSize, p.size/sectorSize)
	}
	return writeAll(disk, piece{mbr, 0})
}

func newMBR(signature uint32) []byte {
	mbr := make([]byte, sectorSize)
	binary.LittleEndian.PutUint32(mbr[440:], signature)
	copy(mbr[510:], "\x55\xaa")
	return mbr
}

func putMBREntry(mbr []byte, n int, kind byte, first, sectors int64) {
	e := mbr[446+16*n:]
	e[4] = kind
	binary.LittleEndian.PutUint32(e[8:], uint32(first))
	binary.LittleEndian.PutUint32(e[12:], uint32(sectors))
}

// protectiveMBR returns a master boot record with one partition that occupies the whole disk, for
// programs that do not support GPT. last is the last sector of the disk.
func protectiveMBR(last int64) []byte {
	mbr := newMBR(0)
	putMBREntry(mbr, 0, 0xee, 1, last)
	return mbr
}

// create creates an image of a disk with the partitions, but without a partition table, and sets
// the partitions' offset and size. Partitions are padded with zeroes to a multiple of the
// alignment.
func create(path string, partitions []Partition) (disk *os.File, size int64, err error) {
	size = alignment
	for i := range partitions {
		p := &partitions[i]
		info, err := os.Stat(p.Image)
		if err != nil {
			return nil, 0, err
		}
		p.offset, p.size = size, (info.Size()+alignment-1)/alignment*alignment
		size += p.size
	}
	size += alignment // room for the backup table
	if err := createSparse(path, size); err != nil {
		return nil, 0, err
	}
	disk, err = os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, err
	}
	for _, p := range partitions {
		if err := copyFile(disk, p.offset, p.Image); err != nil {
			disk.Close()
			return nil, 0, err
		}
	}
	return disk, size, nil
}

func copyFile(disk *os.File, offset int64, image string) error {
	f, err := os.Open(image)
	if err != nil {
		return err
	}
	defer f.Close()
	return copySparse(disk, offset, f)
}

// Extract copies the partition p of an image to the file to. p must be one of the partitions that
// were passed to CreateGPT or CreateMBR.
func Extract(disk string, p Partition, to string) error {
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := createSparse(to, p.size); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer out.Close()
	return copySparse(out, 0, io.NewSectionReader(f, p.offset, p.size))
}

// copySparse copies the data of from to a sparse file at offset. It does not write blocks of
// zeroes.
func copySparse(to *os.File, offset int64, from io.Reader) error {
	buf, zeroes := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(from, buf)
		if !bytes.Equal(buf[:n], zeroes[:n]) {
			if _, err := to.WriteAt(buf[:n], offset); err != nil {
				return err
			}
		}
		offset += int64(n)
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}

// piece is data at an offset of a disk.
type piece struct {
	data   []byte
	offset int64
}

func writeAll(disk *os.File, pieces ...piece) error {
	for _, p := range pieces {
		if _, err := disk.WriteAt(p.data, p.offset); err != nil {
			return err
		}
	}
	return nil
}

// putGUID writes a UUID to b in UEFI's format, in which the first three fields are little-endian.
func putGUID(b []byte, uuid string) error {
	raw, err := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	if err != nil || len(raw) != 16 {
		return fmt.Errorf("UUID %q: want 32 hexadecimal digits", uuid)
	}
	for i, from := range []int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} {
		b[i] = raw[from]
	}
	return nil
}
