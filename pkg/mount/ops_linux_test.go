package mount

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/op"
)

// do carries out operations that must not fail.
func do(t *testing.T, ops ...op.Op) {
	t.Helper()
	for _, op := range ops {
		if err := op.Do(); err != nil {
			t.Errorf("%+v: %v", op.Describe(), err)
		}
	}
}

// put makes a file, with its directory.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(path[:strings.LastIndexByte(path, '/')], 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("read %s = %q, %v, want %q", path, got, err, want)
	}
}

// wantMount checks type, options and propagation of the topmost mount at a mount point, as in /proc/self/mountinfo.
func wantMount(t *testing.T, point, fsType, options, propagation string) {
	t.Helper()
	fields, tail := mountLine(t, point)
	if fields == nil {
		t.Errorf("nothing is mounted on %s", point)
		return
	}
	got := strings.Split(fields[5], ",")
	slices.Sort(got)
	want := strings.Split(options, ",")
	slices.Sort(want)
	prop, _, _ := strings.Cut(strings.Join(fields[6:], " "), ":")
	if gotType := strings.Fields(tail)[0]; gotType != fsType || !slices.Equal(got, want) || prop != propagation {
		t.Errorf("mount on %s = %s %q %q, want %s %q %q", point, gotType, got, prop, fsType, want, propagation)
	}
}

func mountLine(t *testing.T, point string) (fields []string, tail string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		head, after, _ := strings.Cut(line, " - ")
		if f := strings.Fields(head); f[4] == point {
			fields, tail = f, after
		}
	}
	return fields, tail
}

// noWrite checks that a directory, or a file, can't be written to.
func noWrite(t *testing.T, path string) {
	t.Helper()
	if err := unix.Access(path, unix.W_OK); err != unix.EROFS {
		t.Errorf("access %s for writing = %v, want EROFS", path, err)
	}
}

func TestConfiguredInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		put(t, dir+"/source/file", "text")
		put(t, dir+"/image/old/sub/x", "of the image")
		put(t, dir+"/up/new", "of the upper")
		put(t, dir+"/work/x", "")
		do(t, Mount{Type: "tmpfs", Source: "tmpfs", Target: dir + "/source/sub", Parents: true, Flags: unix.MS_NOSUID})
		put(t, dir+"/source/sub/deep", "deeper")
		if err := os.Symlink("target", dir+"/link"); err != nil {
			t.Fatal(err)
		}
		do(t, Configured([]Entry{
			{dir + "/tmp/a b", "tmpfs", "mine", []string{"size=64k", "nosuid", "noexec", "mode=0700", "rprivate"}},
			{dir + "/bound", "bind", dir + "/source", []string{"bind", "ro", "nodev"}},
			{dir + "/rbound", "bind", dir + "/source", []string{"rbind", "ro", "rslave"}},
			{dir + "/all", "none", dir + "/source", []string{"rbind", "rro", "rnoexec", "unbindable"}},
			{dir + "/made/here", "", dir + "/source/file", []string{"bind"}},
			{dir + "/link", "bind", dir + "/source/file", []string{"ro", "strictatime"}},
			{dir + "/missing", "bind", dir + "/nowhere", nil},
			{dir + "/procfs", "proc", "proc", []string{"nosuid", "noatime"}},
			{dir + "/mq", "mqueue", "mqueue", []string{"nosuid", "nodev"}},
			{dir + "/over", "overlay", "overlay", []string{"lowerdir=" + dir + "/image,upperdir=" + dir + "/up,workdir=" + dir + "/work"}},
			{dir + "/ram", "ramfs", "", []string{"mode=0711"}},
			{dir + "/pts", "devpts", "devpts", []string{"newinstance", "mode=0600", "gid=5", "noexec"}},
			{dir + "/tmp/a b", "none", "", []string{"remount", "nodev", "size=128k"}},
		}, Host{})...)

		wantMount(t, dir+"/tmp/a\\040b", "tmpfs", "rw,nodev,relatime", "")
		wantMount(t, dir+"/bound", "tmpfs", "ro,nodev,relatime", "")
		wantMount(t, dir+"/rbound", "tmpfs", "ro,relatime", "")
		wantMount(t, dir+"/rbound/sub", "tmpfs", "rw,nosuid,relatime", "")
		wantMount(t, dir+"/all", "tmpfs", "ro,noexec,relatime", "unbindable")
		wantMount(t, dir+"/all/sub", "tmpfs", "ro,nosuid,noexec,relatime", "") // inherited and asked for
		wantMount(t, dir+"/made/here", "tmpfs", "rw,relatime", "")
		wantMount(t, dir+"/target", "tmpfs", "ro", "") // a link is followed, within the root
		wantMount(t, dir+"/procfs", "proc", "rw,nosuid,noatime", "")
		wantMount(t, dir+"/mq", "mqueue", "rw,nosuid,nodev,relatime", "")
		wantMount(t, dir+"/over", "overlay", "rw,relatime", "")
		wantMount(t, dir+"/ram", "ramfs", "rw,relatime", "")
		wantMount(t, dir+"/pts", "devpts", "rw,noexec,relatime", "")
		if _, err := os.Lstat(dir + "/missing"); !errors.Is(err, unix.ENOENT) {
			t.Errorf("mount point of a source that is missing: %v, want none", err)
		}
		wantFile(t, dir+"/bound/file", "text")
		if _, err := os.Stat(dir + "/bound/sub/deep"); !errors.Is(err, unix.ENOENT) {
			t.Errorf("what is mounted below a bind that is not recursive: %v, want nothing", err)
		}
		wantFile(t, dir+"/rbound/sub/deep", "deeper")
		wantFile(t, dir+"/made/here", "text")
		wantFile(t, dir+"/target", "text")
		wantFile(t, dir+"/over/old/sub/x", "of the image")
		wantFile(t, dir+"/over/new", "of the upper")
		noWrite(t, dir+"/bound/file")
		noWrite(t, dir+"/all/sub")
		wantSize(t, dir+"/tmp/a b", 128<<10)
	})
}

func wantSize(t *testing.T, path string, want uint64) {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil || fs.Blocks*uint64(fs.Bsize) != want {
		t.Errorf("size of %s = %d blocks of %d, %v, want %d", path, fs.Blocks, fs.Bsize, err, want)
	}
}

func TestConfiguredErrorsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		put(t, dir+"/file", "")
		for _, c := range []struct {
			entry Entry
			cause error
			text  string
		}{
			{Entry{dir + "/x", "bind", dir + "/nowhere", nil}, unix.ENOENT, "bind " + dir + "/nowhere to " + dir + "/x: "},
			{Entry{dir + "/x", "ext4", "/dev/nodisk", nil}, unix.ENOENT, "mount ext4 /dev/nodisk on " + dir + "/x: "},
			{Entry{dir + "/x", "ext4", "/dev/null", nil}, unix.ENOTBLK, "mount ext4 /dev/null on " + dir + "/x: "},
			{Entry{dir + "/x", "nosuchfs", "y", nil}, unix.ENODEV, "the kernel has no file system of that type"},
			{Entry{dir + "/x", "tmpfs", "", []string{"nosuchoption"}}, unix.EINVAL, "mount tmpfs on " + dir + "/x: "},
			{Entry{dir + "/file/x", "tmpfs", "", nil}, unix.ENOTDIR, "mount tmpfs on " + dir + "/file/x: "},
			{Entry{dir + "/x", "bind", dir + "/file", []string{"rbind", "idmap"}}, op.ErrUnsupported, "idmap"},
			{Entry{dir + "/x", "none", "", []string{"rprivate"}}, unix.EINVAL, "change mount " + dir + "/x: "},
		} {
			ops := Configured([]Entry{c.entry}, Host{BlockRoot: true})
			if err := ops[0].Do(); !errors.Is(err, c.cause) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%+v: %v, want %q and %v", c.entry, err, c.text, c.cause)
			}
		}
		err := Change{dir + "/file", Attrs{Set: unix.MS_RDONLY}}.Do()
		if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "nothing is mounted there") {
			t.Errorf("change of what is not mounted = %v, want EINVAL", err)
		}
	})
}

// A file system that the guest has already only changes, without losing what it has.
func TestChangeInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		do(t, Mount{Type: "tmpfs", Source: "tmpfs", Target: dir + "/m", Flags: unix.MS_NOSUID | unix.MS_NOATIME, Parents: true})
		c := Change{Target: dir + "/m", Attrs: Attrs{Set: unix.MS_RDONLY | unix.MS_NODEV, Clear: unix.MS_NOEXEC}}
		do(t, c)
		wantMount(t, dir+"/m", "tmpfs", "ro,nosuid,nodev,noatime", "")
		c.Attrs = Attrs{Clear: unix.MS_RDONLY | unix.MS_NOATIME, Propagation: unix.MS_SHARED}
		do(t, c)
		wantMount(t, dir+"/m", "tmpfs", "rw,nosuid,nodev,relatime", "shared")
	})
}

func TestTmpfsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		image := dir + "/image"
		put(t, image+"/a/file", "text")
		put(t, image+"/bound", "the host's")
		put(t, image+"/bounddir/x", "the host's too")
		big := strings.Repeat("big", 1<<20)
		put(t, image+"/big", big)
		if err := errors.Join(
			os.Symlink("nowhere", image+"/link"),
			unix.Mkfifo(image+"/fifo", 0o620),
			unix.Mknod(image+"/dev", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))),
			os.Chmod(image, 0o710),
			os.Chown(image+"/a", 3, 4),
			unix.Chmod(image+"/a", 0o2751),
			unix.Lchown(image+"/link", 5, 6),
			unix.Chmod(image+"/a/file", 0o4511),
			unix.UtimesNanoAt(unix.AT_FDCWD, image+"/a", []unix.Timespec{{Sec: 1}, {Sec: 2, Nsec: 3}}, 0),
		); err != nil {
			t.Fatal(err)
		}
		names := []string{"a", "a/file", "link", "fifo", "dev", "big"}
		var before []unix.Stat_t
		for _, name := range names {
			before = append(before, lstat(t, image+"/"+name))
		}
		do(t, Tmpfs{
			Mount:  Mount{Type: "tmpfs", Source: "tmpfs", Target: image},
			CopyUp: true,
			Keep:   []string{image + "/bound", image + "/bounddir", image + "/not/there"},
		})
		wantMount(t, image, "tmpfs", "rw,relatime", "")
		if st := lstat(t, image); st.Mode&0o7777 != 0o710 {
			t.Errorf("mode = %o, want that of the directory below, 710", st.Mode)
		}
		for i, name := range names {
			a, b := before[i], lstat(t, image+"/"+name)
			if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Rdev != b.Rdev || a.Mtim != b.Mtim || a.Dev == b.Dev {
				t.Errorf("copy of %s = %+v, want the same on another file system as %+v", name, b, a)
			}
		}
		wantFile(t, image+"/a/file", "text")
		wantFile(t, image+"/big", big)
		wantFile(t, image+"/bound", "the host's")
		wantFile(t, image+"/bounddir/x", "the host's too")
		if got, err := os.Readlink(image + "/link"); got != "nowhere" {
			t.Errorf("readlink = %q, %v", got, err)
		}
		put(t, image+"/bound", "written")
		if err := unix.Unmount(image+"/bound", 0); err != nil {
			t.Errorf("unmount what was kept: %v", err)
		}
		for _, c := range []struct{ data, mode string }{{"size=1m", "710"}, {"mode=01770,size=1m", "1770"}} {
			do(t, Tmpfs{Mount: Mount{Type: "tmpfs", Source: "tmpfs", Target: image, Data: c.data}})
			if _, tail := mountLine(t, image); !strings.Contains(tail, "mode="+c.mode) {
				t.Errorf("tmpfs with %q = %q, want mode %s", c.data, tail, c.mode)
			}
		}
		put(t, dir+"/ro/file", "text")
		put(t, dir+"/ro/bound", "bound")
		do(t, Tmpfs{
			Mount: Mount{Type: "tmpfs", Source: "tmpfs", Target: dir + "/ro", Flags: unix.MS_RDONLY | unix.MS_NODEV,
				After: Attrs{Propagation: unix.MS_SHARED}},
			CopyUp: true,
			Keep:   []string{dir + "/ro/bound"},
		})
		wantMount(t, dir+"/ro", "tmpfs", "ro,nodev,relatime", "shared")
		wantFile(t, dir+"/ro/file", "text")
		wantFile(t, dir+"/ro/bound", "bound")
		do(t, Tmpfs{Mount: Mount{Type: "tmpfs", Source: "tmpfs", Target: dir + "/new/x", Parents: true}})
		if st := lstat(t, dir+"/new/x"); st.Mode&0o7777 != 0o1777 {
			t.Errorf("mode of a new one = %o, want 1777", st.Mode)
		}
	})
}

func lstat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}

// What an image holds does not make a copy endless: not its size, its number of files, or its depth.
func TestCopyUpBoundsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		for name, c := range map[string]struct {
			make func(dir string)
			want error
		}{
			"size": {func(dir string) {
				put(t, dir+"/sparse", "")
				if err := os.Truncate(dir+"/sparse", 1<<40); err != nil {
					t.Fatal(err)
				}
			}, unix.ENOSPC},
			"depth": {func(dir string) { put(t, dir+strings.Repeat("/d", copyDepth+1)+"/f", "") }, errTooDeep},
		} {
			image := dir + "/" + name
			put(t, image+"/f", "")
			c.make(image)
			err := Tmpfs{Mount: Mount{Type: "tmpfs", Source: "tmpfs", Target: image, Data: "size=1m"}, CopyUp: true}.Do()
			if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "mount tmpfs on "+image+": copy up: ") {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
		put(t, dir+"/files/1", "")
		put(t, dir+"/files/2", "")
		for left, want := range map[int]error{1: errTooMany, 2: nil} {
			to := dir + "/to" + strconv.Itoa(left)
			if err := unix.Mkdir(to, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := (&copier{left: left}).dir(dir+"/files", to, 1); !errors.Is(err, want) {
				t.Errorf("copy of two files, at most %d: %v, want %v", left, err, want)
			}
		}
	})
}

func TestProtectInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		put(t, dir+"/secret", "secret")
		put(t, dir+"/dir1/secret", "secret")
		put(t, dir+"/dir2/secret", "secret")
		do(t, Mask{"/proc/keys", "/proc/nosuchfile", dir + "/secret", dir + "/dir1", dir + "/dir2"})
		wantFile(t, dir+"/secret", "")
		wantFile(t, "/proc/keys", "")
		for _, masked := range []string{dir + "/dir1", dir + "/dir2"} {
			if entries, err := os.ReadDir(masked); err != nil || len(entries) != 0 {
				t.Errorf("masked directory has %v, %v, want nothing", entries, err)
			}
			noWrite(t, masked)
		}
		err := Mask{dir + "/secret/x", dir + "/secret"}.Do()
		if !errors.Is(err, unix.ENOTDIR) || err.Error() != "mask "+dir+"/secret/x: not a directory" {
			t.Errorf("mask of what can't be = %v, want ENOTDIR of the first only", err)
		}

		put(t, dir+"/ro/file", "text")
		do(t, Mount{Type: "tmpfs", Source: "tmpfs", Target: dir + "/ro/below", Parents: true, Flags: unix.MS_NOSUID},
			ReadOnly{"/proc/sys", "/proc/nosuchfile", dir + "/ro", dir + "/nowhere"})
		wantMount(t, dir+"/ro", "tmpfs", "ro,relatime", "")
		wantMount(t, dir+"/ro/below", "tmpfs", "ro,nosuid,relatime", "")
		wantFile(t, dir+"/ro/file", "text")
		noWrite(t, "/proc/sys/kernel/hostname")

		defer enterRoot(t, dir)()
		do(t, ReadOnlyRoot())
		noWrite(t, "/")
		// Without /dev/null nothing could be masked, and must not look as if it was.
		if err := (Mask{"/secret"}).Do(); !errors.Is(err, unix.ENOENT) {
			t.Errorf("mask without /dev/null = %v, want ENOENT", err)
		}
	})
}

// enterRoot makes dir, which has no /proc or /dev, the root until leave is called.
func enterRoot(t *testing.T, dir string) (leave func()) {
	t.Helper()
	old, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Chroot(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(unix.Fchdir(old), unix.Chroot("."), unix.Close(old)); err != nil {
			t.Error(err)
		}
	}
}

func TestRunInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enterRoot(t, dir)()
		fresh := true
		do(t, Run(&fresh)) // no directory: nothing
		if err := unix.Mkdir("/run", 0o700); err != nil {
			t.Fatal(err)
		}
		do(t, Run(&fresh))
		if st := lstat(t, "/run"); st.Mode&0o7777 != 0o755 || st.Dev == lstat(t, "/").Dev {
			t.Errorf("/run = mode %o, device %d, want a mount with mode 755", st.Mode, st.Dev)
		}
		do(t, Mount{Type: "proc", Source: "proc", Target: "/proc"})
		put(t, "/run/x", "there")
		fresh = false
		do(t, Run(&fresh))
		wantFile(t, "/run/x", "there")
	})
}

func TestControllers(t *testing.T) {
	dir := t.TempDir()
	for list, want := range map[string]string{"cpuset cpu io\n": "+cpuset +cpu +io ", "\n": ""} {
		put(t, dir+"/cgroup.controllers", list)
		put(t, dir+"/cgroup.subtree_control", "")
		do(t, Controllers{dir})
		wantFile(t, dir+"/cgroup.subtree_control", want)
	}
	do(t, Controllers{dir + "/nowhere"})
	put(t, dir+"/cgroup.controllers", "cpu")
	if err := os.Remove(dir + "/cgroup.subtree_control"); err != nil {
		t.Fatal(err)
	}
	if err := (Controllers{dir}).Do(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("without subtree_control = %v, want ENOENT", err)
	}
}
