package rootfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// image is a device of size bytes with values at offsets: strings, and little-endian numbers.
func image(size int, at map[int]any) *bytes.Reader {
	b := make([]byte, size)
	for off, v := range at {
		switch v := v.(type) {
		case string:
			copy(b[off:], v)
		case uint16:
			binary.LittleEndian.PutUint16(b[off:], v)
		case uint32:
			binary.LittleEndian.PutUint32(b[off:], v)
		case uint64:
			binary.LittleEndian.PutUint64(b[off:], v)
		default:
			panic(v)
		}
	}
	return bytes.NewReader(b)
}

const (
	rawUUID  = "\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10"
	textUUID = "01234567-89ab-cdef-fedc-ba9876543210"
)

// ext is the superblock of ext2, ext3 or ext4 with these features.
func ext(compat, incompat, roCompat uint32) *bytes.Reader {
	return image(8<<10, map[int]any{1024 + 56: uint16(0xEF53), 1024 + 92: compat, 1024 + 96: incompat, 1024 + 100: roCompat,
		1024 + 104: rawUUID, 1024 + 120: "sixteen letters!last mounted on"})
}

func TestDetect(t *testing.T) {
	const label = "sixteen letters!"
	for _, c := range []struct {
		name  string
		image *bytes.Reader
		want  Superblock
	}{
		{"nothing", image(1<<20, nil), Superblock{}},
		{"no bytes", image(0, nil), Superblock{}},
		// Features as mke2fs sets them.
		{"ext2", ext(0x38, 0x2, 0x3), Superblock{"ext2", textUUID, label, false}},
		{"ext3", ext(0x3c, 0x2, 0x3), Superblock{"ext3", textUUID, label, false}},
		{"ext3, dirty", ext(0x3c, 0x6, 0x3), Superblock{"ext3", textUUID, label, true}},
		{"ext4", ext(0x3c, 0x2c2, 0x46b), Superblock{"ext4", textUUID, label, false}},
		{"ext4, dirty", ext(0x3c, 0x2c6, 0x46b), Superblock{"ext4", textUUID, label, true}},
		{"ext4 by its ro_compat only", ext(0x3c, 0x2, 0x8), Superblock{"ext4", textUUID, label, false}},
		{"ext4 without journal", ext(0x38, 0x2c2, 0x46b), Superblock{"ext4", textUUID, label, false}},
		{"journal of another device", ext(0, 0x8, 0), Superblock{}},
		{"xfs", image(4096, map[int]any{0: "XFSB", 32: rawUUID, 108: "x label \x00..."}),
			Superblock{"xfs", textUUID, "x label", false}},
		{"xfs, cut off", image(60, map[int]any{0: "XFSB", 32: rawUUID}), Superblock{"xfs", textUUID, "", false}},
		{"btrfs", image(80<<10, map[int]any{65536 + 64: "_BHRfS_M", 65536 + 32: rawUUID, 65536 + 0x12b: "b\xff"}),
			Superblock{"btrfs", textUUID, "b\xff", false}},
		{"btrfs, dirty", image(66<<10, map[int]any{65536 + 64: "_BHRfS_M", 65536 + 96: uint64(1 << 40)}),
			Superblock{Type: "btrfs", Dirty: true}},
		{"erofs", image(4096, map[int]any{1024: uint32(0xE0F5E1E2), 1024 + 48: rawUUID, 1024 + 64: "e"}),
			Superblock{"erofs", textUUID, "e", false}},
		{"squashfs", image(4096, map[int]any{0: "hsqs", 28: uint16(4)}), Superblock{Type: "squashfs"}},
		{"squashfs 3", image(4096, map[int]any{0: "hsqs", 28: uint16(3)}), Superblock{}},
		{"f2fs", image(4096, map[int]any{1024: uint32(0xF2F52010), 1024 + 108: rawUUID,
			1024 + 124: "f\x00\xa9\x03\x3d\xd8\x00\xde"}),
			Superblock{"f2fs", textUUID, "fΩ😀", false}},
		{"ext2 over an old btrfs", image(80<<10, map[int]any{1024 + 56: uint16(0xEF53), 65536 + 64: "_BHRfS_M"}),
			Superblock{Type: "ext2"}},
	} {
		if got, err := Detect(c.image); got != c.want || err != nil {
			t.Errorf("Detect(%s) = %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

// A reader that fails, as a device with bad sectors does.
type broken struct{ from int64 }

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off >= b.from {
		return 0, io.ErrUnexpectedEOF
	}
	return len(p), nil
}

func TestDetectBroken(t *testing.T) {
	for _, from := range []int64{0, 1 << 16} {
		if got, err := Detect(broken{from}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Detect(broken from %d on) = %+v, %v, want the device's error", from, got, err)
		}
	}
}

// What mke2fs makes is found as what it was told to make.
func TestDetectMke2fs(t *testing.T) {
	mke2fs, err := exec.LookPath("mke2fs")
	if err != nil {
		t.Skip("no mke2fs")
	}
	for _, fs := range []string{"ext2", "ext3", "ext4"} {
		path := filepath.Join(t.TempDir(), fs)
		out, err := exec.Command(mke2fs, "-q", "-t", fs, "-U", textUUID, "-L", "a label", path, "4M").CombinedOutput()
		if err != nil {
			t.Fatalf("mke2fs: %v: %s", err, out)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		want := Superblock{Type: fs, UUID: textUUID, Label: "a label"}
		if got, err := Detect(f); got != want || err != nil {
			t.Errorf("Detect(%s) = %+v, %v, want %+v", fs, got, err, want)
		}
	}
}

// gpt is a disk with one entry of a GPT, the third one.
func gpt(sector int, change map[int]any) *bytes.Reader {
	entry := 2*sector + 2*128
	at := map[int]any{446 + 4: "\xee", 510: "\x55\xaa", sector: "EFI PART", sector + 72: uint64(2), sector + 80: uint32(128),
		sector + 84: uint32(128), entry: "type", entry + 16: rawUUID, entry + 56: "r\x00o\x00o\x00t\x00"}
	maps.Copy(at, change)
	return image(64<<10, at)
}

func TestFindPartition(t *testing.T) {
	const id = "67452301-ab89-efcd-fedc-ba9876543210" // rawUUID as a GUID
	mbr := map[int]any{440: uint32(0x1234ABCD), 510: "\x55\xaa"}
	for _, c := range []struct {
		name           string
		disk           *bytes.Reader
		sector, number int
		want           Partition
	}{
		{"GPT", gpt(512, nil), 512, 3, Partition{id, "root"}},
		{"GPT of large sectors", gpt(4096, nil), 4096, 3, Partition{id, "root"}},
		{"GPT, wrong sector size", gpt(4096, nil), 512, 3, Partition{}},
		{"GPT, unused entry", gpt(512, nil), 512, 2, Partition{}},
		{"GPT, behind the table", gpt(512, nil), 512, 129, Partition{}},
		{"GPT, large entries", gpt(512, map[int]any{512 + 84: uint32(256)}), 512, 2, Partition{id, "root"}},
		{"GPT, entries too small", gpt(512, map[int]any{512 + 84: uint32(64)}), 512, 3, Partition{}},
		{"GPT, far away", gpt(512, map[int]any{512 + 72: uint64(1) << 44}), 512, 3, Partition{}},
		{"GPT, nowhere", gpt(512, map[int]any{512 + 72: ^uint64(0)}), 512, 3, Partition{}},
		{"no GPT", gpt(512, map[int]any{512: "EFI PORT"}), 512, 3, Partition{}},
		{"MBR", image(512, mbr), 512, 1, Partition{UUID: "1234abcd-01"}},
		{"MBR, logical partition", image(512, mbr), 4096, 26, Partition{UUID: "1234abcd-1a"}},
		{"MBR, number too large", image(512, mbr), 512, 256, Partition{}},
		{"MBR without signature", image(512, map[int]any{510: "\x55\xaa"}), 512, 1, Partition{}},
		{"no table", image(512, map[int]any{440: uint32(1)}), 512, 1, Partition{}},
		{"no number", image(512, mbr), 512, 0, Partition{}},
		{"no sector size", gpt(512, nil), 0, 3, Partition{}},
	} {
		if got, err := FindPartition(c.disk, c.sector, c.number); got != c.want || err != nil {
			t.Errorf("FindPartition(%s, %d, %d) = %+v, %v, want %+v", c.name, c.sector, c.number, got, err, c.want)
		}
	}
	if got, err := FindPartition(broken{}, 512, 1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("FindPartition(broken) = %+v, %v, want the disk's error", got, err)
	}
}

// Whatever is on a device, it is looked at without a panic, and an empty UUID or name is none.
func FuzzDevice(f *testing.F) {
	add := func(r *bytes.Reader, far string) {
		head := make([]byte, 4096) // the fuzzer is slow with more
		n, _ := r.ReadAt(head, 0)
		f.Add(head[:n], []byte(far), 512, 3)
	}
	add(ext(0x3c, 0x2c6, 0x46b), "")
	add(gpt(512, nil), strings.Repeat("x", 64)+"_BHRfS_M")
	add(image(4096, map[int]any{1024: uint32(0xF2F52010), 1024 + 124: strings.Repeat("\x00\xd8", 512)}), "")
	f.Fuzz(func(t *testing.T, head, far []byte, sector, number int) {
		data := head
		if len(head) <= 64<<10 && len(far) > 0 {
			data = append(make([]byte, 64<<10), far...)
			copy(data, head)
		}
		r := bytes.NewReader(data)
		sb, err := Detect(r)
		if err != nil || sb.Type == "" && sb != (Superblock{}) {
			t.Errorf("Detect = %+v, %v", sb, err)
		}
		p, err := FindPartition(r, sector, number)
		if err != nil {
			t.Errorf("FindPartition = %+v, %v", p, err)
		}
		if s := (Device{Superblock: sb, Partition: p}).String(); strings.ContainsAny(s, "\n\x00") {
			t.Errorf("String = %q, want one line", s)
		}
	})
}
