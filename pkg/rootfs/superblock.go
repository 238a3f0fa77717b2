package rootfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// Superblock describes a file system by its superblock. The zero value stands for unknown contents.
type Superblock struct {
	Type  string // as for mount(2): ext2, ext3, ext4, xfs, btrfs, erofs, squashfs or f2fs
	UUID  string // in lower case, 8-4-4-4-12; empty if it has none
	Label string // may be invalid UTF-8
	// Dirty says that a journal (ext3, ext4) or a log tree (btrfs) must be replayed. It is false
	// for other types.
	Dirty bool
}

// format describes the superblock of a file system. Offsets and lengths are in bytes. The fields
// whose names end in At are offsets from the start of the superblock.
type format struct {
	fsType      string
	offset      int64 // of the superblock on the device
	magicAt     int
	magic       string
	uuidAt      int // 0 if it has no UUID
	labelAt     int
	labelLength int
}

// formats is sorted by offset. Making a file system overwrites an old superblock at the start of the
// device, but may leave one at a greater offset, so the first match counts.
var formats = [...]format{
	{"xfs", 0, 0, "XFSB", 32, 108, 12},
	{"squashfs", 0, 0, "hsqs", 0, 0, 0},
	{"erofs", 1024, 0, "\xe2\xe1\xf5\xe0", 48, 64, 16},
	{"f2fs", 1024, 0, "\x10\x20\xf5\xf2", 108, 124, 1024},
	{"ext4", 1024, 56, "\x53\xef", 104, 120, 16},
	{"btrfs", 64 << 10, 64, "_BHRfS_M", 32, 299, 256},
}

// Detect identifies the file system on a device by its superblock, with the type names of libblkid.
// It reads two pages within the first 68 KiB. It returns an error only if the device cannot be read;
// for unknown contents it returns the zero Superblock.
func Detect(r io.ReaderAt) (Superblock, error) {
	const pageSize = 4096
	var page []byte
	start := int64(-1)
	for _, f := range formats {
		if start != f.offset&^(pageSize-1) {
			start = f.offset &^ (pageSize - 1)
			var err error
			if page, err = read(r, start, pageSize); err != nil {
				return Superblock{}, err
			}
		}
		if sb := f.parse(page[f.offset-start:]); sb.Type != "" {
			return sb, nil
		}
	}
	return Superblock{}, nil
}

// read returns size bytes at offset. Bytes after the end of the device are zero.
func read(r io.ReaderAt, offset int64, size int) ([]byte, error) {
	b := make([]byte, size)
	if _, err := r.ReadAt(b, offset); err != nil && err != io.EOF {
		return nil, err
	}
	return b, nil
}

// parse parses the superblock s, whose numbers are little-endian. It returns the zero Superblock if s
// has another format.
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
		if le.Uint16(s[28:]) != 4 { // the only version that Linux mounts
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

// Features by which ext2, ext3 and ext4 differ.
const (
	extCompatJournal   = 0x4
	extIncompatRecover = 0x4
	extIncompatJournal = 0x8  // the device holds the journal of another device
	ext3Incompat       = 0x16 // supported by ext3: FILETYPE, RECOVER, META_BG
	ext3ROCompat       = 0x7  // supported by ext3: SPARSE_SUPER, LARGE_FILE, BTREE_DIR
)

// uuid formats the UUID at the start of b (RFC 9562). It returns "" if all bytes are zero.
func uuid(b []byte) string {
	if [16]byte(b) == [16]byte{} {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// label returns the text in b up to a NUL or the end, without the trailing blanks that some tools add.
func label(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(bytes.TrimRight(b, " "))
}

// utf16Label is label for little-endian UTF-16.
func utf16Label(b []byte) string {
	var units []uint16
	for ; len(b) >= 2 && (b[0] != 0 || b[1] != 0); b = b[2:] {
		units = append(units, binary.LittleEndian.Uint16(b))
	}
	return strings.TrimRight(string(utf16.Decode(units)), " ")
}
