package rootfs

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// consoleLevel holds four numbers. The kernel shows messages below the first one on the console.
const consoleLevel = "/proc/sys/kernel/printk"

// muteConsole keeps the kernel's messages, except emergencies, off the console until restore is
// called. If that is not possible, it does nothing.
func muteConsole() (restore func()) {
	text, err := os.ReadFile(consoleLevel)
	level, _, _ := bytes.Cut(text, []byte("\t"))
	if err != nil || os.WriteFile(consoleLevel, []byte("1"), 0) != nil {
		return func() {}
	}
	return func() { _ = os.WriteFile(consoleLevel, level, 0) }
}

// kernelLog is a descriptor of the kernel's log, or -1.
type kernelLog int

// openLog opens the log at its end.
func openLog() kernelLog {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		unix.Close(fd)
		return -1
	}
	return kernelLog(fd)
}

func (l kernelLog) close() {
	if l >= 0 {
		unix.Close(int(l))
	}
}

// reason returns the kernel's explanation of a failure since openLog, by messages about a device or
// from a driver, or "".
func (l kernelLog) reason(device, driver string) string {
	const maxRecords, maxRecord = 1000, 8 << 10 // the kernel bounds a record, in bytes
	r := reason{device: device, driver: driver}
	buf := make([]byte, maxRecord)
	for range maxRecords {
		n, err := unix.Read(int(l), buf)
		switch err {
		case nil:
			r.add(buf[:n])
		case unix.EPIPE, unix.EINTR: // records were overwritten: the next read gets the oldest one
		default:
			return r.String()
		}
	}
	return r.String()
}

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
