package signals

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

const restartMarker = "KRUNBOX_TEST_RESTART"

// TestRestartAfter has a process restart a PID namespace that is in another one: the kernel ends all in it, and its first
// process looks as if killed by SIGHUP, see reboot(2).
func TestRestartAfter(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		inner := func(mode string, namespaces uintptr) *exec.Cmd {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), restartMarker+"="+mode)
			cmd.Dir = "/"
			cmd.Stderr = os.Stderr
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
			return cmd
		}
		if err := inner("elsewhere", 0).Run(); err != nil {
			t.Errorf("in a process that is not the first: %v, want an error of RestartAfter", err)
		}
		someoneWaits, server := nstest.Silence(t, dir)
		for _, c := range []struct {
			mode string
			want unix.WaitStatus
		}{{"forged", 7 << 8}, {dir + "/file", unix.WaitStatus(unix.SIGHUP)}} {
			cmd := inner(c.mode, syscall.CLONE_NEWPID)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if c.mode[0] == '/' {
				someoneWaits()
				for end := time.Now().Add(time.Minute); !killed(t, cmd.Process.Pid); time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatal("no restart within a minute")
					}
				}
				unix.Close(server) // or the process is there until its thread is
			}
			err := cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || unix.WaitStatus(exit.Sys().(syscall.WaitStatus)) != c.want {
				t.Errorf("%s: the namespace ended with %v, want status %#x", c.mode, err, c.want)
			}
		}
	})
}

// killed tells whether a process can't go on, though it may still wait for something.
func killed(t *testing.T, pid int) bool {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, mask, _ := strings.Cut(string(status), "\nSigPnd:\t")
	mask, _, _ = strings.Cut(mask, "\n")
	pending, err := strconv.ParseUint(mask, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pending&(1<<(unix.SIGKILL-1)) != 0
}

// While variables are initialised, the goroutine is in the process's first thread.
var _ = restartNamespace()

// restartNamespace is what the inner processes of TestRestartAfter do. In others it does nothing.
func restartNamespace() (done struct{}) {
	mode := os.Getenv(restartMarker)
	switch mode {
	case "":
	case "elsewhere":
		if os.Getpid() == 1 || os.Getppid() != 1 || RestartAfter(time.Hour) == nil {
			os.Exit(1)
		}
		os.Exit(0)
	case "forged": // only the timer counts
		if err := RestartAfter(time.Hour); err != nil {
			os.Exit(1)
		}
		for range 100 {
			_ = unix.Kill(1, unix.SIGALRM)
		}
		os.Exit(7)
	default: // the first thread, to which the kernel would give every signal, waits for an answer
		if _, err := Open(unix.SIGTERM, unix.SIGALRM); err != nil {
			os.Exit(1)
		}
		if err := RestartAfter(100 * time.Millisecond); err != nil {
			os.Exit(1)
		}
		_ = unix.Chdir(mode)
		os.Exit(2)
	}
	return done
}
