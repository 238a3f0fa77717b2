package exec

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// WindowSize is the operation that gives the terminal among the standard streams a size where it has none, as that of a
// host without a window for it: programs take 0 lines at their word.
type WindowSize struct {
	Streams [3]int // as in Spec
	// Height and Width are wanted, in characters. Where one is 0 it is LINES or COLUMNS of the environment Env, else 24 or 80.
	Height, Width uint16
	Env           []string
}

func (w WindowSize) Describe() op.Description {
	height, width := w.size()
	return op.Describe("window size", "terminal", "height", uint32(height), "width", uint32(width), "if", "0")
}

// Do implements op.Op. No terminal is fine.
func (w WindowSize) Do() error {
	for _, fd := range w.Streams {
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
		if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size); err != nil {
			return fmt.Errorf("set the window size of the terminal: %w", err)
		}
		return nil
	}
	return nil
}

func (w WindowSize) size() (height, width uint16) {
	return w.dimension(w.Height, "LINES", 24), w.dimension(w.Width, "COLUMNS", 80)
}

func (w WindowSize) dimension(wanted uint16, variable string, usual uint16) uint16 {
	if wanted != 0 {
		return wanted
	}
	if value, given := lookUp(w.Env, variable); given {
		if n, err := strconv.ParseUint(value, 10, 16); err == nil && n > 0 {
			return uint16(n)
		}
	}
	return usual
}
