package rootfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// image returns a device of size bytes with values, strings or little-endian numbers, at offsets.
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

// ext returns a device with a superblock of ext2, ext3 or ext4 with the given features.
func ext(compat, incompat, roCompat uint32) *bytes.Reader {
	return image(8<<10, map[int]any{1024 + 56: uint16(0xEF53),
		1024 + 92: compat, 1024 + 96: incompat, 1024 + 100: roCompat,
		1024 + 104: rawUUID, 1024 + 120: "sixteen letters!last mounted on"})
}

func TestDetect(t *testing.T) {
	const label = "sixteen letters!"
	const btrfs = 64 << 10
	for _, c := range []struct {
		name  string
		image *bytes.Reader
		want  Superblock
	}{
		{"nothing", image(1<<20, nil), Superblock{}},
		{"no bytes", image(0, nil), Superblock{}},
		// The features are those that mke2fs sets.
		{"ext2", ext(0x38, 0x2, 0x3), Superblock{"ext2", textUUID, label, false}},
		{"ext3", ext(0x3c, 0x2, 0x3), Superblock{"ext3", textUUID, label, false}},
		{"ext3, dirty", ext(0x3c, 0x6, 0x3), Superblock{"ext3", textUUID, label, true}},
		{"ext4", ext(0x3c, 0x2c2, 0x46b), Superblock{"ext4", textUUID, label, false}},
		{"ext4, dirty", ext(0x3c, 0x2c6, 0x46b), Superblock{"ext4", textUUID, label, true}},
		{"ext4 by ro_compat", ext(0x3c, 0x2, 0x8), Superblock{"ext4", textUUID, label, false}},
		{"ext4, no journal", ext(0x38, 0x2c2, 0x46b), Superblock{"ext4", textUUID, label, false}},
		{"journal of another device", ext(0, 0x8, 0), Superblock{}},
		{"xfs", image(4096, map[int]any{0: "XFSB", 32: rawUUID, 108: "x label \x00..."}),
			Superblock{"xfs", textUUID, "x label", false}},
		{"xfs, truncated", image(60, map[int]any{0: "XFSB", 32: rawUUID}),
			Superblock{"xfs", textUUID, "", false}},
		{"btrfs", image(80<<10, map[int]any{btrfs + 64: "_BHRfS_M",
			btrfs + 32: rawUUID, btrfs + 0x12b: "b\xff"}),
			Superblock{"btrfs", textUUID, "b\xff", false}},
		{"btrfs, dirty", image(66<<10, map[int]any{btrfs + 64: "_BHRfS_M",
			btrfs + 96: uint64(1 << 40)}),
			Superblock{Type: "btrfs", Dirty: true}},
		{"erofs", image(4096, map[int]any{1024: uint32(0xE0F5E1E2),
			1024 + 48: rawUUID, 1024 + 64: "e"}),
			Superblock{"erofs", textUUID, "e", false}},
		{"squashfs", image(4096, map[int]any{0: "hsqs", 28: uint16(4)}),
			Superblock{Type: "squashfs"}},
		{"squashfs 3", image(4096, map[int]any{0: "hsqs", 28: uint16(3)}), Superblock{}},
		{"f2fs", image(4096, map[int]any{1024: uint32(0xF2F52010), 1024 + 108: rawUUID,
			1024 + 124: "f\x00\xa9\x03\x3d\xd8\x00\xde"}),
			Superblock{"f2fs", textUUID, "fΩ😀", false}},
		{"ext2 over an old btrfs", image(80<<10, map[int]any{1024 + 56: uint16(0xEF53),
			btrfs + 64: "_BHRfS_M"}),
			Superblock{Type: "ext2"}},
	} {
		if got, err := Detect(c.image); got != c.want || err != nil {
			t.Errorf("Detect(%s) = %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

// broken is a device that cannot be read from an offset on, as one with bad sectors.
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

// makeExt makes a file system of 8 MiB with the label "a label".
func makeExt(t *testing.T, path, fs string) {
	t.Helper()
	mke2fs, err := exec.LookPath("mke2fs")
	if err != nil {
		t.Skip("no mke2fs")
	}
	cmd := exec.Command(mke2fs, "-q", "-t", fs, "-U", textUUID, "-L", "a label", path, "8M")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
}

// TestDetectMke2fs checks that Detect recognizes what mke2fs has made.
func TestDetectMke2fs(t *testing.T) {
	for _, fs := range []string{"ext2", "ext3", "ext4"} {
		path := filepath.Join(t.TempDir(), fs)
		makeExt(t, path, fs)
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
