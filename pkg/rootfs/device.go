package rootfs

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// Device is a block device and what is written on it.
type Device struct {
	Path string // /dev/vda
	Size uint64 // in bytes
	Superblock
	Partition // how the disk that it is a partition of calls it
}

// String is the device as messages show it: its path, and what is known of it.
func (d Device) String() string {
	text := d.Type
	if text == "" {
		text = "nothing known"
	}
	for _, tag := range [...]tag{
		{"UUID", d.Superblock.UUID}, {"LABEL", d.Superblock.Label},
		{"PARTUUID", d.Partition.UUID}, {"PARTLABEL", d.Partition.Label},
	} {
		if tag.value != "" {
			text += ", " + tag.kind + "=" + tag.text()
		}
	}
	return d.Path + " (" + text + ")"
}

// tag is what a device is looked for by. kind is empty for a path.
type tag struct{ kind, value string }

// parseTag reads a path, or UUID=, LABEL=, PARTUUID= or PARTLABEL= and a value, in quotes maybe, as in fstab(5).
func parseTag(s string) (tag, error) {
	kind, value, ok := strings.Cut(s, "=")
	switch kind {
	case "UUID", "LABEL", "PARTUUID", "PARTLABEL":
	default:
		ok = false
	}
	switch {
	case ok:
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		if value == "" {
			return tag{}, errors.New("an empty " + kind)
		}
		return tag{kind, value}, nil
	case strings.HasPrefix(s, "/"):
		return tag{value: s}, nil
	}
	return tag{}, errors.New("want a path, UUID=, LABEL=, PARTUUID= or PARTLABEL=")
}

// text is the value for a message.
func (t tag) text() string {
	if strings.HasSuffix(t.kind, "UUID") {
		return t.value
	}
	return strconv.Quote(t.value)
}

// matches tells whether d is a device that t, no path, stands for. UUIDs are the same in upper and lower case.
func (t tag) matches(d *Device) bool {
	switch t.kind {
	case "UUID":
		return sameUUID(t.value, d.Superblock.UUID)
	case "LABEL":
		return t.value == d.Superblock.Label
	case "PARTUUID":
		return sameUUID(t.value, d.Partition.UUID)
	default:
		return t.value == d.Partition.Label
	}
}

// sameUUID is strings.EqualFold without the tables of Unicode.
func sameUUID(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// block is a block device as the kernel lists it.
type block struct {
	name string // below /dev, as vda1
	size uint64 // in bytes
	// The disk that this is a partition of, and the number there; empty and 0 for a disk.
	disk   string
	number int
}

// parsePartitions reads the text of /proc/partitions, and changes it: major, minor, size in KiB, name. A disk's
// partitions follow it.
func parsePartitions(text []byte) []block {
	var blocks []block
	var disk string
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte("\n"))
		fields := bytes.Fields(line)
		if len(fields) != 4 {
			continue
		}
		kib, err := strconv.ParseUint(string(fields[2]), 10, 53)
		if err != nil { // the heading
			continue
		}
		for i, c := range fields[3] {
			if c == '!' { // the kernel has no slashes in names
				fields[3][i] = '/'
			}
		}
		b := block{name: string(fields[3]), size: kib << 10}
		if of, number := parent(b.name); number > 0 && of == disk {
			b.disk, b.number = of, number
		} else {
			disk = b.name
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// parent is the disk that a name would be a partition of, and the number, the way the kernel makes such names: vda and 1
// for vda1, and nvme0n1 and 1, for a p follows a digit, for nvme0n1p1. Whether there is such a disk is another matter.
func parent(name string) (disk string, number int) {
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

// most is how many devices or types a message lists.
const most = 8

// list puts words together for a message.
func list(words []string) string {
	if len(words) > most {
		words = append(words[:most:most], "...")
	}
	return strings.Join(words, ", ")
}
