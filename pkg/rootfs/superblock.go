// Package rootfs finds a guest's root file system, mounts it, and makes it the root: a block device by its path or by what
// is written on it, a type that is told or found, an overlay over it or over the root there is. Of the first root, the
// host's, nothing is needed but that it is there: not a directory, not a device node. It stays open as a descriptor, and
// nothing else of it can be seen afterwards.
package rootfs

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"unicode/utf16"
)

// Superblock is what a file system says of itself. The zero value is one that is not known.
type Superblock struct {
	Type  string // as mount(2) takes it: ext2, ext3, ext4, xfs, btrfs, erofs, squashfs, f2fs
	UUID  string // in lower case, 8-4-4-4-12; empty where there is none
	Label string // maybe not UTF-8
	Dirty bool   // a journal (ext3, ext4) or a log tree (btrfs) is to be replayed; of other types it is not known
}

// format is where a file system has its superblock, and what there. All offsets are in bytes, from the superblock on, and
// all numbers are little-endian. An offset of 0 is of what there is not.
type format struct {
	fsType      string
	at          int64
	magicAt     int
	magic       string
	uuidAt      int
	labelAt     int
	labelLength int
}

// formats are in the order of their superblocks: making a file system overwrites what was there from the start on, but
// maybe not an old superblock far behind.
var formats = [...]format{
	{"xfs", 0, 0, "XFSB", 32, 108, 12},
	{"squashfs", 0, 0, "hsqs", 0, 0, 0},
	{"erofs", 1024, 0, "\xe2\xe1\xf5\xe0", 48, 64, 16},
	{"f2fs", 1024, 0, "\x10\x20\xf5\xf2", 108, 124, 1024},
	{"ext4", 1024, 56, "\x53\xef", 104, 120, 16},
	{"btrfs", 64 << 10, 64, "_BHRfS_M", 32, 299, 256},
}

// Detect finds the file system on a device by its superblock, the way libblkid names it. It looks at two pages, of the first
// 68 KiB, and believes nothing else of them. Its error is the device's.
func Detect(r io.ReaderAt) (Superblock, error) {
	const page = 4096
	var b []byte
	at := int64(-1)
	for _, f := range formats {
		if at != f.at&^(page-1) {
			at = f.at &^ (page - 1)
			var err error
			if b, err = read(r, at, page); err != nil {
				return Superblock{}, err
			}
		}
		if sb := f.parse(b[f.at-at:]); sb.Type != "" {
			return sb, nil
		}
	}
	return Superblock{}, nil
}

// read reads size bytes at off. What is behind the end reads as zeros.
func read(r io.ReaderAt, off int64, size int) ([]byte, error) {
	b := make([]byte, size)
	if _, err := r.ReadAt(b, off); err != nil && err != io.EOF {
		return nil, err
	}
	return b, nil
}

// parse reads a superblock, if s is one of that format.
func (f *format) parse(s []byte) Superblock {
	le := binary.LittleEndian
	if string(s[f.magicAt:f.magicAt+len(f.magic)]) != f.magic {
		return Superblock{}
	}
	sb := Superblock{Type: f.fsType}
	if f.uuidAt > 0 {
		sb.UUID = uuid(s[f.uuidAt:])
	}
	text := s[f.labelAt : f.labelAt+f.labelLength]
	switch f.fsType {
	case "f2fs":
		sb.Label = utf16Label(text)
		return sb
	case "squashfs":
		if le.Uint16(s[28:]) != 4 { // the version, the only one that Linux mounts
			return Superblock{}
		}
	case "btrfs":
		sb.Dirty = le.Uint64(s[96:]) != 0
	case "ext4":
		compat, incompat, roCompat := le.Uint32(s[92:]), le.Uint32(s[96:]), le.Uint32(s[100:])
		sb.Dirty = incompat&extIncompatRecover != 0
		switch {
		case incompat&extIncompatJournal != 0:
			return Superblock{}
		case incompat&^ext3Incompat != 0 || roCompat&^ext3ROCompat != 0:
		case compat&extCompatJournal != 0:
			sb.Type = "ext3"
		default:
			sb.Type = "ext2"
		}
	}
	sb.Label = label(text)
	return sb
}

// Features of ext2, ext3 and ext4, which tell them apart.
const (
	extCompatJournal   = 0x4
	extIncompatRecover = 0x4
	extIncompatJournal = 0x8  // the device is another one's journal
	ext3Incompat       = 0x16 // what ext3 knows: FILETYPE, RECOVER, META_BG
	ext3ROCompat       = 0x7  // SPARSE_SUPER, LARGE_FILE, BTREE_DIR
)

// uuid is the text of the UUID that b begins with (RFC 9562), or nothing if it is all zeros.
func uuid(b []byte) string {
	b = b[:16]
	if [16]byte(b) == [16]byte{} {
		return ""
	}
	var text []byte
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text = append(text, '-')
		}
		text = appendHex(text, c)
	}
	return string(text)
}

// appendHex is encoding/hex without package fmt.
func appendHex(b []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	return append(b, digits[c>>4], digits[c&0xf])
}

// label is text that ends at a NUL or with b, without the blanks that some tools fill up with.
func label(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(bytes.TrimRight(b, " "))
}

// utf16Label is label of UTF-16, little-endian.
func utf16Label(b []byte) string {
	var units []uint16
	for ; len(b) >= 2 && (b[0] != 0 || b[1] != 0); b = b[2:] {
		units = append(units, binary.LittleEndian.Uint16(b))
	}
	return strings.TrimRight(string(utf16.Decode(units)), " ")
}

// Partition is how a partition table calls a partition.
type Partition struct {
	UUID  string // GPT: as a Superblock's; MBR: the disk's signature and the number, as Linux has it: 1234abcd-01
	Label string // GPT only
}

const (
	// Bounds of what is believed of a GPT: entries have 128 bytes and there are 128 of them, usually.
	gptLeast, gptMost = 128, 4096
	// gptProtective is the type of the MBR's entry that says that there is a GPT.
	gptProtective = 0xEE
)

// FindPartition looks up partition number, from 1 on, in the partition table of a disk: a GPT (UEFI specification, chapter
// 5), else an MBR. sector is the logical sector size in bytes. It returns the zero Partition where the disk has no name for
// it. Whether the tables are sound, and of an MBR whether there is such a partition, is the business of the kernel, which
// has made the partitions: here only names depend on it. Its error is the disk's.
func FindPartition(disk io.ReaderAt, sector, number int) (Partition, error) {
	if number < 1 || sector < 512 || sector > 64<<10 {
		return Partition{}, nil
	}
	mbr, err := read(disk, 0, 512)
	if err != nil || mbr[510] != 0x55 || mbr[511] != 0xAA {
		return Partition{}, err
	}
	le := binary.LittleEndian
	protective := false
	for i := range 4 {
		protective = protective || mbr[446+16*i+4] == gptProtective
	}
	if !protective {
		signature := le.Uint32(mbr[440:])
		if signature == 0 || number > 255 {
			return Partition{}, nil
		}
		var text []byte
		for shift := 24; shift >= 0; shift -= 8 {
			text = appendHex(text, byte(signature>>shift))
		}
		return Partition{UUID: string(appendHex(append(text, '-'), byte(number)))}, nil
	}

	header, err := read(disk, int64(sector), 512)
	if err != nil || string(header[:8]) != "EFI PART" {
		return Partition{}, err
	}
	table, count, size := le.Uint64(header[72:]), le.Uint32(header[80:]), le.Uint32(header[84:])
	if uint64(number) > uint64(count) || size < gptLeast || size > gptMost || number > 1<<16 || table > 1<<44 {
		return Partition{}, nil
	}
	entry, err := read(disk, int64(table)*int64(sector)+int64(number-1)*int64(size), gptLeast)
	if err != nil || [16]byte(entry) == [16]byte{} { // the zero type is an entry that is not used
		return Partition{}, err
	}
	// The first three fields of a GUID are little-endian.
	id, be := entry[16:32], binary.BigEndian
	be.PutUint32(id, le.Uint32(id))
	be.PutUint16(id[4:], le.Uint16(id[4:]))
	be.PutUint16(id[6:], le.Uint16(id[6:]))
	return Partition{UUID: uuid(id), Label: utf16Label(entry[56:128])}, nil
}
