package rootfs

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// enterBare makes the empty tmpfs at dir the root of the test's mount namespace: a root without
// /dev and /proc, and with a file named marker.
func enterBare(t *testing.T, dir string) {
	t.Helper()
	for _, err := range []error{
		os.WriteFile(dir+"/marker", []byte("original"), 0o644),
		os.Chmod(dir, 0o751),
		os.Chown(dir, 3, 4),
		unix.Chdir(dir),
		swapRoot(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// plan returns the operations of OpenOriginalRoot and Plan.
func plan(cfg Config, original *OriginalRoot) []op.Op {
	return append([]op.Op{OpenOriginalRoot{original}}, Plan(cfg, original)...)
}

// do carries out operations that must not fail.
func do(t *testing.T, ops []op.Op) {
	t.Helper()
	for _, op := range ops {
		if err := op.Do(); err != nil {
			t.Fatalf("%v: %v", op.Describe(), err)
		}
	}
}

// mountTable returns mount points and types in order. It mounts /proc meanwhile.
func mountTable(t *testing.T) string {
	t.Helper()
	mountProc(t)
	defer unix.Unmount("/proc", 0)
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[1] != "/proc" {
			points = append(points, f[1]+" "+f[2])
		}
	}
	return strings.Join(points, ", ")
}

func mountProc(t *testing.T) {
	t.Helper()
	if err := os.Mkdir("/proc", 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
}

// wantMarker checks that the original root is accessible and unchanged.
func wantMarker(t *testing.T, original *OriginalRoot) {
	t.Helper()
	dir, ok := original.FD()
	if !ok {
		t.Fatal("the original root is not open")
	}
	fd, err := unix.Openat(dir, "marker", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	buf := make([]byte, 100)
	n, err := unix.Read(fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(buf[:n]); got != "original" {
		t.Errorf("marker of the original root = %q, want %q", got, "original")
	}
}

// attach makes a file a block device, which exists until the returned descriptor is closed and
// unmounted.
func attach(t *testing.T, path string) (device string, fd int) {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no loop devices: %v", err)
	}
	defer control.Close()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 10 { // another process may take the device first
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		device = fmt.Sprintf("/dev/loop%d", n)
		if fd, err = unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		config := unix.LoopConfig{Fd: uint32(file.Fd()),
			Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		if err = unix.IoctlLoopConfigure(fd, &config); err == nil {
			return device, fd
		}
		unix.Close(fd)
	}
	t.Fatal("no free loop device")
	return "", 0
}
