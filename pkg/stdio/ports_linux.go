package stdio

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// ClassDir lists the ports of all virtio console devices.
const ClassDir = "/sys/class/virtio-ports"

// pipeSize is the size of a pipe for output, in bytes. It makes large writes nearly twice as fast
// as the usual 64 KiB. The memory is only used while the host is slower than the workload.
const pipeSize = 1 << 20

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

// open calls open(2), again if a signal interrupts it.
func open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// Redirect is the operation that replaces standard streams by pipes, and gives Relay their other
// ends and the ports listed in ClassDir. A stream whose port is missing or cannot be opened does
// not change.
type Redirect struct {
	ClassDir string
	Streams  *Streams
	Relay    *Relay
	// PID1 means that the machine ends with the process that gets the streams. On several
	// processors it gets ports for its output then: nobody could relay its last lines.
	PID1 bool
}

func (r Redirect) Describe() op.Description {
	return op.Describe("redirect", "stdin,stdout,stderr",
		"to", "virtio ports krun-stdin,krun-stdout,krun-stderr", "from", r.ClassDir, "by", "pipes",
		"output", op.If(r.PID1, "without pipes on several processors"))
}

// Do fails if a port cannot be opened; the others are still opened.
func (r Redirect) Do() error {
	ports, err := Ports(r.ClassDir)
	for _, p := range ports {
		if p.Stream() >= 0 {
			err = errors.Join(err, r.open(p))
		}
	}
	return err
}

// open replaces the standard stream of a port.
func (r Redirect) open(p Port) (err error) {
	defer op.Wrap(&err, "redirect %s", p.Name)
	stream, mode := p.Stream(), unix.O_WRONLY
	if stream == unix.Stdin {
		mode = unix.O_RDONLY
	}
	direct := r.PID1 && stream != unix.Stdin && runtime.NumCPU() > 1
	if !direct {
		mode |= unix.O_NONBLOCK
	}
	port, err := open(p.Device, mode|unix.O_NOCTTY|unix.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open %s: %w", p.Device, err)
	}
	if direct {
		if old := r.Streams[stream]; old > 2 {
			unix.Close(old)
		}
		r.Streams[stream] = port
		return nil
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		unix.Close(port)
		return fmt.Errorf("open a pipe: %w", err)
	}
	source, sink, ours, theirs := pipe[0], port, pipe[0], pipe[1]
	if stream == unix.Stdin {
		source, sink, ours, theirs = port, pipe[1], pipe[1], pipe[0]
	}
	_, _ = unix.FcntlInt(uintptr(ours), unix.F_SETPIPE_SZ, pipeSize) // smaller ones work, too
	_ = unix.SetNonblock(ours, true)                                 // can't fail for a pipe
	if old := r.Streams[stream]; old > 2 {                           // of another port with the same name
		unix.Close(old)
		r.Relay.flows[stream].close()
	}
	r.Streams[stream] = theirs
	r.Relay.flows[stream] = newFlow(stream, source, sink, stream != unix.Stdin && r.takesPages(p))
	return nil
}

// takesPages reports whether splice(2) can give the port pages of a pipe. The driver of a port
// loses pages for which the port's queue has no room, unless the queue has indirect descriptors,
// of which one takes all pages.
func (r Redirect) takesPages(p Port) bool {
	const indirect = 28 // VIRTIO_RING_F_INDIRECT_DESC of linux/virtio_ring.h
	features, _ := os.ReadFile(r.ClassDir + strings.TrimPrefix(p.Device, "/dev") + "/device/features")
	return len(features) > indirect && features[indirect] == '1'
}

// Close is the operation that closes this process's copies of the workload's pipes, once the
// workload has them. The relay notices then when the workload closes them.
type Close struct{ Streams *Streams }

func (Close) Describe() op.Description { return op.Describe("close", "the workload's ends of pipes") }

func (c Close) Do() error {
	for i, fd := range c.Streams {
		if fd > 2 {
			unix.Close(fd)
		}
		c.Streams[i] = i
	}
	return nil
}
