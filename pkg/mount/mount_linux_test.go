package mount

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

// TestIsBase checks that IsBase knows all mounts of Essential and Optional.
func TestIsBase(t *testing.T) {
	var pristine bool
	for _, op := range append(Essential(&pristine), Optional(&pristine)...) {
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
		deep := dir + "/a/b"
		m := tmpfs(deep, unix.MS_NOEXEC, "size=64k,mode=0700")
		m.Parents = false
		if err := m.Do(); !errors.Is(err, unix.ENOENT) {
			t.Errorf("mount on a point without parents = %v, want ENOENT", err)
		}
		m.Parents, m.Once = true, true
		do(t, m, m) // the second one finds the first
		table, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(table), " "+deep+" "); n != 1 {
			t.Errorf("%d mounts on %s, want one", n, deep)
		}
		wantMount(t, deep, "tmpfs", "rw,noexec,relatime", "")
		wantSize(t, deep, 64<<10)

		do(t, Mount{Type: "proc", Source: "proc", Target: "/proc"}) // there is one already
		for _, want := range []bool{true, false} {
			made := !want
			do(t, Mount{Type: "sysfs", Source: "sysfs", Target: dir + "/sys", Made: &made})
			if made != want {
				t.Errorf("mount sysfs sets Made to %v, want %v", made, want)
			}
		}
		err = Mount{Type: "nosuchfs", Target: deep}.Do()
		wantError(t, "mount of an unknown type", err, unix.ENODEV, "mount nosuchfs on "+deep+": ")

		do(t, Change{Target: dir, Attrs: Attrs{Propagation: unix.MS_SHARED | unix.MS_REC}})
		for _, point := range []string{dir, deep} {
			if fields, _ := mountLine(t, point); !strings.HasPrefix(fields[6], "shared:") {
				t.Errorf("%s is not shared: %q", point, fields)
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
		wantError(t, "mount without a mount point", err, unix.EROFS, "make the mount point")
	})
}

func TestSymlinkInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		link := Symlink{Target: "/proc/self/fd", Path: dir + "/fd"}
		do(t, link, link)
		if got, err := os.Readlink(link.Path); got != link.Target {
			t.Errorf("Readlink(%s) = %q, %v, want %q", link.Path, got, err, link.Target)
		}
	})
}

func TestRunInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enterRoot(t, dir)()
		pristine := true
		do(t, Run(&pristine)) // does nothing without a mount point
		if err := unix.Mkdir("/run", 0o700); err != nil {
			t.Fatal(err)
		}
		do(t, Run(&pristine))
		if st := lstat(t, "/run"); st.Mode&0o7777 != 0o755 || st.Dev == lstat(t, "/").Dev {
			t.Errorf("/run = mode %o, device %d, want a mount with mode 755", st.Mode, st.Dev)
		}
		do(t, Mount{Type: "proc", Source: "proc", Target: "/proc"})
		put(t, "/run/x", "there")
		pristine = false
		do(t, Run(&pristine)) // finds the mount
		wantFile(t, "/run/x", "there")
	})
}

func TestOpenProcInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		do(t, tmpfs("/proc", 0, ""))
		proc, err := OpenProc()
		if err != nil {
			t.Fatal(err)
		}
		defer proc.Close()
		table, err := readAt(proc, "self/mountinfo")
		if err != nil || !strings.Contains(string(table), " /proc ") {
			t.Errorf("readAt(self/mountinfo) = %q, %v, want the mount on /proc", table, err)
		}
		if _, err := readAt(proc, "none"); !errors.Is(err, unix.ENOENT) {
			t.Errorf("readAt(none) = %v, want ENOENT", err)
		}
	})
}
