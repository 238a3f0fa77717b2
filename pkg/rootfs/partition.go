package rootfs

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Partition is the identity of a partition in its partition table.
type Partition struct {
	// UUID is the GUID of a GPT entry, formatted like Superblock.UUID, or, for an MBR, the disk's
	// signature and the partition number as Linux writes them: 1234abcd-01.
	UUID  string
	Label string // GPT only
}

const (
	// Entry sizes of a GPT that are accepted, in bytes. 128 is usual.
	minGPTEntry, maxGPTEntry = 128, 4096
	// gptProtective is the partition type in an MBR that announces a GPT.
	gptProtective = 0xEE
)

// FindPartition looks up a partition, by its number from 1 on, in the partition table of a disk: a
// GPT (UEFI specification, chapter 5), else an MBR. sector is the logical sector size in bytes. It
// returns the zero Partition if the table does not identify it. It verifies no checksums, nor that
// an MBR has such a partition: the kernel has done so, and only names depend on the result. It
// returns an error only if the disk cannot be read.
func FindPartition(disk io.ReaderAt, sector, number int) (Partition, error) {
	if number < 1 || sector < 512 || sector > 64<<10 {
		return Partition{}, nil
	}
	mbr, err := read(disk, 0, 512)
	if err != nil || mbr[510] != 0x55 || mbr[511] != 0xAA {
		return Partition{}, err
	}
	for i := range 4 {
		if mbr[446+16*i+4] == gptProtective {
			return findGPTPartition(disk, sector, number)
		}
	}
	signature := binary.LittleEndian.Uint32(mbr[440:])
	if signature == 0 || number > 255 {
		return Partition{}, nil
	}
	return Partition{UUID: fmt.Sprintf("%08x-%02x", signature, number)}, nil
}

// findGPTPartition is FindPartition for a GPT.
func findGPTPartition(disk io.ReaderAt, sector, number int) (Partition, error) {
	le, be := binary.LittleEndian, binary.BigEndian
	header, err := read(disk, int64(sector), 512)
	if err != nil || string(header[:8]) != "EFI PART" {
		return Partition{}, err
	}
	table, count, size := le.Uint64(header[72:]), le.Uint32(header[80:]), le.Uint32(header[84:])
	if uint64(number) > uint64(count) || size < minGPTEntry || size > maxGPTEntry ||
		number > 1<<16 || table > 1<<44 {
		return Partition{}, nil
	}
	offset := int64(table)*int64(sector) + int64(number-1)*int64(size)
	entry, err := read(disk, offset, minGPTEntry)
	if err != nil || [16]byte(entry) == [16]byte{} { // an unused entry has type zero
		return Partition{}, err
	}
	// The first three fields of a GUID are little-endian.
	id := entry[16:32]
	be.PutUint32(id, le.Uint32(id))
	be.PutUint16(id[4:], le.Uint16(id[4:]))
	be.PutUint16(id[6:], le.Uint16(id[6:]))
	return Partition{UUID: uuid(id), Label: utf16Label(entry[56:128])}, nil
}

// block is a block device in the kernel's list.
type block struct {
	name string // below /dev, such as vda1
	size uint64 // in bytes
	// disk and number identify a partition; for a disk they are empty and 0.
	disk   string
	number int
}

// parsePartitions parses the text of /proc/partitions: major, minor, size in KiB, name. The
// partitions of a disk follow the disk.
func parsePartitions(text string) []block {
	var blocks []block
	var disk string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 4 {
			continue
		}
		kib, err := strconv.ParseUint(fields[2], 10, 53)
		if err != nil { // the heading
			continue
		}
		// The kernel writes a slash as an exclamation mark.
		b := block{name: strings.ReplaceAll(fields[3], "!", "/"), size: kib << 10}
		if parent, number := splitName(b.name); number > 0 && parent == disk {
			b.disk, b.number = parent, number
		} else {
			disk = b.name
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// splitName splits the kernel's name of a partition into disk and number: vda1 into vda and 1, and
// nvme0n1p1 into nvme0n1 and 1, because a p separates the number from a name that ends in a digit. It
// does not check that the disk exists. The number is 0 if name cannot be the name of a partition.
func splitName(name string) (disk string, number int) {
	disk = strings.TrimRight(name, "0123456789")
	number, err := strconv.Atoi(name[len(disk):])
	if disk == "" || err != nil {
		return "", 0
	}
	if n := len(disk); n >= 2 && disk[n-1] == 'p' && '0' <= disk[n-2] && disk[n-2] <= '9' {
		disk = disk[:n-1]
	}
	return disk, number
}
