package rootfs

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// consoleLevel holds four numbers. The kernel shows messages below the first one on the console.
const consoleLevel = "/proc/sys/kernel/printk"

// muteConsole keeps the kernel's messages, except emergencies, off the console until restore is
// called. If that is not possible, it does nothing.
func muteConsole() (restore func()) {
	text, err := os.ReadFile(consoleLevel)
	level, _, _ := bytes.Cut(text, []byte("\t"))
	if err != nil || setConsoleLevel([]byte("1")) != nil {
		return func() {}
	}
	return func() { _ = setConsoleLevel(level) }
}

func setConsoleLevel(level []byte) error { return os.WriteFile(consoleLevel, level, 0) }

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
