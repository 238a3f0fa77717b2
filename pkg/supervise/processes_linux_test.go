package supervise

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

// catch receives signals for the rest of the process.
func catch(t *testing.T) *loop.Signals {
	t.Helper()
	var signals *loop.Signals
	if err := (Catch{&signals}).Do(); err != nil {
		t.Fatal(err)
	}
	return signals
}

// send sends a signal to this process, and waits until it has come. It drops earlier ones.
func send(t *testing.T, signals *loop.Signals, sig syscall.Signal) {
	t.Helper()
	kill := func(sig syscall.Signal) {
		if err := unix.Kill(1, sig); err != nil {
			t.Fatal(err)
		}
		// FD may be readable without a signal, see Signals.Next.
		waitFor(t, sig.String(), func() bool { return signals.Waiting(sig) })
	}
	kill(unix.SIGUSR2) // those sent before it come before it
	for signals.Next() != 0 {
	}
	kill(sig)
}

// start starts a command in a session of its own. The caller does not wait for it: Watch does.
func start(t *testing.T, cmd *exec.Cmd) (pid int) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// startScript starts a shell script in dir, and waits until it has made the file "ready".
func startScript(t *testing.T, dir, script string) (pid int) {
	t.Helper()
	ready := filepath.Join(dir, "ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = dir
	pid = start(t, cmd)
	waitFor(t, "the script is ready", func() bool { return unix.Access(ready, unix.F_OK) == nil })
	return pid
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute: ", what)
		}
	}
}

// processes returns the process IDs of the namespace.
func processes(t *testing.T) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// state returns the state of a process, a letter as in proc_pid_stat(5), or "" if there is none.
func state(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, fields, _ := strings.Cut(string(stat), ") ")
	return fields[:1]
}
