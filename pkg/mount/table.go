package mount

import (
	"bytes"
	"slices"
	"strings"
)

// maxTable is the most that is read of a mount table, in bytes: some ten thousand mounts.
const maxTable = 16 << 20

// inTable finds a mount point in the text of /proc/self/mounts.
func inTable(table []byte, target string) bool {
	for len(table) > 0 {
		var line []byte
		line, table, _ = bytes.Cut(table, []byte("\n"))
		_, rest, _ := bytes.Cut(line, []byte(" "))
		point, _, ok := bytes.Cut(rest, []byte(" "))
		if ok && string(unescape(point)) == target {
			return true
		}
	}
	return false
}

// info is a line of /proc/self/mountinfo.
type info struct {
	id, parent string
	anonymous  bool   // the file system is on no block device of its own: major number 0
	point      string // the mount point
	fsType     string
	readOnly   bool // the file system, not only this mount of it
}

// parseInfo reads a line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
func parseInfo(line []byte) (m info, ok bool) {
	// The file system's part comes after the optional fields, which a hyphen ends. No field has a blank of its own.
	head, tail, ok := bytes.Cut(line, []byte(" - "))
	if !ok {
		return info{}, false
	}
	var fields [5][]byte
	for i := range fields {
		if fields[i], head, ok = bytes.Cut(head, []byte(" ")); !ok {
			return info{}, false
		}
	}
	fsType, tail, _ := bytes.Cut(tail, []byte(" "))
	_, super, ok := bytes.Cut(tail, []byte(" "))
	first, _, _ := bytes.Cut(super, []byte(","))
	return info{
		id:        string(fields[0]),
		parent:    string(fields[1]),
		anonymous: bytes.HasPrefix(fields[2], []byte("0:")),
		point:     string(unescape(fields[4])),
		fsType:    string(fsType),
		readOnly:  string(first) == "ro",
	}, ok
}

// onDisk tells whether the file system is one that is left dirty where it is neither unmounted nor read-only at the end.
func (m info) onDisk() bool {
	switch m.fsType {
	case "btrfs", "bcachefs", "zfs": // on block devices, with device numbers of their own
		return true
	case "overlay": // what it writes may be on disk
		return true
	}
	return !m.anonymous
}

// disks returns the mounts that have to do with disks in reverse order, so that what is mounted on another comes before
// it: those that can be unmounted, which are all but the root, and with them what is mounted below or covers them; and
// those that are on disk and writable.
func disks(table []byte) (unmount, writable []info) {
	below := map[string]bool{} // by ID: is, or is mounted below, a mount to be unmounted
	var points []string        // of disks so far
	for len(table) > 0 {
		var line []byte
		line, table, _ = bytes.Cut(table, []byte("\n"))
		m, ok := parseInfo(line)
		if !ok {
			continue
		}
		if m.onDisk() && !m.readOnly {
			writable = append(writable, m)
		}
		if m.point == "/" {
			continue
		}
		covers := func(disk string) bool { return within(disk, m.point) }
		if m.onDisk() || below[m.parent] || slices.ContainsFunc(points, covers) {
			below[m.id] = true
			unmount = append(unmount, m)
		}
		if m.onDisk() {
			points = append(points, m.point)
		}
	}
	slices.Reverse(unmount)
	slices.Reverse(writable)
	return unmount, writable
}

// within tells whether name is dir or below it.
func within(name, dir string) bool {
	rest, ok := strings.CutPrefix(name, dir)
	return ok && (rest == "" || rest[0] == '/')
}

// swapFiles returns the files, not the partitions, of the text of /proc/swaps. A file in use keeps its file system busy.
func swapFiles(swaps []byte) []string {
	var files []string
	for len(swaps) > 0 {
		var line []byte
		line, swaps, _ = bytes.Cut(swaps, []byte("\n"))
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[1]) == "file" {
			files = append(files, string(unescape(fields[0])))
		}
	}
	return files
}

// unescape undoes, in place, the octal escapes of blank, tab, newline and backslash, fstab(5).
func unescape(s []byte) []byte {
	if bytes.IndexByte(s, '\\') < 0 {
		return s
	}
	plain := s[:0]
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			plain = append(plain, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		plain = append(plain, s[i])
	}
	return plain
}

func octal(c byte) bool { return '0' <= c && c <= '7' }
