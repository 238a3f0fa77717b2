package rootfs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/op"
)

func TestDeviceInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		path := dir + "/image"
		makeExt(t, path, "ext4")
		device, fd := attach(t, path)
		defer unix.Close(fd)
		enterBare(t, dir)
		original := &OriginalRoot{}

		ops := plan(Config{Device: device, Type: "ext4", Data: "nonsense=7"}, original)
		do(t, ops[:3])
		err := ops[3].Do()
		want := "mount ext4 " + device + " as root: invalid argument"
		if !errors.Is(err, unix.EINVAL) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("mount with an invalid option = %v, want %s ...", err, want)
		}
		v := &volume{role: "root", fsType: "nosuchfs",
			device: Device{Path: device, Superblock: Superblock{Type: "ext4"}}}
		err = (&mountVolume{v, newRoot}).Do()
		want = "mount nosuchfs " + device + " as root: the kernel has no nosuchfs (it holds ext4)"
		if err == nil || err.Error() != want {
			t.Errorf("mount as an unknown type = %v, want %s", err, want)
		}

		devices, err := Devices()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range devices {
			want := Device{Path: device, Size: 8 << 20,
				Superblock: Superblock{Type: "ext4", UUID: textUUID, Label: "a label"}}
			if d.Path == device && d != want {
				t.Errorf("Devices() has %+v, want %+v", d, want)
			}
		}

		// Mount it by its UUID or, if another device has the same one, by its path.
		name := "UUID=" + strings.ToUpper(textUUID)
		if d, err := find(name, 0, nil); err != nil {
			t.Error(err)
		} else if d.Path != device {
			name = device
		}
		do(t, plan(Config{Device: name, Data: "errors=remount-ro"}, original))
		if got, want := mountTable(t), "/ ext4"; got != want {
			t.Errorf("mounts = %q, want %q", got, want)
		}
		if err := os.WriteFile("/file", []byte("x"), 0o644); err != nil {
			t.Error(err)
		}
	})
}

func TestMakeOverlayReadOnlyInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		path := dir + "/image"
		makeExt(t, path, "ext4")
		device, fd := attach(t, path)
		defer unix.Close(fd)
		enterBare(t, dir)
		original := &OriginalRoot{}
		do(t, plan(Config{Overlay: device}, original))
		if got, want := mountTable(t), "/ overlay"; got != want {
			t.Errorf("mounts = %q, want %q", got, want)
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
				t.Fatalf("Detect() = %+v, %v", sb, err)
			}
			return sb.Dirty
		}
		if !dirty() {
			t.Error("the overlay's device is clean while a file is open for writing, want dirty")
		}
		makeReadOnly := MakeOverlayReadOnly{original}
		do(t, []op.Op{makeReadOnly, makeReadOnly}) // frozen, and still frozen
		if dirty() {
			t.Error("the overlay's device is dirty while a file is open for writing, want clean")
		}
		const fiThaw = 0xc0045878 // FITHAW of linux/fs.h
		if err := unix.IoctlSetInt(original.detached[0], fiThaw, 0); err != nil {
			t.Fatalf("thaw: %v", err)
		}
		f.Close()
		do(t, []op.Op{makeReadOnly})
		if dirty() {
			t.Error("the overlay's device is dirty, want clean")
		}
		if err := os.WriteFile("/other", nil, 0o644); !errors.Is(err, unix.EROFS) {
			t.Errorf("write afterwards = %v, want EROFS", err)
		}
	})
}

// TestFindWaitsInNamespace checks that find waits for a device that appears later.
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
		want := Device{Path: dir + "/late",
			Superblock: Superblock{"ext3", textUUID, "sixteen letters!", true}}
		made := make(chan error, 1)
		time.AfterFunc(3*retryInterval, func() {
			made <- unix.Mknod(want.Path, unix.S_IFBLK|0o600, int(st.Rdev))
		})
		if got, err := find(want.Path, time.Minute, nil); got != want || err != nil {
			t.Errorf("find(%s) = %+v, %v, want %+v", want.Path, got, err, want)
		}
		if err := <-made; err != nil {
			t.Error(err)
		}
	})
}
