package cases

import (
	"os"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/diskimage"
)

// TestRootErrors boots with disks and parameters from which init cannot mount a root. It checks
// that the error is a single line, without the kernel's own messages on the console, that the host
// receives exit code 125, and that the disk is unchanged.
func TestRootErrors(t *testing.T) {
	const none = "00000000-0000-0000-0000-000000000000"
	damage := func(offset, size int64) func(t *testing.T, disk string) {
		return func(t *testing.T, disk string) {
			f, err := os.OpenFile(disk, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(make([]byte, size), offset); err != nil {
				t.Fatal(err)
			}
		}
	}
	zeroed := damage(0, 1<<17)
	for _, tt := range []struct {
		name   string
		fsType string // of the disk
		damage func(t *testing.T, disk string)
		env    []string
		want   []string // parts of the message, in order
	}{
		{"wrong type", "ext4", nil, []string{"KRUN_BLOCK_ROOT_FSTYPE=xfs"}, []string{"xfs /dev/vda", "it holds ext4", "XFS"}},
		{"wrong type, btrfs", "xfs", nil, []string{"KRUN_BLOCK_ROOT_FSTYPE=btrfs"}, []string{"btrfs /dev/vda", "it holds xfs"}},
		{"type that nobody knows", "ext4", nil, []string{"KRUN_BLOCK_ROOT_FSTYPE=zfs"}, []string{"/dev/vda", "the kernel has no zfs"}},
		{"type that this kernel lacks", "squashfs", nil, nil, []string{"/dev/vda", "the kernel has no squashfs"}},
		{"such a type, given", "squashfs", nil, []string{"KRUN_BLOCK_ROOT_FSTYPE=squashfs"}, []string{"/dev/vda", "the kernel has no squashfs"}},
		{"another such type", "f2fs", nil, nil, []string{"/dev/vda", "the kernel has no f2fs"}},
		{"no such disk", "ext4", nil, []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/vdx"}, []string{"/dev/vdx", "/dev/vda"}},
		{"no such path", "ext4", nil, []string{"KRUN_BLOCK_ROOT_DEVICE=/no/such/disk"}, []string{"/no/such/disk"}},
		{"no disk at all", "ext4", nil, []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/null"}, []string{"/dev/null", "block device"}},
		{"no such UUID", "ext4", nil, []string{"KRUN_BLOCK_ROOT_DEVICE=UUID=" + none}, []string{"UUID=" + none, "/dev/vda"}},
		{"no such label", "ext4", nil, []string{"KRUN_BLOCK_ROOT_DEVICE=LABEL=other"}, []string{"LABEL=other", "/dev/vda"}},
		{"no such partition", "ext4", nil, []string{"KRUN_BLOCK_ROOT_DEVICE=PARTUUID=" + none}, []string{"PARTUUID=" + none}},
		{"nothing after UUID=", "ext4", nil, []string{"KRUN_BLOCK_ROOT_DEVICE=UUID="}, []string{"UUID="}},
		{"no superblock", "ext4", zeroed, nil, []string{"/dev/vda", "ext4", "xfs", "btrfs"}},
		{"no superblock, ext4 given", "ext4", zeroed, []string{"KRUN_BLOCK_ROOT_FSTYPE=ext4"}, []string{"ext4", "/dev/vda"}},
		{"no superblock, xfs given", "xfs", zeroed, []string{"KRUN_BLOCK_ROOT_FSTYPE=xfs"}, []string{"xfs", "/dev/vda"}},
		{"damaged ext4", "ext4", damage(1024+0x20, 0x18), nil, []string{"ext4", "/dev/vda"}},
		{"damaged xfs", "xfs", damage(4, 40), nil, []string{"xfs", "/dev/vda"}},
		{"damaged btrfs", "btrfs", damage(65536+0x50, 32), nil, []string{"btrfs", "/dev/vda"}},
		{"damaged erofs", "erofs", damage(1024+4, 64), nil, []string{"erofs", "/dev/vda"}},
		{"options", "ext4", nil, []string{"KRUN_BLOCK_ROOT_OPTIONS=ro,nonsense=3"}, []string{"ext4", "/dev/vda", "nonsense"}},
		{"overlay on no disk", "ext4", nil, []string{"KRUN_ROOT_OVERLAY=/dev/vdx"}, []string{"/dev/vdx"}},
		{"overlay on itself", "ext4", nil, []string{"KRUN_ROOT_OVERLAY=/dev/vda"}, []string{"/dev/vda", "overlay"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: tt.fsType, Label: "root"}, "echo running\n", nil)
			if tt.damage != nil {
				tt.damage(t, disk)
			}
			before := contents(t, disk)
			cfg := withDisk(t, "amd64", disk)
			cfg.Env = append(cfg.Env, "KRUN_BLOCK_ROOT_TIMEOUT_MS=100")
			for _, entry := range tt.env {
				if strings.HasPrefix(entry, "KRUN_BLOCK_ROOT_DEVICE=") {
					cfg.Env = cfg.Env[1:]
				}
				cfg.Env = append(cfg.Env, entry)
			}
			wantLine(t, console(run(t, cfg, 125)), append([]string{"krunbox: "}, tt.want...)...)
			if contents(t, disk) != before {
				t.Error("the disk has changed")
			}
		})
	}
}

// TestFullDisk boots from a disk without free space. It checks that init reports what it cannot
// create, and that a workload that needs no space still runs.
func TestFullDisk(t *testing.T) {
	for _, fsType := range []string{"ext4", "xfs"} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: fsType},
				"for s in 1M 1k; do dd if=/dev/zero of=/fill$s bs=$s 2>/dev/null; done\n"+
					"while mkdir -p /fill/$((i++)) 2>/dev/null; do :; done\nexit 7\n", nil)
			run(t, withDisk(t, "amd64", disk), 7)
			wantClean(t, disk, fsType)
			cfg := withDisk(t, "amd64", disk)
			cfg.Env = append(cfg.Env, "KRUN_WORKDIR=/new/directory")
			wantLine(t, console(run(t, cfg, 125)), "krunbox: ", "/new", "no space left on device")
			wantClean(t, disk, fsType)
			cfg = withDisk(t, "amd64", disk)
			cfg.Args = []string{"/bin/sh", "-c", "exit 7"}
			wantConsole(t, run(t, cfg, 7), "") // a user can still inspect the disk
			wantClean(t, disk, fsType)
		})
	}
}
