package cases

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/vm"
)

// overlayScript prints the mounts and the state of several files, and then creates, changes,
// removes and renames files.
const overlayScript = showMounts + `
ls -ld / | cut -d ' ' -f 1
cat /changed /etc/hostname 2>/dev/null
[ -e /etc/group ] || echo no group
echo changed >/changed
echo guest >/etc/hostname
rm -f /etc/group
mv /etc/passwd /etc/passwd.old 2>/dev/null
chmod 700 /var
sync
exit 7
`

// checksum returns a checksum of a file or a directory: names, modes, modification times and
// contents.
func checksum(t *testing.T, root string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path, info.Mode(), info.ModTime())
		if !info.Mode().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		h.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// contents returns a checksum of the contents of a disk image.
func contents(t *testing.T, disk string) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// wantOverlay checks the output of overlayScript. changed is whether the script has run on the same
// overlay before.
func wantOverlay(t *testing.T, result vm.Result, changed bool) {
	t.Helper()
	wantRoot(t, result, "overlay", "rw relatime")
	want := "drwxr-xr-x\n"
	if changed {
		want += "changed\nguest\nno group\n"
	}
	_, got, _ := strings.Cut(console(result), "END\n")
	if got != want {
		t.Errorf("output of the workload = %q, want %q", got, want)
	}
}

// TestOverlayInMemory boots with an overlay in memory, and checks that the disk does not change.
func TestOverlayInMemory(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		types := []string{"ext4", "xfs", "btrfs", "erofs"}
		if arch == "arm64" {
			types = []string{"squashfs"}
		}
		for _, fsType := range types {
			t.Run(fsType, func(t *testing.T) {
				t.Parallel()
				disk := diskRoot(t, arch, diskimage.FileSystem{Type: fsType}, overlayScript, nil)
				before := contents(t, disk)
				cfg := withDisk(t, arch, disk)
				cfg.Env = append(cfg.Env, "KRUN_ROOT_OVERLAY=tmpfs")
				wantOverlay(t, run(t, cfg, 7), false)
				if contents(t, disk) != before {
					t.Error("the disk has changed")
				}
			})
		}
	})
}

// flushAndWait writes and syncs a file, and then waits to be killed at "ready". The file is then in
// the journal of the file system only.
const flushAndWait = `
echo contents | dd conv=fsync of=/file 2>/dev/null
echo ready
while :; do sleep 1; done
`

// TestOverlayOverDirtyDisk boots with an overlay over a disk whose last guest was killed. Init must
// not recover the journal, which would change the disk. A later boot without an overlay recovers
// it.
func TestOverlayOverDirtyDisk(t *testing.T) {
	for _, fsType := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: fsType}, flushAndWait, nil)
			killAt(t, withDisk(t, "amd64", disk), "ready")
			if err := diskimage.Check(disk, fsType); err == nil {
				t.Fatal("the file system is clean after its guest was killed")
			}
			before := contents(t, disk)
			cfg := withDisk(t, "amd64", disk)
			cfg.Env = append(cfg.Env, "KRUN_ROOT_OVERLAY=tmpfs")
			cfg.Args = []string{"/bin/sh", "-c", showMounts + "echo more >/file; exit 7"}
			wantRoot(t, run(t, cfg, 7), "overlay", "rw relatime")
			if contents(t, disk) != before {
				t.Error("the disk has changed")
			}
			cfg = withDisk(t, "amd64", disk)
			cfg.Args = []string{"/bin/cat", "/file"}
			wantConsole(t, run(t, cfg, 0), "contents\n")
			wantClean(t, disk, fsType)
		})
	}
}

// TestDirtyReadOnlyDisk boots from a read-only disk whose journal needs recovery, and checks that
// init reports the error.
func TestDirtyReadOnlyDisk(t *testing.T) {
	for _, fsType := range []string{"ext4", "xfs"} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: fsType}, flushAndWait, nil)
			cfg := withDisk(t, "amd64", disk)
			killAt(t, cfg, "ready")
			cfg.Disks[0].ReadOnly = true
			wantLine(t, console(run(t, cfg, 125)), "krunbox: ", fsType, "/dev/vda", "read-only file system", "kernel: ")
		})
	}
}

// TestOverlayOnDisk boots with an overlay whose changes go to a second disk, and checks that the
// next boot finds them.
func TestOverlayOnDisk(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		pairs := [][2]string{{"ext4", "ext4"}, {"erofs", "xfs"}, {"xfs", "btrfs"}}
		if arch == "arm64" {
			pairs = pairs[:1]
		}
		for _, types := range pairs {
			t.Run(types[0]+" "+types[1], func(t *testing.T) {
				t.Parallel()
				lower := diskRoot(t, arch, diskimage.FileSystem{Type: types[0]}, overlayScript, nil)
				upper := newImage(t, diskimage.FileSystem{Type: types[1], Label: "changes"})
				before := contents(t, lower)
				cfg := withDisk(t, arch, lower)
				cfg.Disks = append(cfg.Disks, vm.Disk{Path: upper})
				for i, name := range []string{"/dev/vdb", "LABEL=changes"} {
					cfg := cfg
					cfg.Env = append(cfg.Env[:1:1], "KRUN_ROOT_OVERLAY="+name)
					wantOverlay(t, run(t, cfg, 7), i > 0)
					wantClean(t, upper, types[1])
					if contents(t, lower) != before {
						t.Errorf("boot %d: the lower disk has changed", i+1)
					}
				}
			})
		}
	})
}

// TestOverlayAfterCrash boots with a disk for changes on which another boot has crashed before it had
// finished the directory that becomes the root. A user other than root can read the root then.
func TestOverlayAfterCrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "upper.new"), 0o700), os.Mkdir(filepath.Join(dir, "work"), 0o700)); err != nil {
		t.Fatal(err)
	}
	cfg := withBusybox(t, "amd64")
	cfg.Args, cfg.GuestConfig = nil, []byte(`{"Cmd": ["stat", "-c", "%a %n", "/", "/etc/passwd"], "User": "1000"}`)
	cfg.Env = []string{"KRUN_ROOT_OVERLAY=/dev/vda"}
	cfg.Disks = []vm.Disk{{Path: newImage(t, diskimage.FileSystem{Type: "ext4", Dir: dir})}}
	wantConsole(t, run(t, cfg, 0), "755 /\n644 /etc/passwd\n")
}

// TestOverlayInUseAtTheEnd boots with a disk for changes on which the kernel has a file open when the
// machine ends.
func TestOverlayInUseAtTheEnd(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "dd if=/dev/zero of=/file bs=1M count=2 2>/dev/null && losetup /dev/loop0 /file && exit 7")
	cfg.Env = []string{"KRUN_ROOT_OVERLAY=/dev/vda"}
	disk := newImage(t, diskimage.FileSystem{Type: "ext4"})
	cfg.Disks = []vm.Disk{{Path: disk}}
	wantConsole(t, run(t, cfg, 7), "")
	wantClean(t, disk, "ext4")
}

// TestOverlayOverDirectory boots with an overlay over a directory of the host, and checks that the
// directory does not change.
func TestOverlayOverDirectory(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		for _, where := range []string{"tmpfs", "/dev/vda"} {
			t.Run(where, func(t *testing.T) {
				t.Parallel()
				cfg := script(t, arch, overlayScript)
				cfg.TemporaryRoot = true
				cfg.Env = []string{"KRUN_ROOT_OVERLAY=" + where}
				if where != "tmpfs" {
					cfg.Disks = []vm.Disk{{Path: newImage(t, diskimage.FileSystem{Type: "ext4"})}}
				}
				before := checksum(t, cfg.Root)
				for i := range 1 + len(cfg.Disks) {
					result := run(t, cfg, 7)
					wantOverlay(t, result, i > 0)
					if result.RootRemovals != 0 {
						t.Error("the guest requested the removal of the root that is in use")
					}
					if checksum(t, cfg.Root) != before {
						t.Errorf("boot %d: the directory has changed", i+1)
					}
				}
				for _, disk := range cfg.Disks {
					wantClean(t, disk.Path, "ext4")
				}
			})
		}
	})
}

// TestWorkdirOutsideOfRoot asks for a working directory that leads through a descriptor of init to
// the directory below an overlay, in which a workload could change the host's files.
func TestWorkdirOutsideOfRoot(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", `for fd in /proc/1/fd/*; do [ -d $fd ] && echo /proc/self/fd/${fd##*/}; done; exit 7`)
	cfg.Env = []string{"KRUN_ROOT_OVERLAY=tmpfs"}
	dirs := strings.Fields(console(run(t, cfg, 7)))
	if len(dirs) == 0 {
		t.Error("init has no descriptor of a directory: does the test look for the right thing?")
	}
	for _, dir := range dirs {
		cfg.Env = []string{"KRUN_ROOT_OVERLAY=tmpfs", "KRUN_WORKDIR=" + dir}
		wantLine(t, console(run(t, cfg, 125)), "krunbox: ", "working directory "+dir, "not below the root")
	}
}

// TestFullOverlayInMemory has a workload fill its root, whose changes are in the memory of a small machine.
// It gets an error, and memory is left for the rest.
func TestFullOverlayInMemory(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", `
size=$(df -k / | awk 'END { print $2 }')
available=$(awk '/MemAvailable/ { print $2 }' /proc/meminfo)
[ $((size * 4)) -lt $((available * 3)) ] || echo "the root has $size kB, and only $available kB are available"
dd if=/dev/zero of=/filled bs=64k 2>&1 | grep -o 'No space left on device'
exit 5`)
	cfg.MemMiB = 96
	cfg.Env = append(cfg.Env, "KRUN_ROOT_OVERLAY=tmpfs")
	wantConsole(t, run(t, cfg, 5), "No space left on device\n")
}
