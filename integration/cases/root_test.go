package cases

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/krunbox/krunbox/integration/hostfs"
)

var readOnlyGuest = inGuest("read-only", func(t *testing.T) {
	for name, try := range map[string]func() error{
		"create": func() error { return os.WriteFile("/etc/new", nil, 0o644) },
		"write":  func() error { return os.WriteFile("/etc/passwd", nil, 0o644) },
		"mkdir":  func() error { return os.Mkdir("/tmp/new", 0o755) },
		"rename": func() error { return os.Rename("/etc/passwd", "/etc/shadow") },
		"remove": func() error { return os.Remove("/etc/passwd") },
		"chmod":  func() error { return os.Chmod("/etc/passwd", 0o600) },
	} {
		if err := try(); !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s = %v, want %v", name, err, syscall.EROFS)
		}
	}
	if b, err := os.ReadFile("/etc/passwd"); err != nil || !strings.HasPrefix(string(b), "root:") {
		t.Errorf("/etc/passwd = %q, %v, want it to start with root:", b, err)
	}
	if err := os.WriteFile("/dev/shm/new", []byte("x"), 0o644); err != nil {
		t.Error(err) // /dev/shm is not a part of the root
	}
})

// TestReadOnlyRoot checks that a workload cannot change a read-only root.
func TestReadOnlyRoot(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	cfg.ReadOnly = true
	readOnlyGuest.addTo(t, &cfg)
	wantConsole(t, run(t, cfg, 0), passed)
}

// TestBareRoot boots from a directory without mount points, and checks that init creates them.
func TestBareRoot(t *testing.T) {
	t.Parallel()
	cfg := machine(t, "amd64")
	cfg.Root = t.TempDir()
	mountsGuest.addTo(t, &cfg)
	cfg.GuestConfig = []byte(`{"args": ["` + mountsGuest.path() + `"], "cwd": "/made/by/init"}`)
	wantConsole(t, run(t, cfg, 0), passed)
	for _, dir := range []string{"dev", "proc", "sys", "made/by/init"} {
		if info, err := os.Stat(filepath.Join(cfg.Root, dir)); err != nil || !info.IsDir() {
			t.Errorf("/%s = %v, %v, want a directory", dir, info, err)
		}
	}
}

// TestRootThatLacksThings boots from a read-only root without /sys. It checks that init prints
// warnings and that the workload runs.
func TestRootThatLacksThings(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "echo running; exit 6")
	if err := os.Remove(filepath.Join(cfg.Root, "sys")); err != nil {
		t.Fatal(err)
	}
	cfg.ReadOnly = true
	text := console(run(t, cfg, 6))
	warnings, found := strings.CutSuffix(text, "running\n")
	if !found {
		t.Errorf("console = %q, want it to end with the output of the workload", text)
	}
	for line := range strings.Lines(warnings) {
		wantLine(t, line, "krunbox: warning: ")
	}
	for _, want := range []string{"mount sysfs on /sys: ", "read-only file system"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("warnings = %q, want them to contain %q", warnings, want)
		}
	}
}

// TestRootWithoutMountPoints boots from a virtual root without a directory for /proc, in which none
// can be created. It checks that init fails.
func TestRootWithoutMountPoints(t *testing.T) {
	t.Parallel()
	cfg := machine(t, "amd64")
	cfg.Dirs = []string{"/dev", "/sys"}
	cfg.Files = []hostfs.File{{Path: "/program", Data: []byte("#!/program"), Mode: 0o755}}
	cfg.Args = []string{"/program"}
	wantLine(t, console(run(t, cfg, 125)), "krunbox: ", "mount proc on /proc: ")
}
