package mount

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// podman is what Podman writes for
//
//	podman run --read-only --tmpfs /data -v /srv/www:/www:ro -v /data/sub:/sub ...
var podman = []specs.Mount{
	entry("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
	entry("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
	entry("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
	entry("/dev/pts", "devpts", "devpts",
		"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
	entry("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
	entry("/run", "tmpfs", "tmpfs", "rw", "rprivate", "nosuid", "nodev", "tmpcopyup"),
	entry("/tmp", "tmpfs", "tmpfs", "rw", "rprivate", "nosuid", "nodev", "tmpcopyup"),
	entry("/data", "tmpfs", "tmpfs", "rprivate", "nosuid", "nodev", "tmpcopyup"),
	entry("/www", "bind", "/srv/www", "ro", "rprivate", "rbind"),
	entry("/sub", "bind", "/data/sub", "rw", "rprivate", "rbind"),
	entry("/run/.containerenv", "bind", "/run/containers/storage/x/userdata/.containerenv",
		"bind", "rprivate"),
	entry("/etc/hosts", "bind", "/run/containers/storage/x/userdata/hosts", "bind", "rprivate"),
	entry("/dev/shm", "bind", "/var/lib/containers/storage/x/shm",
		"bind", "rprivate", "nosuid", "noexec", "nodev"),
	entry("/sys/fs/cgroup", "cgroup", "cgroup",
		"rprivate", "nosuid", "noexec", "nodev", "relatime", "ro"),
}

// odd lists mounts that container engines rarely write.
var odd = []specs.Mount{
	entry("a/../b/./c/", "tmpfs", ""),
	entry("/b/c", "tmpfs", "again", "size=1m"),
	entry("/share", "virtiofs", "tag", "rro", "shared"),
	entry("/disk", "ext4", "/dev/vdb", "noatime", "data=journal"),
	entry("/named", "xfs", "LABEL=some data"),
	entry("/over", "overlay", "overlay", "lowerdir=/a:/b", "upperdir=/c", "workdir=/d"),
	entry("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=2m"),
	entry("/dev/shm", "tmpfs", "shm"),
	entry("/proc", "proc", "proc"),
	entry("/sys", "none", "/sys", "rbind", "rro"),
	entry("/cg", "cgroup", "cgroup", "none,name=", "nosuid"),
	entry("/from-share", "", "/share/x", "bind", "nosymfollow"),
	entry("/ids", "rbind", "/share", "idmap", "rw"),
	entry("/b/c", "none", "none", "remount", "ro", "size=2m"),
	entry("/", "", "", "rslave"),
	entry("/", "tmpfs", "tmpfs", "ro"),
	entry("/b/c", "none", "none", "remount", "bind", "nodev", "rro", "rshared"),
}

// TestConfiguredPlans compares plans with files, so that a review shows every change of them.
func TestConfiguredPlans(t *testing.T) {
	for name, c := range map[string]struct {
		mounts []specs.Mount
		host   Host
	}{
		"podman-host":  {podman, Host{RuntimeMounts: true}},
		"podman-block": {podman, Host{RuntimeMounts: true, BlockRoot: true}},
		"odd":          {odd, Host{Find: notFound, Wait: time.Second}},
	} {
		var b strings.Builder
		plan := func(h Host) ([]op.Op, error) { return Configured(c.mounts, h), nil }
		stages := []boot.Stage[Host]{{Name: "mounts", Plan: plan}}
		if err := boot.WriteText(&b, stages, c.host); err != nil {
			t.Fatal(err)
		}
		file := "testdata/" + name + ".plan"
		if *update {
			put(t, file, b.String())
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s: Configured() =\n%swant (%s; -update to accept):\n%s",
				name, b.String(), file, want)
		}
	}
}

// notFound is a FindDevice that finds nothing.
func notFound(name string, timeout time.Duration, _ loop.Pause) (string, error) {
	return "", fmt.Errorf("%w: %s, %v", unix.ENOMEDIUM, name, timeout)
}

func TestIgnoreOptions(t *testing.T) {
	err := IgnoreOptions{"/x", []string{"idmap"}}.Do()
	wantError(t, "IgnoreOptions.Do()", err, op.ErrUnsupported, "mount on /x: option idmap: ")
}

func TestConfiguredInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		put(t, dir+"/source/file", "text")
		put(t, dir+"/image/old/sub/x", "of the image")
		put(t, dir+"/up/new", "of the upper")
		put(t, dir+"/work/x", "")
		do(t, tmpfs(dir+"/source/sub", unix.MS_NOSUID, ""))
		put(t, dir+"/source/sub/deep", "deeper")
		if err := os.Symlink("target", dir+"/link"); err != nil {
			t.Fatal(err)
		}
		overlay := "lowerdir=" + dir + "/image,upperdir=" + dir + "/up,workdir=" + dir + "/work"
		do(t, Configured([]specs.Mount{
			entry(dir+"/tmp/a b", "tmpfs", "mine",
				"size=64k", "nosuid", "noexec", "mode=0700", "rprivate"),
			entry(dir+"/bound", "bind", dir+"/source", "bind", "ro", "nodev"),
			entry(dir+"/rbound", "bind", dir+"/source", "rbind", "ro", "rslave"),
			entry(dir+"/all", "none", dir+"/source", "rbind", "rro", "rnoexec", "unbindable"),
			entry(dir+"/made/here", "", dir+"/source/file", "bind"),
			entry(dir+"/link", "bind", dir+"/source/file", "ro", "strictatime"),
			entry(dir+"/procfs", "proc", "proc", "nosuid", "noatime"),
			entry(dir+"/mq", "mqueue", "mqueue", "nosuid", "nodev"),
			entry(dir+"/over", "overlay", "overlay", overlay),
			entry(dir+"/ram", "ramfs", "", "mode=0711"),
			entry(dir+"/pts", "devpts", "devpts", "newinstance", "mode=0600", "gid=5", "noexec"),
			entry(dir+"/tmp/a b", "none", "", "remount", "nodev", "size=128k"),
		}, Host{})...)

		wantMount(t, dir+"/tmp/a\\040b", "tmpfs", "rw,nodev,relatime", "")
		wantMount(t, dir+"/bound", "tmpfs", "ro,nodev,relatime", "")
		wantMount(t, dir+"/rbound", "tmpfs", "ro,relatime", "")
		wantMount(t, dir+"/rbound/sub", "tmpfs", "rw,nosuid,relatime", "")
		wantMount(t, dir+"/all", "tmpfs", "ro,noexec,relatime", "unbindable")
		wantMount(t, dir+"/all/sub", "tmpfs", "ro,nosuid,noexec,relatime", "") // old and new
		wantMount(t, dir+"/made/here", "tmpfs", "rw,relatime", "")
		wantMount(t, dir+"/target", "tmpfs", "ro", "") // a link is followed, within the root
		wantMount(t, dir+"/procfs", "proc", "rw,nosuid,noatime", "")
		wantMount(t, dir+"/mq", "mqueue", "rw,nosuid,nodev,relatime", "")
		wantMount(t, dir+"/over", "overlay", "rw,relatime", "")
		wantMount(t, dir+"/ram", "ramfs", "rw,relatime", "")
		wantMount(t, dir+"/pts", "devpts", "rw,noexec,relatime", "")
		for _, path := range []string{dir + "/bound/sub/deep"} {
			if _, err := os.Lstat(path); !errors.Is(err, unix.ENOENT) {
				t.Errorf("Lstat(%s) = %v, want ENOENT", path, err)
			}
		}
		wantFile(t, dir+"/bound/file", "text")
		wantFile(t, dir+"/rbound/sub/deep", "deeper")
		wantFile(t, dir+"/made/here", "text")
		wantFile(t, dir+"/target", "text")
		wantFile(t, dir+"/over/old/sub/x", "of the image")
		wantFile(t, dir+"/over/new", "of the upper")
		wantReadOnly(t, dir+"/bound/file")
		wantReadOnly(t, dir+"/all/sub")
		wantSize(t, dir+"/tmp/a b", 128<<10)
	})
}

func TestConfiguredErrorsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		file, x := dir+"/file", dir+"/x"
		put(t, file, "")
		for _, c := range []struct {
			mount specs.Mount
			cause error
			text  string
		}{
			{entry(x, "bind", "/nowhere"), unix.ENOENT, "bind /nowhere to " + x + ": "},
			{entry(x, "ext4", "/dev/nodisk"), unix.ENOENT, "mount ext4 /dev/nodisk on " + x + ": "},
			{entry(x, "ext4", "/dev/null"), unix.ENOTBLK, "mount ext4 /dev/null on " + x + ": "},
			{entry(x, "ext4", "UUID=1-2"), unix.ENOMEDIUM, "mount ext4 UUID=1-2 on " + x + ": no medium found: UUID=1-2, 0s"},
			{entry(x, "nosuchfs", "y"), unix.ENODEV, "the kernel has no file system of that type"},
			{entry(x, "tmpfs", "", "nosuchoption"), unix.EINVAL, "mount tmpfs on " + x + ": "},
			{entry(file+"/x", "tmpfs", ""), unix.ENOTDIR, "mount tmpfs on " + file + "/x: "},
			{entry(x, "bind", file, "rbind", "idmap"), op.ErrUnsupported, "idmap"},
			{entry(x, "none", "", "rprivate"), unix.EINVAL, "change mount " + x + ": "},
		} {
			ops := Configured([]specs.Mount{c.mount}, Host{Find: notFound})
			wantError(t, ops[0].Describe().String(), ops[0].Do(), c.cause, c.text)
		}
		err := Change{file, Attrs{Set: unix.MS_RDONLY}}.Do()
		wantError(t, "change of a file", err, unix.EINVAL, "nothing is mounted there")
	})
}

// TestChangeInNamespace checks that attributes which are not named keep their values.
func TestChangeInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		do(t, tmpfs(dir+"/m", unix.MS_NOSUID|unix.MS_NOATIME, ""))
		attrs := Attrs{Set: unix.MS_RDONLY | unix.MS_NODEV, Clear: unix.MS_NOEXEC}
		do(t, Change{dir + "/m", attrs})
		wantMount(t, dir+"/m", "tmpfs", "ro,nosuid,nodev,noatime", "")
		attrs = Attrs{Clear: unix.MS_RDONLY | unix.MS_NOATIME, Propagation: unix.MS_SHARED}
		do(t, Change{dir + "/m", attrs})
		wantMount(t, dir+"/m", "tmpfs", "rw,nosuid,nodev,relatime", "shared")
	})
}

// TestLenientMounts checks which mounts the workload can do without, and that a first tmpfs keeps
// what the runtime has bound below.
func TestLenientMounts(t *testing.T) {
	for _, c := range []struct {
		mount specs.Mount
		host  Host
		want  bool
	}{
		{entry("/d", "virtiofs", "tag"), Host{}, false},
		{entry("/d", "virtiofs", "tag", "ro", "nofail"), Host{}, true},
		{entry("/d", "tmpfs", "tmpfs"), Host{}, false},
		{entry("/d", "tmpfs", "tmpfs", "nofail"), Host{}, true},
		{entry("/d", "ext4", "/dev/vda"), Host{}, false},
		{entry("/d", "bind", "/s"), Host{}, false},
		{entry("/d", "bind", "/s", "nofail"), Host{}, true},
		{entry("/d", "bind", "/s"), Host{RuntimeMounts: true, BlockRoot: true}, true},
		{entry("/d", "none", "none", "remount", "ro"), Host{}, false},
		{entry("/dev/mqueue", "mqueue", "mqueue"), Host{}, true},
		{entry("/p", "proc", "proc"), Host{}, true},
		{entry("/sys", "sysfs", "sysfs", "ro"), Host{}, true},
	} {
		ops := Configured([]specs.Mount{c.mount}, c.host)
		if _, got := ops[0].(op.Lenient); got != c.want || len(ops) != 1 {
			t.Errorf("%v: lenient = %v, want %v", ops[0].Describe(), got, c.want)
		}
	}

	first := RunDir{Path: "/run"}.Tmpfs()
	mounts := []specs.Mount{entry("/var/run/x", "bind", "/s"), entry("/dev/log", "bind", "/s"), entry("/srv", "bind", "/s")}
	ops := Configured(mounts, Host{RuntimeMounts: true, First: &first, Targets: []string{"/run/x", "/dev/log", "/srv"}})
	var got []string
	for _, o := range ops {
		got = append(got, o.Describe().String())
	}
	want := []string{
		`mount /run type=tmpfs source=tmpfs options=nosuid,nodev freeMemory=20% copyUp="directories and links" keep=[/run/x] onError=warn`,
		"keep visible /dev/log missing=ok",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Configured() = %q, want %q", got, want)
	}
}

func TestTargets(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"/var/lib", "/etc", "/data/sub", "/x"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, link := range map[string]string{
		"/var/run": "/run", "/var/lock": "../run/lock", "/etc/up": "../../../data", "/loop": "loop",
		"/etc/resolv.conf": "/run/systemd/resolve/stub-resolv.conf", "/etc/mtab": "/proc/self/mounts",
		"/data/sub/out": "/etc", "/two": "var/run/..", "/dev": "data",
	} {
		if err := os.Symlink(link, root+name); err != nil {
			t.Fatal(err)
		}
	}
	var mounts []specs.Mount
	var want []string
	for _, c := range [][2]string{
		{"/var/run/x", "/run/x"}, // /run is missing
		{"var/lock/../lock/y/", "/run/lock/y"},
		{"/etc/up/sub", "/data/sub"},
		{"/etc/resolv.conf", "/run/systemd/resolve/stub-resolv.conf"},
		{"/etc/mtab", "/proc/self/mounts"},
		{"/loop/x", "/loop/x"},
		{"/data/sub/out/z", "/data/sub/out/z"}, // /data/sub is covered by the mount above
		{"/two/x", "/x"},
		{"/../..", "/"},
		{"/dev/pts", "/dev/pts"}, // whatever the image has there
	} {
		mounts, want = append(mounts, entry(c[0], "tmpfs", "")), append(want, c[1])
	}
	if got := Targets(root, mounts); !slices.Equal(got, want) {
		t.Errorf("Targets() = %q, want %q", got, want)
	}
}

func TestUncoverInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		put(t, dir+"/dev/termination-log", "bound")
		put(t, dir+"/dev/dir/file", "bound too")
		defer enterRoot(t, dir)()
		if err := unix.Mknod("/dev/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
		do(t, Mount{Type: "tmpfs", Source: "tmpfs", Target: "/dev"})
		for _, name := range []string{"/dev/termination-log", "/dev/dir", "/dev/null", "/dev/none", "/dev/none/x"} {
			do(t, Uncover{name})
		}
		wantFile(t, "/dev/termination-log", "bound")
		wantFile(t, "/dev/dir/file", "bound too")
		entries, err := os.ReadDir("/dev")
		if err != nil || len(entries) != 2 {
			t.Errorf("ReadDir(/dev) = %v, %v, want two", entries, err)
		}
	})
}
