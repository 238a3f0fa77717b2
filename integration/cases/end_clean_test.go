package cases

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/vm"
)

// An end is a way in which a guest can end. The workload has written /file before, and has not
// flushed it.
type end struct {
	name   string
	script string // what the workload executes after it has written /file
	want   int
	env    []string
	memMiB int
	more   bool // also test with other roots and architectures
}

var ends = []end{
	{name: "exit", script: "exit 7", want: 7},
	{name: "killed", script: "kill -KILL $$", want: 128 + 9, more: true},
	{name: "SIGTERM to init", script: "kill -TERM 1; exec sleep 1000", want: 128 + 15, more: true},
	{name: "SIGTERM to init, for a workload that ends by itself", script: `
trap 'echo last >/last; exit 7' TERM
kill -TERM 1
while :; do usleep 10000; done`, want: 7},
	{name: "out of memory", script: "exec tail /dev/zero", want: 128 + 9, memMiB: 128},
	{name: "init fails", want: 125, env: []string{"KRUN_WORKDIR=/etc/passwd"}, more: true},
	{name: "program that is not there", want: 127, env: []string{"KRUN_INIT=/no/such"}},
	{name: "processes left", script: `
sleep 1000 &
sh -c 'trap "" HUP INT TERM; exec sleep 1000' &
sh -c 'trap "" HUP INT TERM; while :; do echo more; done' >/log &
sh -c 'kill -STOP $$' >/stopped &
sh -c 'exec 3>/removed; rm /removed; echo held >&3; trap "" TERM; echo >/held; while :; do usleep 100000; done' &
until [ -s /log ] && [ -e /held ]; do usleep 10000; done
exit 7`, want: 7, more: true},
	{name: "a process in namespaces of its own", script: `
unshare -m -p -f sh -c '
	mount -t tmpfs t /tmp; mount --bind /etc /mnt; cd /root; echo >/ready
	trap "" TERM; while :; do usleep 100000; done' &
until [ -e /ready ]; do usleep 10000; done
exit 7`, want: 7},
	{name: "nothing in /proc", script: "umount -l /proc; exit 7", want: 7},
	{name: "something else in /proc", script: "mount -t tmpfs t /proc; mkdir /proc/self; echo >/proc/self/mountinfo; exit 7", want: 7},
	{name: "root unmounted lazily", script: "umount -l /; exit 7", want: 7, more: true},
	{name: "many processes", script: `
i=0
while [ $i -lt 200 ]; do
	sh -c 'trap "" TERM; echo >>/log; exec sleep 1000' &
	i=$((i + 1))
done
while [ "$(wc -l </log)" -lt 200 ]; do usleep 10000; done
exit 7`, want: 7},
	{name: "processes that start others", script: `
echo 'trap "sh /again & sh /again &" TERM; echo >/run/ready; while :; do usleep 10000; done' >/again
sh /again &
until [ -e /run/ready ]; do usleep 10000; done
exit 7`, want: 7},
	{name: "mounts over the root", script: `
mount --bind /etc /mnt
mount -t tmpfs t /tmp
mount --bind /file /tmp && mkdir -p /tmp/a
cd /tmp
mount -o remount,noatime /
exit 7`, want: 7},
}

// TestCleanEnd checks that each end leaves the root file system on the disk clean, with the data
// that the workload has written.
func TestCleanEnd(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		for _, end := range ends {
			for _, fsType := range []string{"ext4", "xfs", "btrfs"} {
				if !end.more && (arch != "amd64" || fsType != "ext4") || arch != "amd64" && fsType != "ext4" {
					continue
				}
				t.Run(end.name+" "+fsType, func(t *testing.T) {
					t.Parallel()
					disk := diskRoot(t, arch, diskimage.FileSystem{Type: fsType}, "echo contents >/file\n"+end.script+"\n", nil)
					cfg := withDisk(t, arch, disk)
					cfg.Env = append(cfg.Env, end.env...)
					cfg.MemMiB = end.memMiB
					run(t, cfg, end.want)
					wantClean(t, disk, fsType)
					if end.want != 125 && end.want != 127 {
						wantFile(t, disk, fsType, "/file", "contents\n")
					}
				})
			}
		}
	})
}

// TestCleanEndOfOverlay is like TestCleanEnd, with an overlay whose upper directory is on another
// disk. The workload does not see that disk mounted.
func TestCleanEndOfOverlay(t *testing.T) {
	for _, end := range ends {
		if !end.more {
			continue
		}
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "erofs"}, "echo contents >/file\n"+end.script+"\n", nil)
			upper := newImage(t, diskimage.FileSystem{Type: "ext4"})
			cfg := withDisk(t, "amd64", disk)
			cfg.Disks = append(cfg.Disks, vm.Disk{Path: upper})
			cfg.Env = append(append(cfg.Env, "KRUN_ROOT_OVERLAY=/dev/vdb"), end.env...)
			cfg.MemMiB = end.memMiB
			run(t, cfg, end.want)
			wantClean(t, upper, "ext4")
		})
	}
}

// TestDirectoryAtEnd is like TestCleanEnd, with a directory of the host as the root.
func TestDirectoryAtEnd(t *testing.T) {
	for _, end := range ends {
		if !end.more || end.want == 125 {
			continue
		}
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", "echo contents >/file\n"+end.script+"\n")
			cfg.MemMiB = end.memMiB
			run(t, cfg, end.want)
			wantHostFile(t, cfg, "file", "contents\n")
		})
	}
}

// TestMountedAtEnd boots a guest whose workload leaves disks mounted, one below the other, with
// files in use, and checks that all of them are clean afterwards.
func TestMountedAtEnd(t *testing.T) {
	for _, root := range []string{"directory", "disk"} {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			const text = `
for d in $DISKS; do
	mkdir -p /mnt$at
	mount /dev/$d /mnt$at || exit 1
	echo contents >/mnt$at/file
	( cd /mnt$at; exec sleep 1000 >log ) &
	at=$at/below
done
umount /run 2>/dev/null
cd /mnt/below
exit 7
`
			var cfg vm.Config
			if root == "directory" {
				cfg = script(t, "amd64", text)
				cfg.Env = []string{"DISKS=vda vdb vdc"}
			} else {
				cfg = withDisk(t, "amd64", diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, text, nil))
				cfg.Env = append(cfg.Env, "DISKS=vdb vdc")
			}
			types := []string{"ext4", "xfs", "btrfs"}
			if root == "disk" {
				types = []string{"ext4", "ext4", "xfs"}
			}
			for i := len(cfg.Disks); i < len(types); i++ {
				cfg.Disks = append(cfg.Disks, vm.Disk{Path: newImage(t, diskimage.FileSystem{Type: types[i]})})
			}
			run(t, cfg, 7)
			for i, disk := range cfg.Disks {
				wantClean(t, disk.Path, types[i])
				if root == "directory" || i > 0 {
					wantFile(t, disk.Path, types[i], "/file", "contents\n")
				}
			}
		})
	}
}

// TestFrozenAtEnd freezes the root file system and leaves a process that blocks on it, so that no
// signal can end the process. It checks that the shutdown succeeds and leaves the file system
// clean.
func TestFrozenAtEnd(t *testing.T) {
	t.Parallel()
	disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, `
echo contents >/file
fsfreeze --freeze /
( echo more >/other ) &
exit 7
`, nil)
	run(t, withDisk(t, "amd64", disk), 7)
	wantClean(t, disk, "ext4")
	wantFile(t, disk, "ext4", "/file", "contents\n")
}

// wantHostFile checks the contents of a file in the machine's root directory on the host.
func wantHostFile(t *testing.T, cfg vm.Config, name, want string) {
	t.Helper()
	if got, err := os.ReadFile(filepath.Join(cfg.Root, name)); err != nil || string(got) != want {
		t.Errorf("/%s = %.100q, %v, want %.100q", name, got, err, want)
	}
}

// reportingGuest reports exit code 99 to the host again and again, as a process can that the
// workload has left behind, whoever it belongs to.
var reportingGuest = inGuest("reporting", func(t *testing.T) {
	signal.Ignore(unix.SIGHUP, unix.SIGTERM)
	root, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	const exitCode = 0x7602
	for i := 0; ; i++ {
		if err := unix.IoctlSetInt(root, exitCode, 99); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.WriteFile("/dev/shm/ready", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Millisecond)
	}
})

// TestExitCodeIsLast checks that the host's last word is init's, not that of a process that the
// workload left behind.
func TestExitCodeIsLast(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "setsid "+reportingGuest.path()+" &\nuntil [ -e /dev/shm/ready ]; do usleep 10000; done; exit 7\n")
	args := cfg.Args
	reportingGuest.addTo(t, &cfg)
	cfg.Args = args
	result, err := vm.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if codes := result.ExitCodes; !slices.Contains(codes, 99) || codes[len(codes)-1] != 7 {
		t.Errorf("exit codes = %v, want some 99, and 7 at last; console:\n%s", codes, result.Console)
	}
}

// TestLostData has the host fail writes to one sector of a disk, which the workload fills. The
// workload does not notice; the host is told.
func TestLostData(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ code, want int }{{0, 125}, {7, 7}} {
		t.Run(strconv.Itoa(tt.code), func(t *testing.T) {
			t.Parallel()
			disk := newImage(t, diskimage.FileSystem{Type: "ext2"})
			cfg := script(t, "amd64", fmt.Sprintf("mkdir /tmp/disk; mount -t ext2 /dev/vda /tmp/disk && dd if=/dev/zero of=/tmp/disk/file bs=64k; exit %d\n", tt.code))
			cfg.Devices = []vm.Device{{Args: func([]int) []string {
				return []string{
					"-blockdev", "driver=blkdebug,node-name=failing,image.driver=file,image.filename=" + disk +
						",inject-error.0.event=none,inject-error.0.iotype=write,inject-error.0.errno=5,inject-error.0.sector=23456",
					"-device", "virtio-blk-device,drive=failing",
				}
			}}}
			const want = "krunbox: warning: unmount: write /tmp/disk to its disk: data is lost: input/output error\n"
			result, err := vm.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if result.ExitCode != tt.want || !strings.Contains(console(result), want) {
				t.Errorf("exit code = %d, console = %q, want %d and %q", result.ExitCode, console(result), tt.want, want)
			}
		})
	}
}
