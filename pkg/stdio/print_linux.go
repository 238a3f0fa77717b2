package stdio

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// printTimeout is how long Print waits until a descriptor takes a line.
const printTimeout = time.Second

// Printer writes lines for people. It never waits for long: a port or a console whose reader is
// gone must not keep PID 1 from its work.
type Printer struct{ stuck []int } // descriptors that did not take the last line in time

// Print writes a line, after the name of the program, to a descriptor. What a port does not take
// within a second goes to standard error, the console; what that does not take is lost. Once a
// descriptor has not taken a line, Print does not wait for it until it takes one again.
func (p *Printer) Print(fd int, line string) {
	for _, to := range slices.Compact([]int{fd, unix.Stderr}) {
		timeout := printTimeout
		if slices.Contains(p.stuck, to) {
			timeout = 0
		}
		p.stuck = slices.DeleteFunc(p.stuck, func(fd int) bool { return fd == to })
		ready := []unix.PollFd{{Fd: int32(to), Events: unix.POLLOUT}}
		n, err := unix.Poll(ready, int(timeout.Milliseconds()))
		if err != nil || n == 1 && ready[0].Revents&unix.POLLOUT != 0 {
			_, _ = unix.Write(to, text(line))
			return
		}
		p.stuck = append(p.stuck, to)
	}
}
