package poweroff

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/op"
)

func TestCode(t *testing.T) {
	for code := range 256 {
		if got := Code(unix.WaitStatus(code << 8)); got != code {
			t.Errorf("Code(exit %d) = %d", code, got)
		}
	}
	for sig := 1; sig < 65; sig++ {
		for _, core := range []int{0, 0x80} {
			if got := Code(unix.WaitStatus(sig | core)); got != 128+sig {
				t.Errorf("Code(signal %d, core %#x) = %d, want %d", sig, core, got, 128+sig)
			}
		}
	}
}

// TestRaiseLimits raises the soft limit of open files in a namespace, where hard limits stay. The VM
// tests lower both.
func TestRaiseLimits(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		var limit unix.Rlimit
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: 500}, &limit); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Open("/"); !errors.Is(err, unix.EMFILE) {
			t.Errorf("open without descriptors = %v, want %v", err, unix.EMFILE)
		}
		if err := (RaiseLimits{}).Do(); err != nil {
			t.Error(err)
		}
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &limit); err != nil || limit.Cur < 500 {
			t.Errorf("soft limit = %d, %v, want 500 or more", limit.Cur, err)
		}
	})
}

// The VM tests in integration/cases have a virtiofs root.
func TestReport(t *testing.T) {
	code := 7
	if err := (Report{Root: "/proc", Code: &code}).Do(); err != nil {
		t.Errorf("Do() with a root that is not virtiofs = %v, want nil", err)
	}
	// A first root that is not virtiofs is not used.
	fd, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	err = Report{Root: "/no/such", FD: func() (int, bool) { return fd, true }, Code: &code}.Do()
	const want = "report exit code 7: open /no/such: "
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Do() with a missing root = %v, want %s...", err, want)
	}
}

// In a PID namespace the process goes on, and so does the machine.
func TestEndInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		if pid := unix.Getpid(); pid != 1 || isMachine() {
			t.Fatalf("isMachine() = %v in process %d, want false in process 1", isMachine(), pid)
		}
		for _, op := range []op.Op{CtrlAltDel{}, Deadline{}, PowerOff{}} {
			if err := op.Do(); err != nil {
				t.Error(err)
			}
		}
	})
}

// Deadline works while the only thread that may run Go code is stuck in the kernel. The test has
// a process reboot a PID namespace inside another one: the kernel ends all processes in it, and its
// first one looks as if killed by SIGHUP, see reboot(2).
func TestDeadline(t *testing.T) {
	const marker = "KRUNBOX_TEST_REBOOT"
	if dir := os.Getenv(marker); dir != "" {
		if os.Getpid() != 1 || isMachine() {
			t.Fatal("this is not the namespace of the test")
		}
		Deadline{After: 100 * time.Millisecond}.start()
		t.Fatal(unix.Chdir(dir + "/file")) // never returns
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		someoneWaits, server := nstest.Silence(t, dir)
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), marker+"="+dir, "GOMAXPROCS=1")
		cmd.Dir = "/"
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		someoneWaits()
		for end := time.Now().Add(time.Minute); !killed(t, cmd.Process.Pid); {
			if time.Now().After(end) {
				t.Fatal("no reboot within a minute")
			}
			time.Sleep(time.Millisecond)
		}
		unix.Close(server) // the process ends when its thread does
		err := cmd.Wait()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGHUP {
			t.Errorf("the namespace ended with %v, want signal: hangup", err)
		}
	})
}

// Only a new least amount of unwritten data is progress: other processes may write, too.
func TestProgress(t *testing.T) {
	start := time.Now()
	p := progress{since: start, least: math.MaxUint64}
	for i, tt := range []struct {
		left  uint64
		since int // seconds
	}{{1000, 1}, {1000, 1}, {999, 3}, {1200, 3}, {1000, 3}, {998, 6}, {0, 7}, {0, 7}, {5, 7}} {
		p.update(start.Add(time.Duration(i+1)*time.Second), tt.left)
		if got := p.since.Sub(start); got != time.Duration(tt.since)*time.Second {
			t.Errorf("after %d s with %d left: last progress at %v, want %d s", i+1, tt.left, got, tt.since)
		}
	}
}

// killed reports whether a process has been killed, even if a thread of it still waits: then its
// first thread has ended (state Z), or is that thread and has a pending SIGKILL.
func killed(t *testing.T, pid int) bool {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, mask, _ := strings.Cut(string(status), "\nSigPnd:\t")
	mask, _, _ = strings.Cut(mask, "\n")
	pending, err := strconv.ParseUint(mask, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pending&(1<<(unix.SIGKILL-1)) != 0 || strings.Contains(string(status), "\nState:\tZ")
}
