package exec

import (
	"math"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// WindowSize is the operation that gives the terminal among the standard streams a size if it has
// none, as on a host without a window. Programs take a height of 0 literally.
type WindowSize struct {
	Streams [3]int // as in Spec
	// ConsoleSize is the size in characters, process.consoleSize of the runtime-spec. A dimension
	// that it does not have is LINES or COLUMNS of Env, else 24 or 80.
	ConsoleSize *specs.Box
	Env         []string
}

func (w WindowSize) Describe() op.Description {
	height, width := w.size()
	return op.Describe("window size", "terminal", "height", height, "width", width, "if", "0")
}

// Do does nothing if there is no terminal.
func (w WindowSize) Do() (err error) {
	for _, fd := range descriptors(w.Streams) {
		size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err != nil {
			continue
		}
		if size.Row != 0 && size.Col != 0 {
			return nil
		}
		height, width := w.size()
		if size.Row == 0 {
			size.Row = height
		}
		if size.Col == 0 {
			size.Col = width
		}
		defer op.Wrap(&err, "set the window size of the terminal")
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size)
	}
	return nil
}

func (w WindowSize) size() (height, width uint16) {
	var size specs.Box
	if w.ConsoleSize != nil {
		size = *w.ConsoleSize
	}
	return w.dimension(size.Height, "LINES", 24), w.dimension(size.Width, "COLUMNS", 80)
}

func (w WindowSize) dimension(configured uint, variable string, fallback uint16) uint16 {
	if configured != 0 {
		return uint16(min(configured, math.MaxUint16))
	}
	value, _ := lookup(w.Env, variable)
	if n, err := strconv.ParseUint(value, 10, 16); err == nil && n > 0 {
		return uint16(n)
	}
	return fallback
}
