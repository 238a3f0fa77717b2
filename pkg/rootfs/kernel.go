package rootfs

import (
	"bytes"
	"strconv"
	"strings"
)

// reason finds the message in the kernel's log that explains why a mount failed. Records are those
// of /dev/kmsg (Documentation/ABI/testing/dev-kmsg of Linux), which begin with priority, number,
// time and flags:
//
//	3,412,5140900,-;EXT4-fs (vda): bad geometry
type reason struct {
	// device and driver select messages: those that contain device, unless it is empty, and those
	// that begin with driver, the name of a file system.
	device, driver string
	firstError     string // the first message of level error or worse
	last           string
}

// maxMessage bounds how many bytes of a record are shown.
const maxMessage = 200

// add considers a record.
func (r *reason) add(record []byte) {
	head, text, ok := bytes.Cut(record, []byte(";"))
	priority, _, _ := bytes.Cut(head, []byte(","))
	level, err := strconv.ParseUint(string(priority), 10, 32)
	if !ok || err != nil || level > 7 { // upper bits: the facility, which is 0 for the kernel
		return
	}
	text, _, _ = bytes.Cut(text, []byte("\n")) // fields for programs follow
	line := strings.TrimRight(string(text[:min(len(text), maxMessage)]), " ")
	aboutDevice := r.device != "" && strings.Contains(line, r.device)
	if !aboutDevice && !strings.HasPrefix(line, r.driver+":") {
		return
	}
	if level <= 3 && r.firstError == "" {
		r.firstError = line
	}
	r.last = line
}

// String returns the first error, else the last message, else "".
func (r *reason) String() string {
	if r.firstError != "" {
		return r.firstError
	}
	return r.last
}

// fsType is a file system of the kernel.
type fsType struct {
	name  string
	nodev bool // it needs no block device
}

// parseFilesystems parses the text of /proc/filesystems.
func parseFilesystems(text string) []fsType {
	var types []fsType
	for line := range strings.Lines(text) {
		kind, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if ok && name != "" {
			types = append(types, fsType{name, kind == "nodev"})
		}
	}
	return types
}
