package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/krunbox/krunbox/integration/virtiofs"
)

// TestIntercept has requests of the guest fail, and one wait. It checks what the guest sees and that
// requests have paths.
func TestIntercept(t *testing.T) {
	cfg := shell(t, `
cat /etc/passwd
cat /etc/group >/dev/null && echo read
mkdir /etc/new
echo text >/etc/new/file && cat /etc/new/file
exit 4`)
	const delay = 500 * time.Millisecond
	var mu sync.Mutex
	var seen []string
	cfg.Intercept = func(r virtiofs.Request) virtiofs.Answer {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Path)
		switch {
		case r.Path == "etc/passwd" && r.Op == virtiofs.OpOpen:
			return virtiofs.Answer{Error: syscall.EACCES}
		case r.Path == "etc/group" && r.Op == virtiofs.OpRead:
			return virtiofs.Answer{After: delay}
		}
		return virtiofs.Answer{}
	}
	result, err := Run(t.Context(), cfg)
	if err != nil || result.ExitCode != 4 {
		t.Fatalf("Run() = %d, %v, want 4", result.ExitCode, err)
	}
	want := "cat: can't open '/etc/passwd': Permission denied\nread\ntext\n"
	if got := strings.ReplaceAll(string(result.Console), "\r\n", "\n"); got != want {
		t.Errorf("console = %q, want %q", got, want)
	}
	if result.Duration < delay {
		t.Errorf("the machine ran for %v, want at least %v", result.Duration, delay)
	}
	for _, path := range []string{".", "init.krun", "bin/busybox", "etc/new", "etc/new/file"} {
		if !slices.Contains(seen, path) {
			t.Errorf("no request for %s", path)
		}
	}
}

// TestFailingDisks writes to a disk that is slow, and to one with a bad sector.
func TestFailingDisks(t *testing.T) {
	cfg := shell(t, `
write() { dd if=/dev/zero of=$1 bs=512 count=8 seek=$2 conv=fsync 2>/dev/null; echo $?; }
write /dev/vda 0
write /dev/vdb 0
write /dev/vdb 96
dd if=/dev/vda of=/dev/null bs=64k count=1 2>/dev/null; echo $?
dd if=/dev/zero of=/dev/vda bs=64k count=20 conv=fsync 2>/dev/null; echo $?
`)
	for _, disk := range []Disk{
		{BytesPerSecond: 1 << 20},
		{Errors: []DiskError{{Op: "write", Errno: syscall.EIO, Sector: 100}, {Op: "read", Errno: syscall.EIO, Sector: 2000}}},
	} {
		disk.Path = filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(disk.Path, make([]byte, 2<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		cfg.Disks = append(cfg.Disks, disk)
	}
	result, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel reports the errors on the console too.
	codes := slices.DeleteFunc(strings.Split(string(result.Console), "\r\n"), func(line string) bool { return len(line) != 1 })
	if got, want := codes, []string{"0", "0", "1", "0", "0"}; !slices.Equal(got, want) {
		t.Errorf("exit codes of dd = %q, want %q", got, want)
	}
	if result.Duration < time.Second {
		t.Errorf("1.3 MB were written to a disk of 1 MiB/s within %v", result.Duration)
	}
}

// TestUnreadConsole checks that input still arrives on a console that the host does not read.
func TestUnreadConsole(t *testing.T) {
	cfg := shell(t, "echo text; read line; exit $line")
	var console bytes.Buffer
	cfg.Console, cfg.ConsoleUnread, cfg.ConsoleIn = &console, true, strings.NewReader("5\n")
	result, err := Run(t.Context(), cfg)
	if err != nil || result.ExitCode != 5 || console.Len() > 0 || len(result.Console) > 0 {
		t.Errorf("Run() = %d, %v, console %q, want 5 and no output", result.ExitCode, err, console.String())
	}
}
