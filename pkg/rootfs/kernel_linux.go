package rootfs

import (
	"bytes"
	"os"
	"strings"

	"github.com/krunbox/krunbox/pkg/kmsg"
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

// explain returns the kernel's explanation of a failure since log was opened, by messages about a
// device or from a driver, or "".
func explain(log kmsg.Log, device, driver string) string {
	r := reason{device: device, driver: driver}
	log.Each(r.add)
	return r.String()
}

// reason finds the message in the kernel's log that explains why a mount failed.
type reason struct {
	// device and driver select messages: those that contain device, unless it is empty, and those
	// that begin with driver, the name of a file system.
	device, driver string
	firstError     string // the first message of level error or worse
	last           string
}

// maxMessage bounds how many bytes of a message are shown.
const maxMessage = 200

// add considers a message.
func (r *reason) add(level int, text string) {
	line := strings.TrimRight(text[:min(len(text), maxMessage)], " ")
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
