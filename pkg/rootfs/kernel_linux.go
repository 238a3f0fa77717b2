package rootfs

import (
	"bytes"
	"os"
	"strings"

	"github.com/krunbox/krunbox/pkg/kmsg"
)

// consoleLevel is a file of four numbers. The kernel shows messages with a level below the first
// number on the console.
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

// explain returns the message that best explains why a mount failed, of those that the kernel has
// logged since log was opened, or "". See reason for device and driver.
func explain(log kmsg.Log, device, driver string) string {
	r := reason{device: device, driver: driver}
	log.Each(r.add)
	return r.String()
}

// reason chooses one of the kernel's messages to explain why a mount failed.
type reason struct {
	// device and driver select messages: those that contain device, unless it is empty, and those
	// that begin with driver, the name of a file system, and a colon.
	device, driver string
	firstError     string // the first message of level error or worse
	last           string
}

// maxMessage bounds how many bytes of a message are shown.
const maxMessage = 200

// add adds a message to choose from.
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
	nodev bool // it is not mounted from a block device
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
