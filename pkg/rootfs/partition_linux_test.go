package rootfs

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

// gpt returns a disk with a GPT whose third entry is used. change overrides values, as for image.
func gpt(sector int, change map[int]any) *bytes.Reader {
	entry := 2*sector + 2*128
	at := map[int]any{446 + 4: "\xee", 510: "\x55\xaa",
		sector: "EFI PART", sector + 72: uint64(2),
		sector + 80: uint32(128), sector + 84: uint32(128),
		entry: "type", entry + 16: rawUUID, entry + 56: "r\x00o\x00o\x00t\x00"}
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
		{"GPT, number too large", gpt(512, nil), 512, 129, Partition{}},
		{"GPT, large entries", gpt(512, map[int]any{512 + 84: uint32(256)}), 512, 2,
			Partition{id, "root"}},
		{"GPT, small entries", gpt(512, map[int]any{512 + 84: uint32(64)}), 512, 3, Partition{}},
		{"GPT, far away", gpt(512, map[int]any{512 + 72: uint64(1) << 44}), 512, 3, Partition{}},
		{"GPT, offset too large", gpt(512, map[int]any{512 + 72: ^uint64(0)}), 512, 3, Partition{}},
		{"no GPT", gpt(512, map[int]any{512: "EFI PORT"}), 512, 3, Partition{}},
		{"MBR", image(512, mbr), 512, 1, Partition{UUID: "1234abcd-01"}},
		{"MBR, logical partition", image(512, mbr), 4096, 26, Partition{UUID: "1234abcd-1a"}},
		{"MBR, number too large", image(512, mbr), 512, 256, Partition{}},
		{"MBR without signature", image(512, map[int]any{510: "\x55\xaa"}), 512, 1, Partition{}},
		{"no table", image(512, map[int]any{440: uint32(1)}), 512, 1, Partition{}},
		{"number 0", image(512, mbr), 512, 0, Partition{}},
		{"no sector size", gpt(512, nil), 0, 3, Partition{}},
	} {
		if got, err := FindPartition(c.disk, c.sector, c.number); got != c.want || err != nil {
			t.Errorf("FindPartition(%s, %d, %d) = %+v, %v, want %+v",
				c.name, c.sector, c.number, got, err, c.want)
		}
	}
	if got, err := FindPartition(broken{}, 512, 1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("FindPartition(broken) = %+v, %v, want the disk's error", got, err)
	}
}

// FuzzDevice checks that no contents of a device cause an error or a message of several lines.
func FuzzDevice(f *testing.F) {
	add := func(r *bytes.Reader, far string) {
		head := make([]byte, 4096) // the fuzzer is slow with more
		n, _ := r.ReadAt(head, 0)
		f.Add(head[:n], []byte(far), 512, 3)
	}
	add(ext(0x3c, 0x2c6, 0x46b), "")
	add(gpt(512, nil), strings.Repeat("x", 64)+"_BHRfS_M")
	utf16 := strings.Repeat("\x00\xd8", 512)
	add(image(4096, map[int]any{1024: uint32(0xF2F52010), 1024 + 124: utf16}), "")
	f.Fuzz(func(t *testing.T, head, far []byte, sector, number int) {
		data := head
		if len(head) <= 64<<10 && len(far) > 0 {
			data = append(make([]byte, 64<<10), far...)
			copy(data, head)
		}
		r := bytes.NewReader(data)
		sb, err := Detect(r)
		if err != nil || sb.Type == "" && sb != (Superblock{}) {
			t.Errorf("Detect() = %+v, %v", sb, err)
		}
		p, err := FindPartition(r, sector, number)
		if err != nil {
			t.Errorf("FindPartition() = %+v, %v", p, err)
		}
		if s := (Device{Superblock: sb, Partition: p}).String(); strings.ContainsAny(s, "\n\x00") {
			t.Errorf("String() = %q, want one line", s)
		}
	})
}

func TestParsePartitions(t *testing.T) {
	const text = `major minor  #blocks  name

 254        0      32768 vda
 254        1       1024 vda1
 254       15       1024 vda15
 259        0    1000000 nvme0n1
 259        1        500 nvme0n1p1
 179        0        100 mmcblk0
 179        8          4 mmcblk0boot0
 104        0        100 cciss!c0d0
 104        1         50 cciss!c0d0p1
   7        0          0 loop0
 202        1         10 xvda1
 nonsense
   1        1          1 7
 1 1 -5 vdz
`
	want := []block{
		{"vda", 32768 << 10, "", 0}, {"vda1", 1 << 20, "vda", 1}, {"vda15", 1 << 20, "vda", 15},
		{"nvme0n1", 1000000 << 10, "", 0}, {"nvme0n1p1", 500 << 10, "nvme0n1", 1},
		{"mmcblk0", 100 << 10, "", 0}, {"mmcblk0boot0", 4 << 10, "", 0},
		{"cciss/c0d0", 100 << 10, "", 0}, {"cciss/c0d0p1", 50 << 10, "cciss/c0d0", 1},
		{"loop0", 0, "", 0}, {"xvda1", 10 << 10, "", 0}, {"7", 1 << 10, "", 0},
	}
	if got := parsePartitions(text); !slices.Equal(got, want) {
		t.Errorf("parsePartitions() = %v, want %v", got, want)
	}
}

// FuzzParsePartitions checks that a partition has a number and a disk, whose name is its prefix.
func FuzzParsePartitions(f *testing.F) {
	f.Add("1 1 1 sdp\n1 1 1 sdp1\n1 1 1 p1\n1 1 1 0p1\n1 1 1 7")
	f.Fuzz(func(t *testing.T, text string) {
		for _, b := range parsePartitions(text) {
			if (b.disk == "") != (b.number == 0) || !strings.HasPrefix(b.name, b.disk) {
				t.Errorf("parsePartitions(%q) has %+v", text, b)
			}
		}
	})
}
