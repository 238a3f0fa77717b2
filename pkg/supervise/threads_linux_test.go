package supervise

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// After ReserveThreads, the runtime starts no thread any more, though it collects garbage, runs timers
// and goroutines that wait in system calls. It does so in a process of its own, whose runtime has
// started few threads.
func TestReserveThreads(t *testing.T) {
	const child = "KRUNBOX_TEST_RESERVE"
	if os.Getenv(child) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestReserveThreads$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	threads := func() int {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if err := (ReserveThreads{}).Do(); err != nil {
		t.Fatal(err)
	}
	before := threads()
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() { _, _ = unix.Read(pipe[0], make([]byte, 1)) })
	for range 20 {
		all.Go(func() { debug.FreeOSMemory() })
		fired := make(chan bool)
		time.AfterFunc(time.Millisecond, func() { close(fired) })
		_, _ = unix.Poll(nil, 5) // for the runtime to see that this goroutine waits
		<-fired
		runtime.GC()
	}
	if after := threads(); after != before || before < reserved+2 {
		t.Errorf("%d threads, then %d, want as many, and at least %d", before, after, reserved+2)
	}
	unix.Close(pipe[1])
	all.Wait()
}
