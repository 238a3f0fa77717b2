// Package nstest runs a test in namespaces of its own, where mounts, host names and interfaces are nobody else's.
package nstest

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

const marker = "KRUNBOX_NSTEST"

// Run runs f in a process of its own: PID 1 of new mount, PID, network, UTS and IPC namespaces, with all mounts private
// and an empty tmpfs at the returned directory. It must be the first thing a test does. It skips without root.
func Run(t *testing.T, f func(t *testing.T, dir string)) {
	t.Helper()
	if os.Getenv(marker) == t.Name() {
		enter(t, f)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root for new namespaces")
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v"}
	for _, arg := range os.Args[1:] { // flags that the test package defines, such as -update
		if !strings.HasPrefix(arg, "-test.") {
			args = append(args, arg)
		}
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), marker+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in namespaces: %v\n%s", err, out)
	}
	t.Logf("in namespaces:\n%s", out)
}

func enter(t *testing.T, f func(*testing.T, string)) {
	t.Helper()
	if os.Getpid() != 1 {
		t.Fatalf("process ID in the new namespace = %d, want 1", os.Getpid())
	}
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		t.Fatalf("make mounts private: %v", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		t.Fatalf("mount proc: %v", err)
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatalf("mount tmpfs: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	f(t, dir)
}
