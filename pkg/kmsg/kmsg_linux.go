// Package kmsg reads the messages of the kernel from /dev/kmsg.
package kmsg

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Log is a descriptor of the kernel's log. A negative one is a log without messages.
type Log int

// Open opens the log where whence says: unix.SEEK_SET at the oldest message, unix.SEEK_END after
// the last one.
func Open(whence int) Log {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	if _, err := unix.Seek(fd, 0, whence); err != nil {
		unix.Close(fd)
		return -1
	}
	return Log(fd)
}

// Close closes the log.
func (l Log) Close() {
	if l >= 0 {
		unix.Close(int(l))
	}
}

// Each calls f with the level, 0 to 7, and the text of each message of the kernel from the
// current position to the end. It reads a limited number, because new ones may come all the time. It
// returns whether messages since the kernel's start are missing, because the log has overwritten them
// or was opened after them.
func (l Log) Each(f func(level int, text string)) (overwritten bool) {
	const maxRecords, maxRecord = 10000, 8 << 10 // the kernel bounds a record, in bytes
	buf := make([]byte, maxRecord)
	for i := range maxRecords {
		n, err := unix.Read(int(l), buf)
		switch err {
		case nil:
			overwritten = overwritten || i == 0 && !isFirst(buf[:n])
			if level, text, ok := Parse(buf[:n]); ok {
				f(level, text)
			}
		case unix.EPIPE: // the next read gets the oldest record that is left
			overwritten = true
		case unix.EINTR:
		default:
			return overwritten
		}
	}
	return overwritten
}

// isFirst reports whether a record is the first one since the kernel's start.
func isFirst(record []byte) bool {
	_, rest, _ := bytes.Cut(record, []byte(","))
	number, _, _ := bytes.Cut(rest, []byte(","))
	return string(number) == "0"
}

// Parse returns the level and the text of a record (Documentation/ABI/testing/dev-kmsg of Linux),
// which begins with priority, number, time and flags:
//
//	3,412,5140900,-;EXT4-fs (vda): bad geometry
//
// It returns false for a malformed record, and for one that a program wrote.
func Parse(record []byte) (level int, text string, ok bool) {
	head, message, ok := bytes.Cut(record, []byte(";"))
	priority, _, _ := bytes.Cut(head, []byte(","))
	n, err := strconv.ParseUint(string(priority), 10, 32)
	if !ok || err != nil || n > 7 { // upper bits: the facility, which is 0 for the kernel
		return 0, "", false
	}
	message, _, _ = bytes.Cut(message, []byte("\n")) // fields for programs follow
	return int(n), strings.TrimRight(string(message), " "), true
}
