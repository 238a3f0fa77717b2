package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/vm"
)

// diskRoot creates a disk image with a root for guests: busybox, and script at scriptPath. prepare,
// if not nil, changes the directory before. fs has the type and the other properties of the file
// system.
func diskRoot(t *testing.T, arch string, fs diskimage.FileSystem, script string, prepare func(dir string) error) string {
	t.Helper()
	fs.Dir = t.TempDir()
	if err := guestroot.Create(t.Context(), arch, fs.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(fs.Dir, scriptPath), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		if err := prepare(fs.Dir); err != nil {
			t.Fatal(err)
		}
	}
	return newImage(t, fs)
}

// install copies the guest half to its path below dir.
func (g guest) install(t *testing.T, arch, dir string) error {
	program, err := os.ReadFile(guestPrograms.build(t, arch))
	if err != nil {
		return err
	}
	path := filepath.Join(dir, g.path())
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, program, 0o755)
}

// newImage creates an image of a file system.
func newImage(t *testing.T, fs diskimage.FileSystem) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for the owners of files, and the tools of integration/deps.sh")
	}
	path := filepath.Join(t.TempDir(), "disk")
	if err := diskimage.Create(path, fs); err != nil {
		t.Fatal(err)
	}
	return path
}

// withDisk returns a machine with an empty root and a disk that becomes the root. Its workload is
// the script of diskRoot.
func withDisk(t *testing.T, arch, path string) vm.Config {
	t.Helper()
	cfg := machine(t, arch)
	cfg.Disks = []vm.Disk{{Path: path}}
	cfg.Env = []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/vda"}
	cfg.Args = []string{scriptPath}
	return cfg
}

// wantClean checks that the file system of an image is clean and consistent.
func wantClean(t *testing.T, path, fsType string) {
	t.Helper()
	if err := diskimage.Check(path, fsType); err != nil {
		t.Errorf("check of the %s: %v", fsType, err)
	}
}

// wantFile checks the contents of a file in an image.
func wantFile(t *testing.T, path, fsType, name, want string) {
	t.Helper()
	if got, err := diskimage.ReadFile(path, fsType, name); err != nil || string(got) != want {
		t.Errorf("%s in the %s = %.100q, %v, want %.100q", name, fsType, got, err, want)
	}
}

// showMounts is a part of a script. mountsOf and wantRoot parse its output.
const showMounts = "echo MOUNTS; cat /proc/self/mountinfo; echo END\n"

// mountsOf returns the mounts that showMounts printed, and checks that they are shared.
func mountsOf(t *testing.T, result vm.Result) (table []mountInfo) {
	t.Helper()
	_, text, _ := strings.Cut(console(result), "MOUNTS\n")
	text, _, found := strings.Cut(text, "END\n")
	if !found {
		t.Fatalf("console = %s\nwant the output of showMounts", console(result))
	}
	for line := range strings.Lines(text) {
		// A hyphen ends the optional fields, and the type follows. See proc_pid_mountinfo(5).
		head, tail, _ := strings.Cut(line, " - ")
		fields := strings.Fields(head)
		if !strings.Contains(head, " shared:") {
			t.Errorf("mount is not shared: %s", line)
		}
		table = append(table, mountInfo{fields[4], strings.Fields(tail)[0], strings.ReplaceAll(fields[5], ",", " ")})
	}
	return table
}

// wantRoot checks the mounts: the root, the base file systems, and nothing from the first root.
func wantRoot(t *testing.T, result vm.Result, fsType, options string) {
	t.Helper()
	const restricted = "rw nosuid nodev noexec relatime"
	want := []mountInfo{
		{"/", fsType, options},
		{"/dev", "devtmpfs", "rw relatime"},
		{"/dev/pts", "devpts", "rw nosuid noexec relatime"},
		{"/dev/shm", "tmpfs", "rw nosuid noexec relatime"},
		{"/etc/hosts", "devtmpfs", "rw relatime"}, // because the image has no such file
		{"/proc", "proc", restricted},
		{"/run", "tmpfs", "rw nosuid nodev relatime"},
		{"/sys", "sysfs", restricted},
		{"/sys/fs/cgroup", "cgroup2", restricted},
	}
	if strings.HasPrefix(options, "ro") { // init cannot create /etc/hosts
		want = slices.DeleteFunc(want, func(m mountInfo) bool { return m.point == "/etc/hosts" })
	}
	got := mountsOf(t, result)
	slices.SortFunc(got, func(a, b mountInfo) int { return strings.Compare(a.point, b.point) })
	if !slices.Equal(got, want) {
		t.Errorf("mounts = %q,\nwant %q", got, want)
	}
}

// options returns the mount options of a root of a type without configured options.
func options(fsType string) string {
	if fsType == "erofs" || fsType == "squashfs" {
		return "ro relatime"
	}
	return "rw relatime"
}

// blockTypes returns the types of file systems that a guest supports as its root. The x86-64 kernel
// does not support squashfs.
func blockTypes(arch string) []string {
	types := []string{"ext4", "xfs", "btrfs", "erofs"}
	if arch == "arm64" {
		types = append(types, "squashfs")
	}
	return types
}

// TestBlockRoot boots from a disk of each type, with the type configured or detected. It checks
// that the data of the workload is on the disk afterwards, and that the host receives the exit
// code.
func TestBlockRoot(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		for _, fsType := range blockTypes(arch) {
			for _, given := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, given: %v", fsType, given), func(t *testing.T) {
					t.Parallel()
					disk := diskRoot(t, arch, diskimage.FileSystem{Type: fsType}, showMounts+`
ls /proc/self/fd | tr '\n' ' '
echo
mkdir /made 2>/dev/null && echo contents >/made/file
exit 7
`, nil)
					cfg := withDisk(t, arch, disk)
					if given {
						cfg.Env = append(cfg.Env, "KRUN_BLOCK_ROOT_FSTYPE="+fsType)
					}
					result := run(t, cfg, 7)
					wantRoot(t, result, fsType, options(fsType))
					// Descriptor 3 is the directory that ls reads.
					if _, fds, _ := strings.Cut(console(result), "END\n"); fds != "0 1 2 3 \n" {
						t.Errorf("open descriptors and further output = %q, want 0 1 2 3", fds)
					}
					if fsType != "squashfs" {
						wantClean(t, disk, fsType)
					}
					if options(fsType) == "rw relatime" {
						wantFile(t, disk, fsType, "/made/file", "contents\n")
					}
				})
			}
		}
	})
}

// TestOlderTypes boots from ext2 and ext3. The kernel mounts both with its ext4 driver.
func TestOlderTypes(t *testing.T) {
	for _, fsType := range []string{"ext2", "ext3"} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: fsType}, showMounts+"echo contents >/file; exit 7\n", nil)
			result := run(t, withDisk(t, "amd64", disk), 7)
			if root := mountsOf(t, result)[0]; root.point != "/" || !strings.HasPrefix(root.fsType, "ext") {
				t.Errorf("first mount = %v, want / of type %s or of a later ext", root, fsType)
			}
			wantClean(t, disk, fsType)
			wantFile(t, disk, fsType, "/file", "contents\n")
		})
	}
}

// TestFirstRoots checks the different first roots with which a host may start a guest that switches
// to a disk. Init needs no files in them and must not change them.
func TestFirstRoots(t *testing.T) {
	for name, change := range map[string]func(*vm.Config){
		"directories for nothing": func(cfg *vm.Config) { cfg.Dirs = []string{} },
		"directories for all":     func(cfg *vm.Config) { cfg.Dirs = []string{"/dev", "/proc", "/sys", "/newroot", "/tmp", "/run"} },
		"read-only":               func(cfg *vm.Config) { cfg.Root, cfg.ReadOnly = t.TempDir(), true },
		"writable":                func(cfg *vm.Config) { cfg.Root = t.TempDir() },
		"temporary":               func(cfg *vm.Config) { cfg.Root, cfg.TemporaryRoot = t.TempDir(), true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, showMounts+"exit 7\n", nil)
			cfg := withDisk(t, "amd64", disk)
			change(&cfg)
			result := run(t, cfg, 7)
			wantRoot(t, result, "ext4", "rw relatime")
			wantClean(t, disk, "ext4")
			if got, want := result.RootRemovals, map[bool]int{true: 1}[cfg.TemporaryRoot]; got != want {
				t.Errorf("requests to the host to remove its root = %d, want %d", got, want)
			}
			if cfg.Root != "" {
				if entries, err := os.ReadDir(cfg.Root); err != nil || len(entries) > 0 {
					t.Errorf("entries of the root on the host = %v, %v, want none", entries, err)
				}
			}
		})
	}
}

// TestRootStays has a host that removes its root on request, and checks that a guest that uses this
// root does not request it.
func TestRootStays(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "exit 7")
	cfg.TemporaryRoot = true
	if result := run(t, cfg, 7); result.RootRemovals != 0 {
		t.Errorf("requests to the host to remove the root in use = %d, want 0", result.RootRemovals)
	}
}

// TestBareBlockRoot boots from a disk without mount points, and checks that init creates them.
func TestBareBlockRoot(t *testing.T) {
	t.Parallel()
	disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, showMounts+"exit 7\n", func(dir string) error {
		for _, name := range []string{"dev", "proc", "sys"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		return nil
	})
	result := run(t, withDisk(t, "amd64", disk), 7)
	wantRoot(t, result, "ext4", "rw relatime")
	wantClean(t, disk, "ext4")
}

// TestBlockRootOptions boots with mount options in the format of fstab(5).
func TestBlockRootOptions(t *testing.T) {
	for _, tt := range []struct{ fsType, options, want string }{
		{"ext4", "ro,noatime,defaults", "ro noatime"},
		{"ext4", "defaults,nodev,nosuid,errors=remount-ro,commit=30,x-systemd.growfs,nofail,_netdev,noauto", "rw nosuid nodev relatime"},
		{"xfs", "noatime,inode64,logbufs=8", "rw noatime"},
		{"btrfs", "strictatime,compress=zstd:1,space_cache=v2", "rw"},
		{"erofs", "defaults,rw", "ro relatime"},
	} {
		t.Run(tt.fsType+" "+tt.options, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: tt.fsType}, showMounts+"exit 7\n", nil)
			cfg := withDisk(t, "amd64", disk)
			cfg.Env = append(cfg.Env, "KRUN_BLOCK_ROOT_OPTIONS="+tt.options)
			wantRoot(t, run(t, cfg, 7), tt.fsType, tt.want)
			wantClean(t, disk, tt.fsType)
		})
	}
}

// TestReadOnlyDisk boots from a read-only disk without the option ro, and checks that init mounts
// the root read-only.
func TestReadOnlyDisk(t *testing.T) {
	for _, fsType := range []string{"ext4", "xfs", "btrfs", "erofs"} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: fsType}, showMounts+"exit 7\n", nil)
			cfg := withDisk(t, "amd64", disk)
			cfg.Disks[0].ReadOnly = true
			wantRoot(t, run(t, cfg, 7), fsType, "ro relatime")
		})
	}
}

// TestRootByName boots with several disks or partitions, and checks that init finds the root by
// UUID, label, partition UUID, partition label or device name.
func TestRootByName(t *testing.T) {
	const uuid, label = "0a1b2c3d-0000-4444-8888-00000000000f", "root"
	text := showMounts + "echo contents >/file; exit 7\n"
	other := func(t *testing.T) vm.Disk {
		return vm.Disk{Path: newImage(t, diskimage.FileSystem{Type: "ext4", UUID: uuid[:35] + "e", Label: "roo"})}
	}
	for _, fsType := range []string{"ext4", "xfs", "btrfs", "erofs"} {
		for _, name := range []string{"UUID=" + uuid, "UUID=" + strings.ToUpper(uuid), "LABEL=" + label} {
			if fsType == "erofs" && name == "LABEL="+label || fsType != "ext4" && name == "UUID="+strings.ToUpper(uuid) {
				continue
			}
			t.Run(fsType+" "+name, func(t *testing.T) {
				t.Parallel()
				disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: fsType, UUID: uuid, Label: label}, text, nil)
				cfg := withDisk(t, "amd64", disk)
				cfg.Disks = []vm.Disk{other(t), {Path: disk}}
				cfg.Env = []string{"KRUN_BLOCK_ROOT_DEVICE=" + name}
				wantRoot(t, run(t, cfg, 7), fsType, options(fsType))
				wantClean(t, disk, fsType)
			})
		}
	}
	gpt := func(disk string, p []diskimage.Partition) error { return diskimage.CreateGPT(disk, uuid[:35]+"0", p) }
	mbr := func(disk string, p []diskimage.Partition) error { return diskimage.CreateMBR(disk, 0x0a1b2c3d, p) }
	for name, create := range map[string]func(disk string, p []diskimage.Partition) error{
		"PARTUUID=" + uuid: gpt, "PARTLABEL=" + label: gpt, "PARTUUID=0a1b2c3d-02": mbr, "/dev/vdb2": mbr,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			partitions := []diskimage.Partition{
				{Image: newImage(t, diskimage.FileSystem{Type: "xfs"}), UUID: uuid[:35] + "1", Label: "other"},
				{Image: diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, text, nil), UUID: uuid, Label: label},
			}
			disk := filepath.Join(t.TempDir(), "disk")
			if err := create(disk, partitions); err != nil {
				t.Fatal(err)
			}
			cfg := withDisk(t, "amd64", disk)
			cfg.Disks = []vm.Disk{other(t), {Path: disk}}
			cfg.Env = []string{"KRUN_BLOCK_ROOT_DEVICE=" + name}
			wantRoot(t, run(t, cfg, 7), "ext4", "rw relatime")
			root := filepath.Join(t.TempDir(), "root")
			if err := diskimage.Extract(disk, partitions[1], root); err != nil {
				t.Fatal(err)
			}
			wantClean(t, root, "ext4")
			wantFile(t, root, "ext4", "/file", "contents\n")
		})
	}
}

// TestConfigurationOfBlockRoot boots with a configuration in the image, one of the host, or both.
// The host's takes precedence, and a warning names the other.
func TestConfigurationOfBlockRoot(t *testing.T) {
	for name, tt := range map[string]struct {
		image, host string
		want        string // host name
		warning     string
	}{
		"in the image":  {image: `{"args": ["/script"], "hostname": "image"}`, want: "image"},
		"of the host's": {host: `{"args": ["/script"], "hostname": "host"}`, want: "host"},
		"both": {image: `{"args": ["false"], "hostname": "image"}`, host: `{"args": ["/script"], "hostname": "host"}`,
			want: "host", warning: "krunbox: warning: configuration: /.krun_config.json of the image: ignored, the host has one\n"},
		"both the same": {image: `{"args": ["/script"], "hostname": "both"}`, host: `{"args": ["/script"], "hostname": "both"}`,
			want: "both"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, "hostname; exit 7\n", func(dir string) error {
				if tt.image == "" {
					return nil
				}
				return os.WriteFile(filepath.Join(dir, ".krun_config.json"), []byte(tt.image), 0o644)
			})
			cfg := withDisk(t, "amd64", disk)
			cfg.Args = nil
			if tt.host != "" {
				cfg.GuestConfig = []byte(tt.host)
			}
			wantConsole(t, run(t, cfg, 7), tt.warning+tt.want+"\n")
			wantClean(t, disk, "ext4")
		})
	}
}

var subvolumeGuest = inGuest("subvolume", func(t *testing.T) {
	root, err := unix.Open("/", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	const create = 0x5000940e // BTRFS_IOC_SUBVOL_CREATE
	args := struct {
		fd   int64
		name [4088]byte
	}{}
	copy(args.name[:], "sub")
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(root), create, uintptr(unsafe.Pointer(&args))); errno != 0 {
		t.Fatal(errno)
	}
})

// TestSubvolume boots from a subvolume of a btrfs. A first guest creates the subvolume, because no
// tool creates one in an unmounted image.
func TestSubvolume(t *testing.T) {
	t.Parallel()
	disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "btrfs"}, subvolumeGuest.path()+` || exit 1
cp -a /bin /sub
mkdir /sub/run /sub/etc
printf '#!/bin/sh\necho MOUNTS; cat /proc/self/mountinfo; echo END; echo contents >/file; exit 7\n' >/sub/script
chmod 755 /sub/script
exit 0
`, func(dir string) error { return subvolumeGuest.install(t, "amd64", dir) })
	run(t, withDisk(t, "amd64", disk), 0)
	wantClean(t, disk, "btrfs")

	cfg := withDisk(t, "amd64", disk)
	cfg.Env = append(cfg.Env, "KRUN_BLOCK_ROOT_OPTIONS=defaults,subvol=sub")
	wantRoot(t, run(t, cfg, 7), "btrfs", "rw relatime")
	wantClean(t, disk, "btrfs")
	wantFile(t, disk, "btrfs", "/sub/file", "contents\n")
}
