package supervise

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// TimerSlack is the operation that sets the timer slack, PR_SET_TIMERSLACK of prctl(2), of this process's
// main thread and of the monitor thread of Go's runtime.
//
// With GOMAXPROCS 1, a goroutine that becomes ready while another one is in a system call may have to wait
// until the monitor wakes up, twice. A long slack suits a boot, because with a short one the monitor
// executes a tenth of the boot's instructions. It would delay each signal that a supervisor receives.
type TimerSlack time.Duration

func (s TimerSlack) Describe() op.Description {
	return op.Describe("set timer slack", "main and monitor thread", "slack", time.Duration(s))
}

// Do fails if /proc is not that of this process's PID namespace.
func (s TimerSlack) Do() error {
	main := os.Getpid()
	monitor, err := secondThread(main)
	if err != nil {
		return fmt.Errorf("find the monitor thread: %w", err)
	}
	for _, id := range []int{main, monitor} {
		if err := s.set(id); err != nil {
			return fmt.Errorf("set the timer slack of thread %d: %w", id, err)
		}
	}
	return nil
}

func (s TimerSlack) set(thread int) error {
	fd, err := unix.Open("/proc/"+strconv.Itoa(thread)+"/timerslack_ns", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, strconv.AppendInt(nil, int64(s), 10))
	return err
}

// secondThread returns the ID of a process's second thread, or 0 if it has one only. Go's runtime starts
// the monitor before all other threads. The kernel lists threads in the order of their start, and only the
// first ones are read, because it creates an inode for each that it lists.
func secondThread(pid int) (int, error) {
	dir, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(dir)
	var b [4 * 32]byte // for four entries of numbers, of 24 or 32 bytes each: ".", ".." and two threads
	n, err := unix.Getdents(dir, b[:])
	if err != nil {
		return 0, err
	}
	_, _, names := unix.ParseDirent(b[:n], -1, nil)
	second := 0
	for _, name := range names {
		if id, err := strconv.Atoi(name); err == nil && id != pid && second == 0 {
			second = id
		}
	}
	return second, nil
}
