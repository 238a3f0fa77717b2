package stdio

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

// AwaitSent is the operation that waits until the terminal FD has sent what was written to it. The end
// of a machine, or of a session, drops what a serial port has not sent yet. It gives up when the
// terminal has sent nothing for Limit.
type AwaitSent struct {
	FD    int
	Limit time.Duration
	Stuck *bool // set to true when it has given up; then it does not wait again
}

func (a AwaitSent) Describe() op.Description {
	return op.Describe("wait", "until the console has sent its output", "unless", "it sends nothing",
		"for", a.Limit)
}

// Do fails if it gives up. It does nothing if FD is not a terminal.
func (a AwaitSent) Do() error {
	const interval = 2 * time.Millisecond
	least, since := -1, loop.Now()
	for !*a.Stuck {
		left, err := unsent(a.FD)
		now := loop.Now()
		switch {
		case left == 0 || err != nil:
			return nil
		case least < 0 || left < least:
			least, since = left, now
		case now-since >= a.Limit:
			*a.Stuck = true
			return fmt.Errorf("the console has not sent the last %d bytes", left)
		}
		time.Sleep(interval)
	}
	return nil
}

// unsent returns the number of bytes in the kernel's output buffer of a terminal. If that is empty,
// but the hardware of a serial port has not sent all of its own buffer, unsent returns 1.
func unsent(fd int) (int, error) {
	const getLineStatus, transmitterEmpty = 0x5459, 1 // TIOCSERGETLSR, TIOCSER_TEMT of Linux
	left, err := unix.IoctlGetInt(fd, unix.TIOCOUTQ)
	if err != nil || left > 0 {
		return left, err
	}
	if status, err := unix.IoctlGetInt(fd, getLineStatus); err == nil && status&transmitterEmpty == 0 {
		return 1, nil
	}
	return 0, nil
}
