package mount

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

// makeImage creates a directory with files of every kind.
func makeImage(t *testing.T, image string) {
	t.Helper()
	put(t, image+"/a/file", "text")
	put(t, image+"/bound", "of the host")
	put(t, image+"/bounddir/x", "of the host too")
	put(t, image+"/big", strings.Repeat("big", 1<<20))
	times := []unix.Timespec{{Sec: 1}, {Sec: 2, Nsec: 3}}
	if err := errors.Join(
		os.Symlink("nowhere", image+"/link"),
		unix.Mkfifo(image+"/fifo", 0o620),
		unix.Mknod(image+"/dev", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))),
		os.Chmod(image, 0o710),
		os.Chown(image+"/a", 3, 4),
		unix.Chmod(image+"/a", 0o2751),
		unix.Lchown(image+"/link", 5, 6),
		unix.Chmod(image+"/a/file", 0o4511),
		unix.UtimesNanoAt(unix.AT_FDCWD, image+"/a", times, 0),
	); err != nil {
		t.Fatal(err)
	}
}

func TestTmpfsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		image := dir + "/image"
		makeImage(t, image)
		names := []string{"a", "a/file", "link", "fifo", "dev", "big"}
		var before []unix.Stat_t
		for _, name := range names {
			before = append(before, lstat(t, image+"/"+name))
		}
		do(t, Tmpfs{
			Mount:  tmpfs(image, 0, ""),
			CopyUp: CopyAll,
			Keep:   []string{image + "/bound", image + "/bounddir", image + "/not/there"},
		})
		wantMount(t, image, "tmpfs", "rw,relatime", "")
		if st := lstat(t, image); st.Mode&0o7777 != 0o710 {
			t.Errorf("mode of the tmpfs = %o, want the mode of the directory below, 710", st.Mode)
		}
		for i, name := range names {
			a, b := before[i], lstat(t, image+"/"+name)
			same := a.Mode == b.Mode && a.Uid == b.Uid && a.Gid == b.Gid && a.Rdev == b.Rdev &&
				a.Mtim == b.Mtim
			if !same || a.Dev == b.Dev {
				t.Errorf("copy of %s = %+v, want %+v, on another file system", name, b, a)
			}
		}
		wantFile(t, image+"/a/file", "text")
		wantFile(t, image+"/big", strings.Repeat("big", 1<<20))
		wantFile(t, image+"/bound", "of the host")
		wantFile(t, image+"/bounddir/x", "of the host too")
		if got, err := os.Readlink(image + "/link"); got != "nowhere" {
			t.Errorf("Readlink(link) = %q, %v, want nowhere", got, err)
		}
		put(t, image+"/bound", "written")
		if err := unix.Unmount(image+"/bound", 0); err != nil {
			t.Errorf("unmount a kept file: %v", err)
		}
	})
}

func TestTmpfsModeInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		image := dir + "/image"
		if err := os.Mkdir(image, 0o710); err != nil {
			t.Fatal(err)
		}
		for data, mode := range map[string]string{"size=1m": "710", "mode=01770,size=1m": "1770"} {
			do(t, Tmpfs{Mount: tmpfs(image, 0, data)})
			if _, tail := mountLine(t, image); !strings.Contains(tail, "mode="+mode) {
				t.Errorf("tmpfs with %q has %q, want mode %s", data, tail, mode)
			}
			if err := unix.Unmount(image, 0); err != nil {
				t.Fatal(err)
			}
		}
		do(t, Tmpfs{Mount: tmpfs(dir+"/new/x", 0, "")})
		if st := lstat(t, dir+"/new/x"); st.Mode&0o7777 != 0o1777 {
			t.Errorf("mode without a directory below = %o, want 1777", st.Mode)
		}
	})
}

// TestReadOnlyTmpfsInNamespace checks that a tmpfs becomes read-only only after it was filled.
func TestReadOnlyTmpfsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		put(t, dir+"/ro/file", "text")
		put(t, dir+"/ro/bound", "bound")
		m := tmpfs(dir+"/ro", unix.MS_RDONLY|unix.MS_NODEV, "")
		m.After = Attrs{Propagation: unix.MS_SHARED}
		do(t, Tmpfs{Mount: m, CopyUp: CopyAll, Keep: []string{dir + "/ro/bound"}})
		wantMount(t, dir+"/ro", "tmpfs", "ro,nodev,relatime", "shared")
		wantFile(t, dir+"/ro/file", "text")
		wantFile(t, dir+"/ro/bound", "bound")
	})
}

// TestCopyUpBoundsInNamespace checks that no image makes a copy endless, whatever the size, number
// and nesting of its files.
func TestCopyUpBoundsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		put(t, dir+"/size/sparse", "")
		if err := os.Truncate(dir+"/size/sparse", 1<<40); err != nil {
			t.Fatal(err)
		}
		put(t, dir+"/depth"+strings.Repeat("/d", maxCopyDepth+1)+"/f", "")
		for name, want := range map[string]error{"size": unix.ENOSPC, "depth": errTooDeep} {
			image := dir + "/" + name
			err := Tmpfs{Mount: tmpfs(image, 0, "size=1m"), CopyUp: CopyAll}.Do()
			wantError(t, name, err, want, "mount tmpfs on "+image+": copy up: ")
		}
		put(t, dir+"/files/1", "")
		put(t, dir+"/files/2", "")
		for left, want := range map[int]error{1: errTooMany, 2: nil} {
			to := fmt.Sprintf("%s/to%d", dir, left)
			if err := unix.Mkdir(to, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := (&copier{what: CopyAll, left: left}).dir(dir+"/files", to, 1); !errors.Is(err, want) {
				t.Errorf("copy of two files, at most %d = %v, want %v", left, err, want)
			}
		}
	})
}
