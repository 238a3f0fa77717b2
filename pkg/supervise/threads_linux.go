package supervise

import (
	"runtime"
	"sync"

	"github.com/krunbox/krunbox/pkg/op"
)

// ReserveThreads is the operation that has Go's runtime start all threads that this process will
// need. The runtime starts one when it needs one, and ends the process if the kernel refuses because
// there are too many threads or processes (kernel.threads-max, kernel.pid_max, pids.max), as a
// workload may bring about. The runtime keeps threads for ever.
//
// It also makes the runtime execute one goroutine at a time. Then the number of threads is bounded:
// that of the runtime's monitor, that by which it starts others, two of package os/signal, one for
// each goroutine in a system call, and one that executes another goroutine.
type ReserveThreads struct{}

// reserved is how many threads the runtime has then, besides the monitor and the one that starts
// others. It is enough for os/signal and four goroutines in system calls: that of the stages, one that
// watches the deadline, and one or two that come out of a call and whose threads are not free yet.
const reserved = 7

func (ReserveThreads) Describe() op.Description {
	return op.Describe("start", "threads that Go's runtime may need", "reserved", reserved)
}

// Do cannot fail. The process ends if the kernel starts no threads.
func (ReserveThreads) Do() error {
	runtime.GOMAXPROCS(1)
	// Goroutines that have a thread of their own each, and this one.
	var locked, ended sync.WaitGroup
	release := make(chan struct{})
	for range reserved - 1 {
		locked.Add(1)
		ended.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			locked.Done()
			<-release
		})
	}
	locked.Wait()
	close(release)
	ended.Wait()
	return nil
}
