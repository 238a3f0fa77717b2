package stdio

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// consoleDevice is the device number of /dev/console, 5:1.
const consoleDevice = 5<<8 | 1

// Reopen opens /dev/console, or /dev/null if that fails, in place of two kinds of standard
// descriptors: the console that the kernel opened before /dev was mounted, which ttyname(3) cannot
// find, and a descriptor that was closed, in whose place krunbox's entry code opened a directory.
type Reopen struct{}

func (Reopen) Describe() op.Description {
	return op.Describe("open", "/dev/console", "else", "/dev/null",
		"for", "standard streams that are the kernel's console or closed")
}

func (Reopen) Do() error {
	device := -1
	for fd := range 3 {
		var st unix.Stat_t
		err := unix.Fstat(fd, &st)
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Rdev != consoleDevice {
			continue
		}
		err = nil
		if device < 0 {
			device, err = openConsole()
		}
		if err == nil && device != fd { // the same if fd was closed and is the lowest free number
			err = unix.Dup3(device, fd, 0)
		}
		if err != nil {
			return fmt.Errorf("open standard descriptor %d: %w", fd, err)
		}
	}
	if device > 2 {
		unix.Close(device)
	}
	return nil
}

func openConsole() (int, error) {
	fd, err := open("/dev/console", unix.O_RDWR|unix.O_NOCTTY)
	if err != nil {
		fd, err = open("/dev/null", unix.O_RDWR)
	}
	return fd, err
}

// FindConsole stores the path of the console's own device, such as /dev/hvc0, in Device if one of
// the streams is /dev/console. It suits a shell better, because the kernel lets background jobs
// read from /dev/console.
type FindConsole struct {
	Streams *Streams
	Device  *string
}

func (FindConsole) Describe() op.Description {
	return op.Describe("find", "the console's own device",
		"for", "standard streams that are /dev/console")
}

// Do leaves Device alone if there is no such device, which is no error.
func (f FindConsole) Do() error {
	for _, fd := range f.Streams {
		var st unix.Stat_t
		err := unix.Fstat(fd, &st)
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != consoleDevice {
			continue
		}
		consoles, _ := os.ReadFile("/proc/consoles")
		path := "/dev/" + preferred(string(consoles))
		if unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR {
			*f.Device = path
		}
		return nil
	}
	return nil
}

// preferred returns the name of the console that /dev/console stands for, from the text of
// /proc/consoles: the one with the flag C. It returns "" if there is none.
func preferred(consoles string) string {
	for line := range strings.Lines(consoles) {
		name, rest, _ := strings.Cut(line, " ")
		_, flags, _ := strings.Cut(rest, "(")
		flags, _, _ = strings.Cut(flags, ")")
		if strings.Contains(flags, "C") && !strings.Contains(name, "/") {
			return name
		}
	}
	return ""
}
