package cases

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/vm"
)

var userGuest = inGuest("user", func(t *testing.T) {
	ids := func(a, b, c int) [3]int { return [3]int{a, b, c} }
	if got, want := ids(unix.Getresuid()), ids(1000, 1000, 1000); got != want {
		t.Errorf("uids = %d, want %d", got, want)
	}
	if got, want := ids(unix.Getresgid()), ids(1001, 1001, 1001); got != want {
		t.Errorf("gids = %d, want %d", got, want)
	}
	if got, err := unix.Getgroups(); !slices.Equal(got, []int{5, 100}) {
		t.Errorf("groups = %d, %v, want 5, 100", got, err)
	}
	if got := syscall.Umask(0o22); got != 0o27 {
		t.Errorf("umask = %#o, want 027", got)
	}
	fmt.Fprintln(os.Stdout, "output")
	fmt.Fprintln(os.Stderr, "diagnostics")
	if len(os.Args) > 1 && os.Args[1] == "reopen" {
		for _, path := range []string{"/dev/stdout", "/dev/stderr"} {
			if err := os.WriteFile(path, []byte("to "+path+"\n"), 0); err != nil {
				t.Error(err)
			}
		}
	}

	// Open a new pseudo-terminal as grantpt(3) and unlockpt(3) do.
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ptmx.Close()
	if err := unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal("TIOCSPTLCK: ", err)
	}
	number, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal("TIOCGPTN: ", err)
	}
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(tty.Fd()), &st); err != nil || st.Uid != 1000 || st.Gid != 5 || st.Mode&0o777 != 0o620 {
		t.Errorf("terminal: owner %d, group %d, mode %#o, %v, want 1000, 5, 0620", st.Uid, st.Gid, st.Mode&0o777, err)
	}
})

// userConfig returns a configuration that runs userGuest with arguments as a user other than root.
func userConfig(args ...string) []byte {
	return fmt.Appendf(nil, `{"process": {
		"args": %s,
		"user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 100], "umask": 23}
	}}`, jsonList(append([]string{userGuest.path()}, args...)))
}

// TestUserOnConsole runs a workload as another user on the console.
func TestUserOnConsole(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	userGuest.addTo(t, &cfg)
	cfg.GuestConfig = userConfig("reopen")
	wantConsole(t, run(t, cfg, 0), "output\ndiagnostics\nto /dev/stdout\nto /dev/stderr\n"+passed)
}

// TestUserOnPorts is like TestUserOnConsole, with ports as standard streams. It does not open
// /dev/stdout and /dev/stderr, because Linux does not allow a second open of a virtio port.
func TestUserOnPorts(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	userGuest.addTo(t, &cfg)
	cfg.GuestConfig = userConfig()
	var stdout, stderr bytes.Buffer
	cfg.Ports = []vm.Port{{Name: "krun-stdout", Out: &stdout}, {Name: "krun-stderr", Out: &stderr}}
	wantConsole(t, run(t, cfg, 0), "")
	if got, want := stdout.String(), "output\n"+passed; got != want {
		t.Errorf("standard output = %q, want %q", got, want)
	}
	if got, want := stderr.String(), "diagnostics\n"; got != want {
		t.Errorf("standard error = %q, want %q", got, want)
	}
}
