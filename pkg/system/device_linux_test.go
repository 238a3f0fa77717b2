package system

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestDeviceInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		unix.Umask(0o077)
		check := func(d Device, mode, uid, gid uint32) {
			t.Helper()
			if err := d.Do(); err != nil {
				t.Error(err)
			}
			var st unix.Stat_t
			err := unix.Stat(d.Path, &st)
			rdev := unix.Mkdev(uint32(d.Major), uint32(d.Minor))
			if err != nil || st.Mode != mode || st.Uid != uid || st.Gid != gid || st.Rdev != rdev {
				t.Errorf("%+v: mode %#o, uid %d, gid %d, number %#x, %v, want %#o, %d, %d, %#x",
					d, st.Mode, st.Uid, st.Gid, st.Rdev, err, mode, uid, gid, rdev)
			}
		}
		fuse := Device{Path: dir + "/deep/er/fuse", Type: "c", Major: 10, Minor: 229}
		check(fuse, unix.S_IFCHR|0o666, 0, 0)
		check(fuse, unix.S_IFCHR|0o666, 0, 0) // it exists now
		fuse.FileMode, fuse.GID = new(os.ModeDevice|0o640), new(uint32(5))
		check(fuse, unix.S_IFCHR|0o640, 0, 5)
		fuse.FileMode, fuse.GID, fuse.UID = nil, nil, new(uint32(1000))
		check(fuse, unix.S_IFCHR|0o640, 1000, 5)
		disk := Device{Path: dir + "/disk", Type: "b", Major: 4095, Minor: 1<<20 - 1,
			FileMode: new(os.FileMode(0o600)), UID: new(uint32(1)), GID: new(uint32(2))}
		check(disk, unix.S_IFBLK|0o600, 1, 2)
		fifo := Device{Path: dir + "/fifo", Type: "p"}
		check(fifo, unix.S_IFIFO|0o666, 0, 0)
		check(fifo, unix.S_IFIFO|0o666, 0, 0)
		if err := os.Symlink("deep/er/fuse", dir+"/link"); err != nil {
			t.Fatal(err)
		}
		fuse.Path, fuse.UID, fuse.FileMode = dir+"/link", new(uint32(7)), new(os.FileMode(0o600))
		check(fuse, unix.S_IFCHR|0o640, 1000, 5)

		if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, d := range []Device{
			{Path: dir + "/file", Type: "c", Major: 1, Minor: 3},
			{Path: dir + "/disk", Type: "c", Major: 4095, Minor: 1<<20 - 1},
			{Path: dir + "/deep/er/fuse", Type: "c", Major: 10, Minor: 228},
		} {
			err, prefix := d.Do(), "make device "+d.Path+": "
			if !errors.Is(err, unix.EEXIST) || !strings.HasPrefix(err.Error(), prefix) {
				t.Errorf("%+v.Do() = %v, want EEXIST", d, err)
			}
		}
		for _, d := range []Device{
			{Path: dir + "/x", Type: "d"},
			{Path: dir + "/x", Type: "c", Major: 1 << 12},
			{Path: dir + "/x", Type: "b", Minor: -1},
		} {
			if err := d.Do(); err == nil || !strings.Contains(err.Error(), ": invalid ") {
				t.Errorf("%+v.Do() = %v, want an error", d, err)
			}
		}
	})
}

func TestDeviceDescribe(t *testing.T) {
	for _, c := range []struct {
		d    Device
		want string
	}{
		{Device{Path: "/dev/x", Type: "p"}, "make device /dev/x type=p"},
		{Device{Path: "/dev/x", Type: "c", Major: 1, Minor: 3, FileMode: new(os.FileMode(0o640)),
			UID: new(uint32(4)), GID: new(uint32(5))},
			"make device /dev/x type=c number=1:3 mode=0640 uid=4 gid=5"},
	} {
		if got := c.d.Describe().String(); got != c.want {
			t.Errorf("Describe() = %s, want %s", got, c.want)
		}
	}
}
