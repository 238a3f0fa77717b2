package rootfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/op"
)

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"device", Config{Device: "/dev/vda", Flags: unix.MS_NOATIME, Data: "acl", Options: "noatime,acl", Timeout: 5 * time.Second}, `root (fatal)
    make root tmpfs mount=/dev,/proc
    find /dev/vda for=root timeout=5s
    mount /dev/vda as=root type=found options=noatime,acl device="read-only if not writable"
    drop "the host's temporary root" ioctl=0x7603 unless="not virtiofs" errors=ignored
    enter "the new root"
`},
		{"overlay over a device", Config{Device: "UUID=ab", Type: "ext4", Flags: unix.MS_RDONLY, Options: "ro", Overlay: "tmpfs"}, `root (fatal)
    make root tmpfs mount=/dev,/proc
    find UUID=ab for=root timeout=0s
    mount UUID=ab as=root type=ext4 options=ro device="read-only, without recovery"
    mount overlay as=root upper=tmpfs options=ro
    drop "the host's temporary root" ioctl=0x7603 unless="not virtiofs" errors=ignored
    enter "the new root"
`},
		{"overlay over the first root", Config{Overlay: "/dev/vdb", Timeout: time.Second}, `root (fatal)
    make root tmpfs mount=/dev,/proc,/lower
    find /dev/vdb for=overlay timeout=1s
    mount /dev/vdb as=overlay type=found options="" device="read-only if not writable"
    mount overlay as=root upper=/dev/vdb options=""
    enter "the new root"
`},
	} {
		var b strings.Builder
		plan := func(c Config) ([]op.Op, error) { return Plan(c, &First{}), nil }
		if err := boot.WriteText(&b, []boot.Stage[Config]{{Name: "root", Plan: plan}}, c.cfg); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != c.want {
			t.Errorf("%s: Plan = %s, want %s", c.name, got, c.want)
		}
	}
}

// enterBare makes the empty tmpfs at dir the root of the namespace that the test has for itself: a root without /dev and
// /proc, to begin with.
func enterBare(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(dir+"/marker", []byte("first"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o751); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, 3, 4); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chdir(dir); err != nil {
		t.Fatal(err)
	}
	if err := swapRoot(); err != nil {
		t.Fatal(err)
	}
}

// plan is Plan for a first root that is not kept yet.
func plan(cfg Config, first *First) []op.Op {
	return append([]op.Op{Keep{first}}, Plan(cfg, first)...)
}

func do(t *testing.T, ops []op.Op) {
	t.Helper()
	for _, op := range ops {
		if err := op.Do(); err != nil {
			t.Fatalf("%+v: %v", op.Describe(), err)
		}
	}
}

// mountTable is what is mounted: mount point and type, in order. It mounts /proc for that, and unmounts it.
func mountTable(t *testing.T) string {
	t.Helper()
	if err := os.Mkdir("/proc", 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
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

// firstMarker reads a file of the first root.
func firstMarker(t *testing.T, first *First) string {
	t.Helper()
	dir, ok := first.FD()
	if !ok {
		t.Fatal("the first root is not open")
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
	return string(buf[:n])
}

func TestSwitchInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterBare(t, dir)
		first := &First{}
		do(t, plan(Config{Device: "none", Type: "tmpfs", Data: "mode=0711"}, first))
		info, err := os.Stat("/")
		if err != nil || info.Mode().Perm() != 0o711 {
			t.Errorf("stat / = %v, %v, want mode 0711", info.Mode(), err)
		}
		if names, err := os.ReadDir("/"); err != nil || len(names) > 0 {
			t.Errorf("names in / = %v, %v, want none", names, err)
		}
		if got, want := mountTable(t), "/ tmpfs"; got != want {
			t.Errorf("mounted is %q, want %q", got, want)
		}
		if got, err := os.Getwd(); got != "/" || err != nil {
			t.Errorf("working directory = %q, %v, want /", got, err)
		}
		if got := firstMarker(t, first); got != "first" {
			t.Errorf("marker of the first root = %q, want %q", got, "first")
		}
		if err := (Clean{first}).Do(); err != nil {
			t.Errorf("Clean of nothing = %v, want nil", err)
		}
	})
}

func TestOverlayInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterBare(t, dir)
		first := &First{}
		do(t, plan(Config{Overlay: "tmpfs", Flags: unix.MS_NOSUID}, first))
		var st unix.Stat_t
		if err := unix.Stat("/", &st); err != nil || st.Mode&0o7777 != 0o751 || st.Uid != 3 || st.Gid != 4 {
			t.Errorf("stat / = mode %#o, owner %d:%d, %v, want those of the first root", st.Mode, st.Uid, st.Gid, err)
		}
		var fs unix.Statfs_t
		if err := unix.Statfs("/", &fs); err != nil || fs.Type != unix.OVERLAYFS_SUPER_MAGIC || fs.Flags&unix.ST_NOSUID == 0 {
			t.Errorf("statfs / = type %#x, flags %#x, %v, want an overlay, nosuid", fs.Type, fs.Flags, err)
		}
		if err := os.WriteFile("/marker", []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := firstMarker(t, first); got != "first" {
			t.Errorf("marker of the first root = %q after a write, want it unchanged", got)
		}
		if got, want := mountTable(t), "/ overlay"; got != want {
			t.Errorf("mounted is %q, want %q", got, want)
		}
	})
}

// What fails after the first root was left says what there is, and leaves a root to report it from.
func TestMissingInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterBare(t, dir)
		first := &First{}
		ops := plan(Config{Device: "/dev/no such", Timeout: time.Millisecond}, first)
		do(t, ops[:2])
		err := ops[2].Do()
		const want = "find the root device /dev/no such: no such device after 1ms"
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("find = %v, want %s ...", err, want)
		}
		for _, path := range []string{"/dev/null", "/proc/self/mounts"} {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("after a failure: %v", err)
			}
		}
		if got := firstMarker(t, first); got != "first" {
			t.Errorf("marker of the first root = %q, want %q", got, "first")
		}

		if _, err := find("/dev/null", time.Hour); err != unix.ENOTBLK {
			t.Errorf("find of no block device = %v, want %v", err, unix.ENOTBLK)
		}
		if _, err := find("UUID=none", 0); err == nil || strings.Contains(err.Error(), "after") {
			t.Errorf("find of an unknown UUID = %v, want an error about now", err)
		}
		if err := (enter{}).Do(); !errors.Is(err, unix.EBUSY) {
			t.Errorf("enter without a new root = %v, want EBUSY", err)
		}
	})
}

// attach makes a file a block device, for as long as the returned descriptor or a mount uses it.
func attach(t *testing.T, path string) (device string, fd int) {
	t.Helper()
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no loop devices: %v", err)
	}
	defer unix.Close(control)
	file, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	for range 10 { // somebody else may be faster
		n, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		device = "/dev/loop" + strconv.Itoa(n)
		if fd, err = unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		config := unix.LoopConfig{Fd: uint32(file), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		if err = unix.IoctlLoopConfigure(fd, &config); err == nil {
			return device, fd
		}
		unix.Close(fd)
	}
	t.Fatal("no free loop device")
	return "", 0
}

// makeExt4 makes an image with the label "a label".
func makeExt4(t *testing.T, path string) {
	t.Helper()
	mke2fs, err := exec.LookPath("mke2fs")
	if err != nil {
		t.Skip("no mke2fs")
	}
	out, err := exec.Command(mke2fs, "-q", "-t", "ext4", "-U", textUUID, "-L", "a label", path, "8M").CombinedOutput()
	if err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
}

func TestDeviceInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		path := dir + "/image"
		makeExt4(t, path)
		device, fd := attach(t, path)
		defer unix.Close(fd)
		enterBare(t, dir)
		first := &First{}

		// With the wrong type the root is not found, and it is said why.
		ops := plan(Config{Device: device, Type: "ext4", Data: "nonsense=7"}, first)
		do(t, ops[:3])
		err := ops[3].Do()
		want := "mount ext4 " + device + " as root: invalid argument"
		if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, unix.EINVAL) {
			t.Errorf("mount with a wrong option = %v, want %s ...", err, want)
		}
		v := &volume{role: "root", fsType: "nosuchfs", device: Device{Path: device, Superblock: Superblock{Type: "ext4"}}}
		err = (&mountOp{v, newRoot}).Do()
		want = "mount nosuchfs " + device + " as root: the kernel has no nosuchfs (it holds ext4)"
		if err == nil || err.Error() != want {
			t.Errorf("mount as an unknown type = %v, want %s", err, want)
		}

		devices, err := Devices()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range devices {
			want := Device{Path: device, Size: 8 << 20, Superblock: Superblock{Type: "ext4", UUID: textUUID, Label: "a label"}}
			if d.Path == device && d != want {
				t.Errorf("Devices has %+v, want %+v", d, want)
			}
		}

		// The right one, by its UUID, or where another device has that, by its path.
		name := "UUID=" + strings.ToUpper(textUUID)
		if d, err := find(name, 0); err != nil {
			t.Error(err)
		} else if d.Path != device {
			name = device
		}
		do(t, plan(Config{Device: name, Data: "errors=remount-ro"}, first))
		if got, want := mountTable(t), "/ ext4"; got != want {
			t.Errorf("mounted is %q, want %q", got, want)
		}
		if err := os.WriteFile("/file", []byte("x"), 0o644); err != nil {
			t.Error(err)
		}
	})
}

// The console's level is the machine's, whose own one is there again afterwards.
func TestHushInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		level := func() string {
			b, err := os.ReadFile(consoleLevel)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Fields(string(b))[0]
		}
		own := level()
		if err := setConsoleLevel([]byte("5")); err != nil {
			t.Skipf("the console's level can't be set: %v", err)
		}
		restore := hush()
		quiet := level()
		restore()
		after := level()
		if err := setConsoleLevel([]byte(own)); err != nil {
			t.Error(err)
		}
		if quiet != "1" || after != "5" {
			t.Errorf("console level = %s while it is hushed, %s afterwards, want 1 and 5", quiet, after)
		}
	})
}

// A device that nobody sees is clean when it was cleaned, and what was written is on it.
func TestCleanInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		path := dir + "/image"
		makeExt4(t, path)
		device, fd := attach(t, path)
		defer unix.Close(fd)
		enterBare(t, dir)
		first := &First{}
		do(t, plan(Config{Overlay: device}, first))
		if got, want := mountTable(t), "/ overlay"; got != want {
			t.Errorf("mounted is %q, want %q", got, want)
		}
		f, err := os.Create("/file")
		if err != nil {
			t.Fatal(err)
		}
		dirty := func() bool {
			b := make([]byte, 4096)
			if _, err := unix.Pread(fd, b, 0); err != nil {
				t.Fatal(err)
			}
			sb, err := Detect(bytes.NewReader(b))
			if err != nil || sb.Type != "ext4" {
				t.Fatalf("Detect = %+v, %v", sb, err)
			}
			return sb.Dirty
		}
		if !dirty() {
			t.Error("the overlay's device is clean while it is written to, want it dirty")
		}
		if err := (Clean{first}).Do(); !errors.Is(err, unix.EBUSY) {
			t.Errorf("Clean with an open file = %v, want EBUSY", err)
		}
		f.Close()
		if err := (Clean{first}).Do(); err != nil {
			t.Error(err)
		}
		if dirty() {
			t.Error("the overlay's device is dirty after Clean")
		}
		if err := os.WriteFile("/other", nil, 0o644); !errors.Is(err, unix.EROFS) {
			t.Errorf("write after Clean = %v, want EROFS", err)
		}
	})
}

// A device that comes late is found when it is there.
func TestFindWaitsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		image, err := io.ReadAll(ext(0x3c, 0x6, 0x3))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/image", image, 0o600); err != nil {
			t.Fatal(err)
		}
		device, fd := attach(t, dir+"/image")
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Stat(device, &st); err != nil {
			t.Fatal(err)
		}
		want := Device{Path: dir + "/late", Superblock: Superblock{"ext3", textUUID, "sixteen letters!", true}}
		made := make(chan error, 1)
		time.AfterFunc(3*again, func() { made <- unix.Mknod(want.Path, unix.S_IFBLK|0o600, int(st.Rdev)) })
		if got, err := find(want.Path, time.Minute); got != want || err != nil {
			t.Errorf("find(%s) = %+v, %v, want %+v", want.Path, got, err, want)
		}
		if err := <-made; err != nil {
			t.Error(err)
		}
	})
}

// What is deleted is what is in the directory, and nothing that is mounted there or linked to.
func TestEmptyInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		outside := t.TempDir()
		for _, path := range []string{outside + "/file", dir + "/a/b/c/file", dir + "/a/mounted/below", dir + "/kept/x"} {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("x"), 0o400); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Mount("tmpfs", dir+"/a/mounted", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(outside+"/file", dir+"/kept/x", "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{dir + "/a/mounted/file"} {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Symlink(outside, dir+"/link"), unix.Mkfifo(dir+"/a/fifo", 0o600)); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := empty(fd, "."); err != nil {
			t.Errorf("empty() = %v", err)
		}
		var left []string
		err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			left = append(left, strings.TrimPrefix(path, dir))
			return err
		})
		if want := []string{"", "/a", "/a/mounted", "/a/mounted/file", "/kept", "/kept/x"}; err != nil || !slices.Equal(left, want) {
			t.Errorf("what is left is %q, %v, want %q", left, err, want)
		}
		if _, err := os.Stat(outside + "/file"); err != nil {
			t.Errorf("a file beside it: %v", err)
		}
	})
}

// In a container nothing is deleted, be its root a tmpfs that can't be moved.
func TestFreeInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterBare(t, dir)
		first := &First{}
		do(t, []op.Op{Keep{first}})
		first.immovable = true
		if err := os.Mkdir("/proc", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			t.Fatal(err)
		}
		if err := (Free{first}).Do(); err != nil {
			t.Errorf("Free.Do() = %v", err)
		}
		if got := firstMarker(t, first); got != "first" {
			t.Errorf("marker of the first root = %q, want %q", got, "first")
		}
	})
}
