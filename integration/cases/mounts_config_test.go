package cases

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/vm"
)

// configuredMounts is the list of mounts of a configuration. prepareMounts creates the sources in
// /srv. /dev/DISK stands for a disk with an ext4 file system and one file; "share" is a virtiofs
// share with one file.
const configuredMounts = `[
	{"destination": "/proc", "type": "proc", "source": "proc"},
	{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
	{"destination": "/dev/pts", "type": "devpts", "source": "devpts",
		"options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
	{"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=2048k"]},
	{"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
	{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
	{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
	{"destination": "/m/tmpfs", "type": "tmpfs", "source": "tmpfs", "options": ["noatime", "mode=0711", "size=1m"]},
	{"destination": "/m/tmpfs/file", "type": "bind", "source": "/srv/file", "options": ["bind", "ro"]},
	{"destination": "/m/tmpfs/a/b", "type": "bind", "source": "/srv/dir", "options": ["bind", "noexec", "nosuid"]},
	{"destination": "/m/disk", "type": "ext4", "source": "/dev/DISK", "options": ["noatime", "nodev"]},
	{"destination": "/m/share", "type": "virtiofs", "source": "share", "options": ["ro"]},
	{"destination": "/m/overlay", "type": "overlay", "source": "overlay", "options": ["lowerdir=/srv/dir:/srv/other"]},
	{"destination": "/m/all", "type": "bind", "source": "/m/tmpfs", "options": ["rbind", "rro", "rprivate"]},
	{"destination": "/m/none", "type": "none", "source": "/srv/dir", "options": ["rbind", "ro", "slave"]},
	{"destination": "/m/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
	{"destination": "/m/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
	{"destination": "/m/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0600"]},
	{"destination": "/m/cgroup", "type": "cgroup2", "source": "none"},
	{"destination": "/m/../m/./plain", "type": "tmpfs", "source": "tmpfs"}
]`

// prepareMounts creates the files in a root directory that configuredMounts and the protected paths
// need.
func prepareMounts(dir string) error {
	for path, text := range map[string]string{
		"srv/file": "file\n", "srv/dir/a": "a\n", "srv/other/b": "b\n",
		"srv/masked/secret": "secret\n", "srv/secret": "secret\n", "srv/fixed/file": "fixed\n",
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

var configuredGuest = inGuest("configured", func(t *testing.T) {
	mounts := map[string]string{} // TYPE OPTIONS
	for _, m := range mountsOfProcess(t) {
		if other, found := mounts[m.point]; found {
			t.Errorf("%s is mounted twice: %s, then %v", m.point, other, m)
		}
		mounts[m.point] = m.fsType + " " + m.options
	}
	root := mounts["/"] // bind mounts have the same type
	rootType, rootOptions, _ := strings.Cut(root, " ")
	if rootOptions != "ro relatime" {
		t.Errorf("options of the root = %q, want ro relatime", rootOptions)
	}
	for point, want := range map[string]string{
		"/proc":          "proc rw nosuid nodev noexec relatime",
		"/dev":           "devtmpfs rw nosuid", // as configured, except for the type
		"/dev/pts":       "devpts rw nosuid noexec relatime",
		"/dev/shm":       "tmpfs rw nosuid nodev noexec relatime",
		"/dev/mqueue":    "mqueue rw nosuid nodev noexec relatime",
		"/sys":           "sysfs ro nosuid nodev noexec relatime",
		"/sys/fs/cgroup": "cgroup2 ro nosuid nodev noexec relatime",
		"/run":           "tmpfs rw nosuid nodev relatime",
		"/m/tmpfs":       "tmpfs rw noatime",
		"/m/tmpfs/file":  rootType + " ro relatime",
		"/m/tmpfs/a/b":   rootType + " rw nosuid noexec relatime",
		"/m/disk":        "ext4 rw nodev noatime",
		"/m/share":       "virtiofs ro relatime",
		"/m/overlay":     "overlay ro relatime",
		"/m/all":         "tmpfs ro noatime",
		"/m/all/file":    rootType + " ro relatime",
		"/m/all/a/b":     rootType + " ro nosuid noexec relatime",
		"/m/none":        rootType + " ro relatime",
		"/m/proc":        "proc rw nosuid nodev noexec relatime",
		"/m/sys":         "sysfs ro relatime",
		"/m/pts":         "devpts rw relatime",
		"/m/cgroup":      "cgroup2 rw relatime",
		"/m/plain":       "tmpfs rw nosuid nodev noexec relatime", // defaults without options
	} {
		got := mounts[point]
		if point == "/m/overlay" { // an overlay without an upper directory is always read-only
			got = strings.Replace(got, " rw ", " ro ", 1)
		}
		if got != want {
			t.Errorf("mount %s = %q, want %q", point, got, want)
		}
	}
	for path, want := range map[string]string{
		"/m/tmpfs/file": "file\n", "/m/tmpfs/a/b/a": "a\n", "/m/all/a/b/a": "a\n", "/m/overlay/a": "a\n", "/m/overlay/b": "b\n",
		"/m/none/a": "a\n", "/m/disk/file": "of the disk\n", "/m/share/file": "of the share\n", "/srv/fixed/file": "fixed\n",
		"/srv/secret": "",
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("contents of %s = %q, %v, want %q", path, got, err, want)
		}
	}
	if entries, err := os.ReadDir("/srv/masked"); err != nil || len(entries) > 0 {
		t.Errorf("entries of /srv/masked = %v, %v, want none", entries, err)
	}
	if info, err := os.Stat("/m/tmpfs"); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("mode of /m/tmpfs = %v, %v, want 0711", info.Mode(), err)
	}
	for path, want := range map[string]error{
		"/m/tmpfs/new": nil, "/m/disk/new": nil, "/run/new": nil, "/dev/shm/new": nil, "/m/plain/new": nil,
		"/m/tmpfs/a/b/a": nil, // a bind mount without the option ro
		"/new":           syscall.EROFS, "/m/tmpfs/file": syscall.EROFS, "/m/share/new": syscall.EROFS, "/m/all/new": syscall.EROFS,
		"/m/all/a/b/a": syscall.EROFS, "/srv/fixed/file": syscall.EROFS, "/srv/masked/new": syscall.EROFS,
		"/proc/sys/kernel/hostname": syscall.EROFS, "/sys/fs/cgroup/cgroup.subtree_control": syscall.EROFS,
	} {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
		if !errors.Is(err, want) {
			t.Errorf("open %s for writing = %v, want %v", path, err, want)
		}
		f.Close()
	}
	if err := os.WriteFile("/m/tmpfs/large", make([]byte, 1<<20+1), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write more than 1 MiB to /m/tmpfs = %v, want %v", err, syscall.ENOSPC)
	}
	os.Remove("/m/tmpfs/large")
})

// mountsOfProcess is like readMounts, but does not check the propagation.
func mountsOfProcess(t *testing.T) (table []mountInfo) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		head, tail, _ := strings.Cut(line, " - ")
		fields := strings.Fields(head)
		table = append(table, mountInfo{fields[4], strings.Fields(tail)[0], strings.ReplaceAll(fields[5], ",", " ")})
	}
	return table
}

// TestAllConfiguredMounts configures mounts of all kinds, and masked and read-only paths, over a
// root in a directory and a root on a disk.
func TestAllConfiguredMounts(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		for _, root := range []string{"directory", "disk"} {
			t.Run(root, func(t *testing.T) {
				t.Parallel()
				config := `{"process": {"args": ["` + configuredGuest.path() + `"]}, "root": {"path": "rootfs", "readonly": true},
					"mounts": ` + configuredMounts + `, "linux": {"maskedPaths": ["/srv/masked", "/srv/secret", "/no/such", "/proc/kcore"],
					"readonlyPaths": ["/srv/fixed", "/no/such", "/proc/sys"]}}`
				var cfg vm.Config
				if root == "directory" {
					config = strings.Replace(config, "/dev/DISK", "/dev/vda", 1)
					cfg = withBusybox(t, arch)
					configuredGuest.addTo(t, &cfg)
					if err := prepareMounts(cfg.Root); err != nil {
						t.Fatal(err)
					}
				} else {
					config = strings.Replace(config, "/dev/DISK", "/dev/vdb", 1)
					cfg = withDisk(t, arch, diskRoot(t, arch, diskimage.FileSystem{Type: "ext4"}, "", func(dir string) error {
						return errors.Join(prepareMounts(dir), configuredGuest.install(t, arch, dir))
					}))
				}
				cfg.Args = nil
				cfg.GuestConfig = []byte(config)
				source := t.TempDir()
				if err := os.WriteFile(filepath.Join(source, "file"), []byte("of the disk\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				cfg.Disks = append(cfg.Disks, vm.Disk{Path: newImage(t, diskimage.FileSystem{Type: "ext4", Dir: source})})
				share := t.TempDir()
				if err := os.WriteFile(filepath.Join(share, "file"), []byte("of the share\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				cfg.Shares = []vm.Share{{Tag: "share", Dir: share}}
				wantConsole(t, run(t, cfg, 0), passed)
				for _, disk := range cfg.Disks {
					wantClean(t, disk.Path, "ext4")
				}
				wantFile(t, cfg.Disks[len(cfg.Disks)-1].Path, "ext4", "/new", "")
			})
		}
	})
}

// devicesGuest checks pseudo-terminals, cgroup controllers and /dev/shm as programs use them.
var devicesGuest = inGuest("devices", func(t *testing.T) {
	for _, uid := range []uint32{0, 65534} {
		// The terminal belongs to the user who opened its master, and to the group tty.
		cmd := exec.Command("/bin/sh", "-c", `exec 3<>/dev/ptmx && stat -c '%a %u %g' /dev/pts/0`)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: 65534}}
		got, err := cmd.CombinedOutput()
		if want := "620 " + map[uint32]string{0: "0", 65534: "65534"}[uid] + " 5\n"; err != nil || string(got) != want {
			t.Errorf("pseudo-terminal of user %d: %q, %v, want %q", uid, got, err, want)
		}
	}
	text, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	if err != nil {
		t.Fatal(err)
	}
	controllers := strings.Fields(string(text))
	if !slices.Contains(controllers, "memory") || !slices.Contains(controllers, "pids") || !slices.Contains(controllers, "cpu") {
		t.Errorf("controllers = %q, want cpu, memory and pids among them", controllers)
	}
	if err := os.Mkdir("/sys/fs/cgroup/child", 0o755); err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile("/sys/fs/cgroup/child/cgroup.controllers")
	if got := strings.Fields(string(text)); err != nil || !slices.Equal(got, controllers) {
		t.Errorf("controllers of a child = %q, %v, want %q", got, err, controllers)
	}
	if err := os.WriteFile("/sys/fs/cgroup/child/memory.max", []byte("64M"), 0); err != nil {
		t.Error(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		t.Errorf("type of /dev/shm = %#x, %v, want tmpfs", st.Type, err)
	}
})

// TestDevices runs devicesGuest as the workload.
func TestDevices(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		cfg := withBusybox(t, arch)
		devicesGuest.addTo(t, &cfg)
		wantConsole(t, run(t, cfg, 0), passed)
	})
}
