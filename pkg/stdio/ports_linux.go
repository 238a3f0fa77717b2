package stdio

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// ClassDir lists the ports of all virtio console devices.
const ClassDir = "/sys/class/virtio-ports"

// Port is a named virtio port.
type Port struct {
	Name   string
	Device string // path of the character device
}

// Stream returns the standard descriptor that the port replaces, 0, 1 or 2. It returns -1 for a
// port that is no standard stream.
func (p Port) Stream() int {
	return slices.Index([]string{"krun-stdin", "krun-stdout", "krun-stderr"}, p.Name)
}

// Ports returns the named ports listed in classDir, sorted by Device. Consoles have no names. The
// error wraps os.ErrNotExist if the kernel has no virtio ports at all, or if /sys is not mounted.
func Ports(classDir string) ([]Port, error) {
	entries, err := os.ReadDir(classDir)
	if err != nil {
		return nil, fmt.Errorf("list virtio ports: %w", err)
	}
	var ports []Port
	for _, e := range entries {
		// A port without a name, or one that has just disappeared, does not affect the others.
		name, err := os.ReadFile(classDir + "/" + e.Name() + "/name")
		if err != nil {
			continue
		}
		port := Port{strings.TrimSuffix(string(name), "\n"), "/dev/" + e.Name()}
		ports = append(ports, port)
	}
	return ports, nil
}

// Streams are the descriptors of standard input, output and error for the workload.
type Streams [3]int

// Inherited returns the standard descriptors of this process.
func Inherited() *Streams { return &Streams{0, 1, 2} }

// Open makes a port its standard stream. It does nothing for a port that is no standard stream.
func (s *Streams) Open(p Port) error {
	stream, mode := p.Stream(), unix.O_WRONLY
	switch stream {
	case -1:
		return nil
	case 0:
		mode = unix.O_RDONLY
	}
	fd, err := open(p.Device, mode|unix.O_NOCTTY|unix.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("redirect %s: open %s: %w", p.Name, p.Device, err)
	}
	if old := s[stream]; old > 2 {
		unix.Close(old) // of another port with the same name
	}
	s[stream] = fd
	return nil
}

// open calls open(2), again if a signal interrupts it.
func open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// Redirect makes the ports listed in ClassDir standard streams. A stream whose port is missing or
// cannot be opened does not change.
type Redirect struct {
	ClassDir string
	Streams  *Streams
}

func (r Redirect) Describe() op.Description {
	return op.Describe("redirect", "stdin,stdout,stderr",
		"to", "virtio ports krun-stdin,krun-stdout,krun-stderr", "from", r.ClassDir)
}

// Do fails if a port cannot be opened; the others are still opened.
func (r Redirect) Do() error {
	ports, err := Ports(r.ClassDir)
	for _, p := range ports {
		err = errors.Join(err, r.Streams.Open(p))
	}
	return err
}

// Close closes the ports that Redirect opened, once the workload has them.
type Close struct{ Streams *Streams }

func (Close) Describe() op.Description { return op.Describe("close", "redirected ports") }

func (c Close) Do() error {
	for i, fd := range c.Streams {
		if fd > 2 {
			unix.Close(fd)
		}
		c.Streams[i] = i
	}
	return nil
}
