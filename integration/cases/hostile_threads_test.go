package cases

import (
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/network"
)

// reserveThreads has Go's runtime start the threads that a guest half needs when no more can be
// started.
func reserveThreads() {
	runtime.GOMAXPROCS(1)
	var locked, ended sync.WaitGroup
	release := make(chan struct{})
	for range 8 {
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
}

// noThreadsGuest sets kernel.threads-max or kernel.pid_max, its second argument, to its least value, so
// that the kernel starts no threads and processes any more. Then it keeps process 1 busy: with
// signals, and with changes of eth0, for which process 1 collects garbage. It exits with code 7.
var noThreadsGuest = inGuest("no-threads", func(t *testing.T) {
	reserveThreads()
	received := make(chan os.Signal, 1000)
	signal.Notify(received, unix.SIGUSR1)
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	request, err := unix.NewIfreq("eth0")
	if err != nil {
		t.Fatal(err)
	}
	for name, least := range map[string]string{"threads-max": "20", "pid_max": "301"} {
		if os.Args[1] == name {
			if err := os.WriteFile("/proc/sys/kernel/"+name, []byte(least), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for started := 0; ; started++ { // threads-max is reached already
		pid, err := fork()
		if err == unix.EAGAIN {
			break
		}
		if pid == 0 {
			pause()
		}
		if err != 0 || started > 1000 {
			t.Fatalf("%d processes, then %v; want EAGAIN", started, err)
		}
	}
	for range 40 {
		for _, flags := range []uint16{0, unix.IFF_UP} {
			request.SetUint16(flags)
			if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Kill(1, unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		await(t, received, unix.SIGUSR1, "while there can't be more threads")
	}
	if !t.Failed() {
		os.Exit(7)
	}
})

// fork is fork(2). The child has one thread, and may make raw system calls only.
//
//go:norace
func fork() (pid uintptr, errno syscall.Errno) {
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	return pid, errno
}

// pause waits for ever, in a child of fork.
func pause() {
	for {
		syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// TestNoMoreThreads has a workload after whose start the kernel starts no more threads. Process 1 goes
// on: it handles signals and changes of the network, collects garbage, ends what is left, and reports
// the exit code.
func TestNoMoreThreads(t *testing.T) {
	for _, name := range []string{"threads-max", "pid_max"} {
		for _, cpus := range []int{1, 4} {
			t.Run(name+" "+strconv.Itoa(cpus), func(t *testing.T) {
				t.Parallel()
				s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
					return replies(s, grant(m))
				})
				cfg := withBusybox(t, "amd64")
				noThreadsGuest.addTo(t, &cfg, name)
				cfg.Env, cfg.CPUs = []string{"KRUN_DHCP=1"}, cpus
				s.Network.AddTo(&cfg)
				// Init may have warnings: eth0 goes down while it is configured.
				wantNoRuntime(t, console(run(t, cfg, 7)))
			})
		}
	}
}

// wantNoRuntime checks that there is nothing of Go's runtime on a console. The kernel may have warned
// that it can't start threads of its own.
func wantNoRuntime(t *testing.T, console string) {
	t.Helper()
	if strings.Contains(console, "goroutine") || strings.Contains(console, "runtime") {
		t.Errorf("console = %q, want nothing of Go's runtime", console)
	}
}

// TestForkBomb leaves processes behind that fork for ever, as many as the kernel allows, and ignore
// signals. It checks that the machine ends, with the workload's exit code.
func TestForkBomb(t *testing.T) {
	for _, cpus := range []int{1, 4} {
		t.Run(strconv.Itoa(cpus), func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", `
echo 250 >/proc/sys/kernel/threads-max
sh -c 'trap "" HUP INT TERM; bomb() { while :; do bomb & done; }; bomb' 2>/dev/null &
while read -r _ _ _ tasks _ </proc/loadavg && [ ${tasks#*/} -lt 240 ]; do :; done
exit 7
`)
			cfg.CPUs = cpus
			text := console(run(t, cfg, 7))
			wantNoRuntime(t, text)
			if strings.Contains(text, "krunbox: ") {
				t.Errorf("console = %q, want no warning of init", text)
			}
		})
	}
}
