package mount

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/boot"
)

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		set     uintptr
		options string
		flags   uintptr
		data    string
	}{
		{0, "", 0, ""},
		{0, "defaults", 0, ""},
		{0, "ro,nosuid,size=64m,mode=1777", unix.MS_RDONLY | unix.MS_NOSUID, "size=64m,mode=1777"},
		{unix.MS_NOEXEC | unix.MS_NODEV, "exec", unix.MS_NODEV, ""},
		{0, "ro,rw", 0, ""},
		{0, "rbind,rslave", unix.MS_BIND | unix.MS_REC | unix.MS_SLAVE, ""},
		{0, "strictatime,lazytime", unix.MS_STRICTATIME | unix.MS_LAZYTIME, ""},
	} {
		flags, data := ParseOptions(c.set, strings.Split(c.options, ","))
		if flags != c.flags || data != c.data {
			t.Errorf("ParseOptions(%#x, %q) = %#x, %q, want %#x, %q", c.set, c.options, flags, data, c.flags, c.data)
		}
	}
}

// What is printed is what would be parsed.
func TestFlagNames(t *testing.T) {
	for _, f := range flags {
		if f.clear {
			if got, _ := ParseOptions(^uintptr(0), []string{f.name}); got != ^f.bit {
				t.Errorf("ParseOptions(all, %q) leaves %#x, want all but %#x", f.name, got, f.bit)
			}
			continue
		}
		if got := flagNames(f.bit); len(got) != 1 || got[0] != f.name {
			t.Errorf("flagNames(%#x) = %q, want %q", f.bit, got, f.name)
		}
	}
}

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

func TestInTable(t *testing.T) {
	const table = "devtmpfs /dev devtmpfs rw 0 0\n" +
		`tmpfs /a\040b\134c tmpfs rw 0 0` + "\n" +
		"proc /proc proc rw 0 0"
	for target, want := range map[string]bool{
		"/dev": true, "/proc": true, `/a b\c`: true, "/": false, "/de": false, "/dev/": false, "tmpfs": false, "": false,
	} {
		if got := inTable([]byte(table), target); got != want {
			t.Errorf("inTable(%q) = %v, want %v", target, got, want)
		}
	}
}

func FuzzInTable(f *testing.F) {
	f.Add(`a /b\0 c`, "/b")
	f.Add("a /b\\040\n", "/b ")
	f.Fuzz(func(t *testing.T, table, target string) { inTable([]byte(table), target) })
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
		if err := (Propagation{Target: dir, Flag: unix.MS_SHARED}).Do(); err != nil {
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
		if err := (Unsupported{"mqueue", deep}).Do(); err != nil {
			t.Errorf("Unsupported on a mount point = %v, want nil", err)
		}
		if err := (Unsupported{"mqueue", dir + "/x"}).Do(); !errors.Is(err, boot.ErrUnsupported) {
			t.Errorf("Unsupported elsewhere = %v, want ErrUnsupported", err)
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
