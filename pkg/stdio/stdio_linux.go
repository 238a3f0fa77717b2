// Package stdio finds the virtio ports on which a libkrun host serves a workload's standard streams.
package stdio

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// ClassDir lists the ports of all virtio console devices, with their names.
const ClassDir = "/sys/class/virtio-ports"

// Port is a virtio port with a name.
type Port struct {
	Name   string
	Device string // path of the character device
}

// Stream is the standard descriptor that the port replaces: 0, 1 or 2, or -1 for a port that is no standard stream.
func (p Port) Stream() int {
	switch p.Name {
	case "krun-stdin":
		return 0
	case "krun-stdout":
		return 1
	case "krun-stderr":
		return 2
	}
	return -1
}

// Ports lists the ports below classDir that have a name, in no order. A console is an entry without one. An error that is
// os.ErrNotExist means that the kernel has no virtio ports at all, or that there is no sysfs.
func Ports(classDir string) ([]Port, error) {
	entries, err := sysfile.Names(classDir)
	if err != nil {
		return nil, fmt.Errorf("list virtio ports: %w", err)
	}
	var ports []Port
	for _, e := range entries {
		// An entry without a name, or one that just went away, is no concern of the others.
		name, err := sysfile.Read(classDir+"/"+e+"/name", 4096)
		if err != nil {
			continue
		}
		ports = append(ports, Port{Name: strings.TrimSuffix(string(name), "\n"), Device: "/dev/" + e})
	}
	return ports, nil
}

// Streams are the descriptors to be used as standard input, output and error.
type Streams [3]int

// Inherited are the standard descriptors that this process has itself.
func Inherited() *Streams { return &Streams{0, 1, 2} }

// Close is the operation that closes the ports which Redirect opened, in this process, once the workload has them.
type Close struct{ Streams *Streams }

func (Close) Describe() op.Description {
	return op.Describe("close", "redirected ports")
}

func (c Close) Do() error {
	for i, fd := range c.Streams {
		if fd > 2 {
			unix.Close(fd)
		}
		c.Streams[i] = i
	}
	return nil
}

// Redirect opens the ports that replace standard streams.
type Redirect struct {
	ClassDir string
	Streams  *Streams
}

func (r Redirect) Describe() op.Description {
	return op.Describe("redirect", "stdin,stdout,stderr", "to", "virtio ports krun-stdin,krun-stdout,krun-stderr", "from", r.ClassDir)
}

// Do implements op.Op. Ports are independent of each other: one that can't be opened leaves its stream as it is.
func (r Redirect) Do() error {
	ports, err := Ports(r.ClassDir)
	errs := []error{err}
	for _, p := range ports {
		errs = append(errs, r.Streams.Open(p))
	}
	return errors.Join(errs...)
}

// Open puts a port in the place of its standard stream; one that is no standard stream is left alone.
func (s *Streams) Open(p Port) error {
	mode := unix.O_WRONLY
	switch p.Stream() {
	case -1:
		return nil
	case 0:
		mode = unix.O_RDONLY
	}
	fd, err := open(p.Device, mode|unix.O_NOCTTY|unix.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("redirect %s: open %s: %w", p.Name, p.Device, err)
	}
	if old := s[p.Stream()]; old > 2 {
		unix.Close(old) // a second port of the same name
	}
	s[p.Stream()] = fd
	return nil
}

// Reopen gives the standard descriptors that lead to no device of this /dev one: /dev/console or, where that can't be
// opened, /dev/null. Such are a console that the kernel opened before there was a /dev, which ttyname(3) would look for in
// vain, and descriptors that were closed, in whose place the entry code of krunbox has put the root directory.
type Reopen struct{}

func (Reopen) Describe() op.Description {
	return op.Describe("open", "/dev/console", "else", "/dev/null", "for", "standard streams that are the kernel's console or closed")
}

func (Reopen) Do() error {
	device := -1
	for fd := range 3 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Rdev != consoleDevice {
			continue
		}
		if device < 0 {
			var err error
			if device, err = openConsole(); err != nil {
				return fmt.Errorf("open standard descriptor %d: %w", fd, err)
			}
		}
		if device == fd {
			continue // the lowest free number is the one that was closed
		}
		if err := unix.Dup3(device, fd, 0); err != nil {
			return fmt.Errorf("open standard descriptor %d: %w", fd, err)
		}
	}
	if device > 2 {
		unix.Close(device)
	}
	return nil
}

// consoleDevice is the device number of /dev/console, see linux/Documentation/admin-guide/devices.txt.
const consoleDevice = 5<<8 | 1

func openConsole() (int, error) {
	fd, err := open("/dev/console", unix.O_RDWR|unix.O_NOCTTY)
	if err != nil {
		fd, err = open("/dev/null", unix.O_RDWR)
	}
	return fd, err
}

// FindConsole looks for the console's own device, such as /dev/hvc0, if a stream is /dev/console, and stores its path. For a
// shell it is the better one: of /dev/console the kernel lets background jobs read.
type FindConsole struct {
	Streams *Streams
	Device  *string
}

func (FindConsole) Describe() op.Description {
	return op.Describe("find", "the console's own device", "for", "standard streams that are /dev/console")
}

// Do implements op.Op. It is no error if there is none.
func (f FindConsole) Do() error {
	for _, fd := range f.Streams {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != consoleDevice {
			continue
		}
		consoles, _ := sysfile.Read("/proc/consoles", 4096)
		path := "/dev/" + preferred(string(consoles))
		if unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR {
			*f.Device = path
		}
		return nil
	}
	return nil
}

// preferred is the name, in the text of /proc/consoles, of the one that is /dev/console: it has a C among its flags.
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

// open is open(2), again when a signal interrupted it.
func open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}
