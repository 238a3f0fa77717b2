package signals

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inChild runs the calling test in a process of its own, for a process has but one pipe. It reports whether this is it.
func inChild(t *testing.T) bool {
	t.Helper()
	const marker = "KRUNBOX_TEST_SIGNALS"
	if os.Getenv(marker) == t.Name() {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), marker+"="+t.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

// Every signal arrives, in whichever thread the kernel has it handled, and as often as it was sent one by one.
func TestPipe(t *testing.T) {
	if !inChild(t) {
		return
	}
	all := []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH,
		unix.SIGCHLD, unix.SIGABRT, unix.SIGTRAP, unix.SIGSYS, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, 35, 64}
	p, err := Open(all...)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		for _, want := range all {
			if err := unix.Kill(os.Getpid(), want); err != nil {
				t.Fatal(err)
			}
			if got, err := p.Next(); err != nil || got != want {
				t.Fatalf("Next() = %v, %v, want %v", got, err, want)
			}
		}
	}
	if err := exec.Command("/bin/true").Run(); err != nil { // the handlers are not the child's
		t.Error(err)
	}
	if got, err := p.Next(); err != nil || got != unix.SIGCHLD {
		t.Errorf("Next() = %v, %v, want SIGCHLD of the child", got, err)
	}
	if !p.FromKernel() {
		t.Error("FromKernel() = false for the end of a child, want true")
	}
	if err := unix.Kill(os.Getpid(), unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Next(); err != nil || got != unix.SIGINT || p.FromKernel() {
		t.Errorf("Next() = %v, %v, from the kernel: %v, want SIGINT of a process", got, err, p.FromKernel())
	}
	// A fault of the process's own is a panic as ever.
	func() {
		defer func() {
			if r := recover(); r == nil {
				t.Error("no panic at an access to address 0")
			}
		}()
		var nowhere *int
		*nowhere = 1
	}()
	// Signals that wait are kept in their order.
	for _, sig := range []syscall.Signal{unix.SIGUSR1, unix.SIGTERM} {
		if err := unix.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
	}
	got := map[syscall.Signal]bool{}
	for range 2 {
		sig, err := p.Next()
		if err != nil {
			t.Fatal(err)
		}
		got[sig] = true
	}
	if !got[unix.SIGUSR1] || !got[unix.SIGTERM] {
		t.Errorf("of SIGUSR1 and SIGTERM arrived %v", got)
	}
	if _, err := Open(unix.SIGHUP); err == nil {
		t.Error("a second Open succeeded")
	}
}

// More signals than the pipe holds neither block nor kill.
func TestFullPipe(t *testing.T) {
	if !inChild(t) {
		return
	}
	if _, err := Open(unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	for range 70_000 {
		if err := unix.Kill(os.Getpid(), unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
}

// A process sends real-time signals in their order, round by round: none is missing, and they come in this order, but for once
// a thread.
func TestOrder(t *testing.T) {
	const rounds, first, last, marker = 300, 34, 64, "KRUNBOX_TEST_RECEIVER"
	if receiver := os.Getenv(marker); receiver != "" {
		pid, err := strconv.Atoi(receiver)
		if err != nil {
			t.Fatal(err)
		}
		for range rounds {
			for sig := syscall.Signal(first); sig <= last; sig++ {
				if err := unix.Kill(pid, sig); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if !inChild(t) {
		return
	}
	var all []syscall.Signal
	for sig := syscall.Signal(first); sig <= last; sig++ {
		all = append(all, sig)
	}
	p, err := Open(all...)
	if err != nil {
		t.Fatal(err)
	}
	sender := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	sender.Env = append(os.Environ(), marker+"="+strconv.Itoa(os.Getpid()))
	next, err := sender.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Start(); err != nil {
		t.Fatal(err)
	}
	disorder := 0
	for range rounds {
		var got []syscall.Signal
		for range all {
			sig, err := p.Next()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, sig)
		}
		if !slices.Equal(got, all) {
			disorder++
		}
		if slices.Sort(got); !slices.Equal(got, all) {
			t.Fatalf("received %v, want each signal once", got)
		}
		if _, err := next.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
	}
	if err := sender.Wait(); err != nil {
		t.Error(err)
	}
	if threads, err := os.ReadDir("/proc/self/task"); err != nil || disorder > len(threads) {
		t.Errorf("another order in %d of %d rounds, %v, want at most as many as there are threads: %d", disorder, rounds, err, len(threads))
	}
	// One that is sent many times comes as many times.
	for range 1000 {
		if err := unix.Kill(os.Getpid(), last); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		if got, err := p.Next(); err != nil || got != last {
			t.Fatalf("%d: Next() = %v, %v, want %v", i, got, err, last)
		}
	}
}
