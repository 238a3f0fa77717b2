package rootfs

import (
	"bytes"
	"strconv"
	"strings"
)

// reason finds out from the kernel's log why it did not mount something. The records are those of /dev/kmsg
// (Documentation/ABI/testing/dev-kmsg of Linux), which begin with priority, number, time and flags:
//
//	3,412,5140900,-;EXT4-fs (vda): bad geometry
type reason struct {
	device string // what the records are about: a device as messages call it (vda), or empty,
	driver string // or a file system, at the beginning of messages
	err    string // the first one of level error or worse
	last   string
}

// longest is how much of a record a message shows, in bytes.
const longest = 200

func (r *reason) add(record []byte) {
	head, text, ok := bytes.Cut(record, []byte(";"))
	priority, _, _ := bytes.Cut(head, []byte(","))
	level, err := strconv.ParseUint(string(priority), 10, 32)
	if !ok || err != nil || level > 7 { // the upper bits are the facility, 0 the kernel's own
		return
	}
	text, _, _ = bytes.Cut(text, []byte("\n")) // then there are fields for programs
	line := strings.TrimRight(string(text[:min(len(text), longest)]), " ")
	if (r.device == "" || !strings.Contains(line, r.device)) && !strings.HasPrefix(line, r.driver+":") {
		return
	}
	if level <= 3 && r.err == "" {
		r.err = line
	}
	r.last = line
}

func (r *reason) String() string {
	if r.err != "" {
		return r.err
	}
	return r.last
}

// fsType is a file system of the kernel.
type fsType struct {
	name  string
	nodev bool // it needs no block device
}

// parseFilesystems reads the text of /proc/filesystems.
func parseFilesystems(text []byte) []fsType {
	var types []fsType
	for line := range strings.Lines(string(text)) {
		kind, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if ok && name != "" {
			types = append(types, fsType{name, kind == "nodev"})
		}
	}
	return types
}
