package supervise

import (
	"fmt"
	"os"
	"strconv"
	"time"

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
	main := strconv.Itoa(os.Getpid())
	threads, err := os.ReadDir("/proc/" + main + "/task")
	if err != nil {
		return fmt.Errorf("find this process's threads: %w", err)
	}
	// The runtime starts the monitor before all other threads.
	monitor := 0
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err == nil && id != os.Getpid() && (monitor == 0 || id < monitor) {
			monitor = id
		}
	}
	for _, id := range []string{main, strconv.Itoa(monitor)} {
		err := os.WriteFile("/proc/"+id+"/timerslack_ns", []byte(strconv.FormatInt(int64(s), 10)), 0)
		if err != nil {
			return fmt.Errorf("set the timer slack of a thread: %w", err)
		}
	}
	return nil
}
