package cases

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var pid1Guest = inGuest("pid1", func(t *testing.T) {
	defer reportExitCode(t)
	if pid := os.Getpid(); pid != 1 {
		t.Errorf("PID = %d, want 1", pid)
	}
	if want := []string{"first", "", "--"}; !slices.Equal(os.Args[1:], want) {
		t.Errorf("arguments = %q, want %q", os.Args[1:], want)
	}
	if env, want := os.Environ(), []string{"TERM=linux", "A=1", "HOME=/root", defaultPath}; !slices.Equal(env, want) {
		t.Errorf("environment = %q, want %q", env, want)
	}
	if dir, err := os.Getwd(); dir != "/tmp" {
		t.Errorf("working directory = %q, %v, want /tmp", dir, err)
	}
	if status, err := os.ReadFile("/proc/self/status"); err != nil || !strings.Contains(string(status), "\nSigIgn:\t0000000000000000\n") {
		t.Errorf("status = %s, %v, want no ignored signals", status, err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit != (syscall.Rlimit{Cur: 1, Max: 2}) {
		t.Errorf("RLIMIT_CORE = %v, %v, want 1, 2", limit, err)
	}
})

// reportExitCode reports the result of a guest half that is PID 1 to the host. Init is no longer
// there to do it.
func reportExitCode(t *testing.T) {
	code := 0
	if t.Failed() {
		code = 1
	}
	root, err := unix.Open("/", unix.O_RDONLY, 0)
	if err == nil {
		err = unix.IoctlSetInt(root, 0x7602, code)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestWorkloadAsPID1 checks the state of a workload that init executes in its own place.
func TestWorkloadAsPID1(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	pid1Guest.addTo(t, &cfg)
	cfg.Env = []string{"KRUN_INIT_PID1=1", "KRUN_WORKDIR=/tmp", "KRUN_RLIMITS=4=1:2", "A=1"}
	cfg.GuestConfig = []byte(`{"args": ` + jsonList([]string{pid1Guest.path(), "first", "", "--"}) + `}`)
	wantConsole(t, run(t, cfg, 0), passed)
}

// TestProgramThatCannotBecomePID1 checks that init reports the error if it cannot execute the
// workload in its own place.
func TestProgramThatCannotBecomePID1(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	cfg.Env = []string{"KRUN_INIT_PID1=1"}
	cfg.Args = []string{"/no/such"}
	wantLine(t, console(run(t, cfg, 127)), "krunbox: ", `"/no/such"`, "no such file or directory")
}
