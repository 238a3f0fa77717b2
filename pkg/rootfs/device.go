package rootfs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Device is a block device and its contents.
type Device struct {
	Path string // /dev/vda
	Size uint64 // in bytes
	Superblock
	Partition // zero for a disk
}

// String returns the path and what identifies the device, for messages.
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
	return fmt.Sprintf("%s (%s)", d.Path, text)
}

// tag names a device: by a path if kind is empty, else by its UUID, LABEL, PARTUUID or PARTLABEL.
type tag struct{ kind, value string }

// parseTag parses a path, or UUID=, LABEL=, PARTUUID= or PARTLABEL= and a value, perhaps in quotes,
// as in fstab(5).
func parseTag(s string) (tag, error) {
	kind, value, ok := strings.Cut(s, "=")
	switch kind {
	case "UUID", "LABEL", "PARTUUID", "PARTLABEL":
	default:
		ok = false
	}
	switch {
	case ok:
		n := len(value)
		if n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
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

// text returns the value for a message. Labels are quoted.
func (t tag) text() string {
	if strings.HasSuffix(t.kind, "UUID") {
		return t.value
	}
	return strconv.Quote(t.value)
}

// matches reports whether t, which is not a path, names d. The case of UUIDs is ignored.
func (t tag) matches(d *Device) bool {
	switch t.kind {
	case "UUID":
		return strings.EqualFold(t.value, d.Superblock.UUID)
	case "LABEL":
		return t.value == d.Superblock.Label
	case "PARTUUID":
		return strings.EqualFold(t.value, d.Partition.UUID)
	default:
		return t.value == d.Partition.Label
	}
}

// maxListed bounds how many devices or types a message lists.
const maxListed = 8

// list joins words for a message.
func list(words []string) string {
	if len(words) > maxListed {
		words = append(words[:maxListed:maxListed], "...")
	}
	return strings.Join(words, ", ")
}
