package mount

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

// What is mounted as a base file system is known as one.
func TestIsBase(t *testing.T) {
	var fresh bool
	for _, op := range append(Essential(&fresh), Optional(&fresh)...) {
		if m, ok := op.(Mount); ok && !IsBase(m.Target) {
			t.Errorf("IsBase(%q) = false, want true", m.Target)
		}
	}
	if IsBase("/tmp") || IsBase("/dev/mqueue") {
		t.Error("IsBase of another mount point = true, want false")
	}
}

func TestMountInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		deep := filepath.Join(dir, "a/b")
		m := Mount{Type: "tmpfs", Source: "tmpfs", Target: deep, Flags: unix.MS_NOEXEC, Data: "size=64k,mode=0700"}
		if err := m.Do(); !errors.Is(err, unix.ENOENT) {
			t.Errorf("mount on a point without parents = %v, want ENOENT", err)
		}
		m.Parents, m.Once = true, true
		for range 2 { // the second time it is there
			if err := m.Do(); err != nil {
				t.Fatal(err)
			}
		}
		table, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(table), " "+deep+" "); n != 1 {
			t.Errorf("mounted %d times on %s, want once", n, deep)
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(deep, &fs); err != nil || fs.Blocks*uint64(fs.Bsize) != 64<<10 || fs.Flags&unix.ST_NOEXEC == 0 {
			t.Errorf("statfs(%s) = %d blocks of %d, flags %#x, %v; want 64 KiB and noexec", deep, fs.Blocks, fs.Bsize, fs.Flags, err)
		}

		again := Mount{Type: "proc", Source: "proc", Target: "/proc"}
		if err := again.Do(); err != nil {
			t.Errorf("mount proc on /proc again = %v, want nil", err)
		}
		err = Mount{Type: "nosuchfs", Target: deep}.Do()
		if !errors.Is(err, unix.ENODEV) || !strings.HasPrefix(err.Error(), "mount nosuchfs on "+deep+": ") {
			t.Errorf("mount of an unknown type = %v, want ENODEV with type and target", err)
		}
		if err := (Change{Target: dir, Attrs: Attrs{Propagation: unix.MS_SHARED | unix.MS_REC}}).Do(); err != nil {
			t.Error(err)
		}
		info, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(info)) {
			if strings.Contains(line, " "+dir) && !strings.Contains(line, " shared:") {
				t.Errorf("not shared: %s", line)
			}
		}
	})
}

func TestReadOnlyRootInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		err := Mount{Type: "tmpfs", Source: "tmpfs", Target: dir + "/sys"}.Do()
		if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "make the mount point") {
			t.Errorf("mount on a missing point of a read-only root = %v, want EROFS and what was tried", err)
		}
	})
}

func TestNodesInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		link := Symlink{Target: "/proc/self/fd", Path: dir + "/fd"}
		for range 2 {
			if err := link.Do(); err != nil {
				t.Error(err)
			}
		}
		if got, err := os.Readlink(link.Path); got != link.Target {
			t.Errorf("readlink(%s) = %q, %v, want %q", link.Path, got, err, link.Target)
		}
		chmod := Chmod{Path: dir + "/kvm", Mode: 0o666}
		if err := chmod.Do(); err != nil {
			t.Errorf("chmod of a missing file = %v, want nil", err)
		}
		if err := os.WriteFile(chmod.Path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := chmod.Do(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(chmod.Path); err != nil || info.Mode() != 0o666 {
			t.Errorf("mode = %v, %v, want 0666", info.Mode(), err)
		}
	})
}
