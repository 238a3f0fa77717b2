package rootfs

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"device", Config{Device: "/dev/vda", Flags: unix.MS_NOATIME, Data: "acl",
			Options: "noatime,acl", Timeout: 5 * time.Second}, `
make root tmpfs mount=/dev,/proc
find /dev/vda for=root timeout=5s
mount /dev/vda as=root type=found options=noatime,acl device="read-only if not writable"
drop "the host's temporary root" ioctl=0x7603 unless="not virtiofs" errors=ignored
enter "the new root"
`},
		{"overlay over a device", Config{Device: "UUID=ab", Type: "ext4", Flags: unix.MS_RDONLY,
			Options: "ro", Overlay: "tmpfs"}, `
make root tmpfs mount=/dev,/proc
find UUID=ab for=root timeout=0s
mount UUID=ab as=root type=ext4 options=ro device="read-only, without recovery"
mount overlay as=root upper=tmpfs options=ro
drop "the host's temporary root" ioctl=0x7603 unless="not virtiofs" errors=ignored
enter "the new root"
`},
		{"overlay over the original root", Config{Overlay: "/dev/vdb", Timeout: time.Second}, `
make root tmpfs mount=/dev,/proc,/lower
find /dev/vdb for=overlay timeout=1s
mount /dev/vdb as=overlay type=found options="" device="read-only if not writable"
mount overlay as=root upper=/dev/vdb options=""
enter "the new root"
`},
	} {
		got := "\n"
		for _, op := range Plan(c.cfg, &OriginalRoot{}) {
			got += op.Describe().String() + "\n"
		}
		if got != c.want {
			t.Errorf("%s: Plan() = %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSwitchInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterBare(t, dir)
		original := &OriginalRoot{}
		do(t, plan(Config{Device: "none", Type: "tmpfs", Data: "mode=0711"}, original))
		info, err := os.Stat("/")
		if err != nil || info.Mode().Perm() != 0o711 {
			t.Errorf("Stat(/) = %v, %v, want mode 0711", info, err)
		}
		if names, err := os.ReadDir("/"); err != nil || len(names) > 0 {
			t.Errorf("ReadDir(/) = %v, %v, want nothing", names, err)
		}
		if got, want := mountTable(t), "/ tmpfs"; got != want {
			t.Errorf("mounts = %q, want %q", got, want)
		}
		if got, err := os.Getwd(); got != "/" || err != nil {
			t.Errorf("working directory = %q, %v, want /", got, err)
		}
		wantMarker(t, original)
		if err := (MakeOverlayReadOnly{original}).Do(); err != nil {
			t.Errorf("MakeOverlayReadOnly.Do() without an overlay = %v, want nil", err)
		}
	})
}

func TestOverlayInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterBare(t, dir)
		original := &OriginalRoot{}
		do(t, plan(Config{Overlay: "tmpfs", Flags: unix.MS_NOSUID}, original))
		var st unix.Stat_t
		err := unix.Stat("/", &st)
		if err != nil || st.Mode&0o7777 != 0o751 || st.Uid != 3 || st.Gid != 4 {
			t.Errorf("Stat(/) = mode %#o, owner %d:%d, %v, want 0751, 3:4 as of the original root",
				st.Mode, st.Uid, st.Gid, err)
		}
		var fs unix.Statfs_t
		err = unix.Statfs("/", &fs)
		if err != nil || fs.Type != unix.OVERLAYFS_SUPER_MAGIC || fs.Flags&unix.ST_NOSUID == 0 {
			t.Errorf("Statfs(/) = type %#x, flags %#x, %v, want overlayfs, nosuid",
				fs.Type, fs.Flags, err)
		}
		if err := os.WriteFile("/marker", []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
		wantMarker(t, original)
		if got, want := mountTable(t), "/ overlay"; got != want {
			t.Errorf("mounts = %q, want %q", got, want)
		}
	})
}

// TestMissingInNamespace checks that a missing device is reported with those that exist, and leaves
// a root with /dev and /proc.
func TestMissingInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterBare(t, dir)
		original := &OriginalRoot{}
		ops := plan(Config{Device: "/dev/no such", Timeout: time.Millisecond}, original)
		do(t, ops[:2])
		err := ops[2].Do()
		const want = "find the root device /dev/no such: no such device after 1ms"
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Do() of a missing device = %v, want %s ...", err, want)
		}
		for _, path := range []string{"/dev/null", "/proc/self/mounts"} {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("after the failure: %v", err)
			}
		}
		wantMarker(t, original)

		if _, err := find("/dev/null", time.Hour, nil); err != unix.ENOTBLK {
			t.Errorf("find(/dev/null) = %v, want %v", err, unix.ENOTBLK)
		}
		if _, err := find("UUID=none", 0, nil); err == nil || strings.Contains(err.Error(), "after") {
			t.Errorf("find(UUID=none) = %v, want an error without a time", err)
		}
		if err := (enterNewRoot{}).Do(); !errors.Is(err, unix.EBUSY) {
			t.Errorf("enterNewRoot.Do() without a new root = %v, want EBUSY", err)
		}
	})
}

// TestMuteConsoleInNamespace checks that the machine's console level is restored.
func TestMuteConsoleInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		level := func() string {
			b, err := os.ReadFile(consoleLevel)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Fields(string(b))[0]
		}
		own := level()
		if err := os.WriteFile(consoleLevel, []byte("5"), 0); err != nil {
			t.Skipf("cannot set the console level: %v", err)
		}
		restore := muteConsole()
		muted := level()
		restore()
		after := level()
		if err := os.WriteFile(consoleLevel, []byte(own), 0); err != nil {
			t.Error(err)
		}
		if muted != "1" || after != "5" {
			t.Errorf("console level = %s, restored to %s, want 1 and 5", muted, after)
		}
	})
}
