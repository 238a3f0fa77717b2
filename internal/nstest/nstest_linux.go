// Package nstest runs tests in new namespaces, so that they can change mounts, host names and
// interfaces without an effect on this machine.
package nstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// marker is the environment variable with the name of the test that runs in namespaces.
const marker = "KRUNBOX_NSTEST"

// Run calls f in a new process, which is PID 1 of new mount, PID, network, UTS and IPC namespaces.
// All mounts are private, and dir is an empty tmpfs. The process executes the test binary again, so
// a test must call Run before anything else. Run skips the test if this process is not root.
func Run(t *testing.T, f func(t *testing.T, dir string)) {
	t.Helper()
	if os.Getenv(marker) == t.Name() {
		enter(t, f)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("root only: creates namespaces")
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
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in namespaces: %v\n%s", err, out)
	}
	t.Logf("in namespaces:\n%s", out)
}

// enter sets up the namespaces of this process and calls f.
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

// CopySelf copies this program to a file in dir, and returns its path. A guard takes the same file
// as PID 1 for krunbox in a guest of its own.
func CopySelf(t *testing.T, dir string) (path string) {
	t.Helper()
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "other")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
