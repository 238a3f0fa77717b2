package stdio

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// printTimeout is how long PrintLine waits until a descriptor takes a line.
const printTimeout = time.Second

// PrintLine writes a line, after the name of the program, to a descriptor. It never waits for long:
// a port or a console whose reader is gone must not keep PID 1 from its work. What a port does not
// take within a second goes to standard error, the console; what that does not take is lost.
func PrintLine(fd int, line string) {
	for _, to := range slices.Compact([]int{fd, unix.Stderr}) {
		ready := []unix.PollFd{{Fd: int32(to), Events: unix.POLLOUT}}
		n, err := unix.Poll(ready, int(printTimeout.Milliseconds()))
		if err != nil || n == 1 && ready[0].Revents&unix.POLLOUT != 0 {
			_, _ = unix.Write(to, text(line))
			return
		}
	}
}
