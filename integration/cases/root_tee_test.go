package cases

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/vm"
)

// TestConfidentialGuest boots an init for confidential guests (make build TEE=1). It does not trust
// the host: its root is always the first disk, regardless of the parameters. The test uses an
// ordinary machine, because such guests boot from an initramfs, which the kernel of libkrunfw does
// not support.
func TestConfidentialGuest(t *testing.T) {
	const tee, arch = "../../build/tee/init.krun", runtime.GOARCH
	if _, err := os.Stat(tee); err != nil {
		t.Fatalf("%v: run make build TEE=1 first", err)
	}
	for name, env := range map[string][]string{
		"no parameters":       nil,
		"parameters to avoid": {"KRUN_BLOCK_ROOT_DEVICE=/dev/vdb", "KRUN_BLOCK_ROOT_FSTYPE=xfs", "KRUN_ROOT_OVERLAY=tmpfs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, arch, diskimage.FileSystem{Type: "ext4"}, showMounts+"echo contents >/file; exit 7\n", nil)
			other := newImage(t, diskimage.FileSystem{Type: "xfs"})
			cfg := withDisk(t, arch, disk)
			cfg.Init, cfg.Env = tee, env
			cfg.Disks = append(cfg.Disks, vm.Disk{Path: other})
			wantRoot(t, run(t, cfg, 7), "ext4", "rw relatime")
			wantClean(t, disk, "ext4")
			wantFile(t, disk, "ext4", "/file", "contents\n")
		})
	}
	t.Run("no disk", func(t *testing.T) {
		t.Parallel()
		cfg := machine(t, arch)
		cfg.Init = tee
		wantLine(t, console(run(t, cfg, 125)), "krunbox: ", "/dev/vda", "no block devices")
	})
}

// TestConfidentialImage boots the same init in an initramfs with the kernel of a distribution.
func TestConfidentialImage(t *testing.T) {
	t.Parallel()
	kernel := buildImage(t, "amd64").kernel // imageTool below packs the modules of the same kernel
	initramfs := filepath.Join(t.TempDir(), "krunbox.cpio.gz")
	imageTool(t, "-goarch", "amd64", "-tags", "tee", "-kernel", "debian", "-o", initramfs)
	disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, showMounts+"ls /; echo contents >/file; exit 7\n", nil)
	got := runToPowerOff(t, vm.Config{
		Arch: "amd64", Machine: vm.Q35, Kernel: kernel, Initrd: initramfs, InitPath: "/init", Dirs: []string{},
		Disks: []vm.Disk{{Path: disk}, {Path: newImage(t, diskimage.FileSystem{Type: "xfs"})}}, Args: []string{scriptPath},
		Env:      []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/vdb", "KRUN_BLOCK_ROOT_FSTYPE=xfs", "KRUN_ROOT_OVERLAY=tmpfs"},
		Deadline: 2 * time.Minute,
	})
	if !strings.Contains(got, " / / rw,relatime shared:1 - ext4 /dev/vda rw\n") {
		t.Errorf("console = %s\nwant /dev/vda as the root", got)
	}
	wantClean(t, disk, "ext4")
	wantFile(t, disk, "ext4", "/file", "contents\n")
}
