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
	for _, op := range append(Essential(), Optional()...) {
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
		unknown := Mount{Type: "nosuchfs", Source: "x", Target: deep, IfKnown: true}
		do(t, unknown)
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

// TestMountedInNamespace checks that nothing is mounted twice where another program has mounted the
// base file systems before.
func TestMountedInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enterRoot(t, dir)()
		for range 2 {
			for _, o := range append(Essential(), Optional()...) {
				if m, ok := o.(Mount); ok && m.Target != "/sys/fs/cgroup" {
					do(t, m)
				}
			}
		}
		table, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Fatal(err)
		}
		for _, point := range []string{"/dev", "/proc", "/sys", "/dev/pts", "/dev/shm"} {
			if n := strings.Count(string(table), " "+point+" "); n != 1 {
				t.Errorf("%d mounts on %s, want 1", n, point)
			}
			if got, err := Mounted(point); !got || err != nil {
				t.Errorf("Mounted(%s) = %v, %v, want true", point, got, err)
			}
		}
		for _, point := range []string{"/dev/fd", "/sys/kernel", "/none", "/none/x", "/dev/null/x"} {
			if got, err := Mounted(point); got || err != nil {
				t.Errorf("Mounted(%s) = %v, %v, want false", point, got, err)
			}
		}
	})
}

func TestRunDirInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enterRoot(t, dir)()
		do(t, Essential()[1]) // /proc
		r := FindRun("")
		if want := (RunDir{Path: "/run", Missing: true, Empty: true}); r != want {
			t.Errorf("FindRun() = %+v, want %+v", r, want)
		}
		do(t, r.Tmpfs())
		if st := lstat(t, "/run"); st.Mode&0o7777 != 0o755 || st.Dev == lstat(t, "/").Dev {
			t.Errorf("/run = mode %o, device %d, want a mount with mode 755", st.Mode, st.Dev)
		}
		put(t, "/run/x", "there")
		do(t, r.Tmpfs()) // finds the mount
		wantFile(t, "/run/x", "there")
		if err := errors.Join(unix.Unmount("/run", 0), unix.Chmod("/run", 0o700)); err != nil {
			t.Fatal(err)
		}
		if r = FindRun(""); r != (RunDir{Path: "/run", Empty: true}) {
			t.Errorf("FindRun() of an empty directory = %+v", r)
		}

		// With files, and behind a link.
		put(t, "/var/run/app/state", "of the image")
		put(t, "/var/run/lock/file", "of the image")
		if err := errors.Join(unix.Chown("/var/run/app", 3, 4), unix.Chmod("/var/run/app", 0o2750),
			os.Symlink("app", "/var/run/link"), unix.Rmdir("/run"), os.Symlink("var/run", "/run")); err != nil {
			t.Fatal(err)
		}
		if r = FindRun(""); r != (RunDir{Path: "/var/run"}) {
			t.Errorf("FindRun() of a link = %+v, want /var/run", r)
		}
		m := r.Tmpfs()
		m.IfReadOnly = true
		do(t, m)
		wantFile(t, "/run/app/state", "of the image")
		if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		do(t, m)
		wantMount(t, "/var/run", "tmpfs", "rw,nosuid,nodev,relatime", "")
		if st := lstat(t, "/run/app"); st.Mode&0o7777 != 0o2750 || st.Uid != 3 || st.Gid != 4 {
			t.Errorf("/run/app = mode %o, owner %d:%d, want 2750, 3:4", st.Mode, st.Uid, st.Gid)
		}
		if link, err := os.Readlink("/run/link"); link != "app" {
			t.Errorf("Readlink(/run/link) = %q, %v, want app", link, err)
		}
		for _, name := range []string{"/run/app/state", "/run/lock/file"} {
			if _, err := os.Lstat(name); !errors.Is(err, unix.ENOENT) {
				t.Errorf("Lstat(%s) = %v, want ENOENT: files are not copied", name, err)
			}
		}
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
