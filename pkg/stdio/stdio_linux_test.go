package stdio

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

// classDir makes a directory like /sys/class/virtio-ports with entries and their names. An entry
// with the name "" has none.
func classDir(t *testing.T, entries map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for entry, name := range entries {
		if err := os.Mkdir(filepath.Join(dir, entry), 0o755); err != nil {
			t.Fatal(err)
		}
		if name == "" {
			continue
		}
		file := filepath.Join(dir, entry, "name")
		if err := os.WriteFile(file, []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPorts(t *testing.T) {
	dir := classDir(t, map[string]string{"vport0p0": "", "vport1p2": "krun-stdout",
		"vport1p1": "krun-stdin", "vport2p1": "my port"})
	got, err := Ports(dir)
	slices.SortFunc(got, func(a, b Port) int { return strings.Compare(a.Device, b.Device) })
	want := []Port{{"krun-stdin", "/dev/vport1p1"}, {"krun-stdout", "/dev/vport1p2"},
		{"my port", "/dev/vport2p1"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("Ports() = %v, %v, want %v", got, err, want)
	}
	if _, err := Ports(dir + "/missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Ports(missing) = %v, want ErrNotExist", err)
	}
}

func TestStream(t *testing.T) {
	for name, want := range map[string]int{
		"krun-stdin": 0, "krun-stdout": 1, "krun-stderr": 2,
		"krun-stdin2": -1, "": -1, "KRUN-STDIN": -1,
	} {
		if got := (Port{Name: name}).Stream(); got != want {
			t.Errorf("Port %q: Stream() = %d, want %d", name, got, want)
		}
	}
}

// TestRedirectInNamespace checks that a port that has disappeared does not affect the others.
func TestRedirectInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		if err := unix.Mount("tmpfs", "/dev", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("/dev/vport1p2", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		class := classDir(t, map[string]string{
			"vport1p1": "krun-stdin", "vport1p2": "krun-stdout", "vport1p3": "other"})
		streams := Inherited()
		err := Redirect{ClassDir: class, Streams: streams, Relay: &Relay{}}.Do()
		const want = "redirect krun-stdin: open /dev/vport1p1: "
		if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), want) {
			t.Errorf("Redirect.Do() = %v, want ENOENT and %q", err, want)
		}
		if streams[0] != 0 || streams[1] <= 2 || streams[2] != 2 {
			t.Errorf("streams = %v, want only stdout redirected", *streams)
		}
		port := streams[1]
		flags, err := unix.FcntlInt(uintptr(port), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_ACCMODE != unix.O_WRONLY {
			t.Errorf("flags of stdout = %#x, %v, want O_WRONLY", flags, err)
		}
		if err := (Close{streams}).Do(); err != nil || *streams != [3]int{0, 1, 2} {
			t.Errorf("Close.Do() = %v, streams %v, want the inherited ones", err, *streams)
		}
		if _, err := unix.FcntlInt(uintptr(port), unix.F_GETFD, 0); err != unix.EBADF {
			t.Errorf("the port is still open after Close: %v", err)
		}
	})
}

// TestReopenInNamespace checks that closed descriptors become /dev/null if there is no console, and
// that others do not change.
func TestReopenInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		if err := unix.Mount("tmpfs", "/dev", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mknod("/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
		reference, err := unix.Open("/", unix.O_PATH, 0)
		if err != nil {
			t.Fatal(err)
		}
		var keep [2]int
		for fd := range keep {
			if keep[fd], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 100); err != nil {
				t.Fatal(err)
			}
		}
		unix.Close(0)
		if err := unix.Dup3(reference, 1, 0); err != nil {
			t.Fatal(err)
		}
		err = Reopen{}.Do()
		var opened [3]unix.Stat_t
		for fd := range opened {
			_ = unix.Fstat(fd, &opened[fd])
		}
		flags, _ := unix.FcntlInt(0, unix.F_GETFD, 0)
		for fd := range keep {
			_ = unix.Dup3(keep[fd], fd, 0)
		}
		if err != nil {
			t.Error(err)
		}
		for fd := range 2 {
			if opened[fd].Rdev != unix.Mkdev(1, 3) {
				t.Errorf("descriptor %d has mode %#o, device %#x, want /dev/null",
					fd, opened[fd].Mode, opened[fd].Rdev)
			}
		}
		if flags != 0 {
			t.Error("descriptor 0 is close-on-exec")
		}
		if opened[2].Rdev == unix.Mkdev(1, 3) {
			t.Error("descriptor 2 was open, but is replaced")
		}
	})
}

func TestPreferred(t *testing.T) {
	const tty = "ttyS0                -W- (E   a   )    4:64\n"
	for consoles, want := range map[string]string{
		"hvc0                 -W- (EC    p  )  229:0\n":   "hvc0",
		tty + "tty0                 -WU (EC p   )    4:7": "tty0",
		tty:          "",
		"":           "",
		"\n(C":       "",
		"../C (C)\n": "",
	} {
		if got := preferred(consoles); got != want {
			t.Errorf("preferred(%q) = %q, want %q", consoles, got, want)
		}
	}
}

// Only the first line waits for a descriptor that takes none. Where it takes one again, lines go
// there again.
func TestPrinterDoesNotWaitTwice(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	full := make([]byte, 1<<20)
	if _, err := unix.Write(pipe[1], full); err != nil {
		t.Fatal(err)
	}
	const lines = 30
	var p Printer
	start := time.Now()
	for range lines {
		p.Print(pipe[1], "a line of a test, on standard error")
	}
	if took := time.Since(start); took < printTimeout || took > lines/2*printTimeout {
		t.Errorf("%d lines took %v, want one time-out of %v", lines, took, printTimeout)
	}
	if _, err := unix.Read(pipe[0], full); err != nil {
		t.Fatal(err)
	}
	p.Print(pipe[1], "line")
	n, err := unix.Read(pipe[0], full)
	if got, want := string(full[:max(n, 0)]), "krunbox: line\n"; err != nil || got != want {
		t.Errorf("the descriptor got %q, %v, want %q", got, err, want)
	}
	if len(p.stuck) != 0 {
		t.Errorf("stuck = %v, want none", p.stuck)
	}
}
