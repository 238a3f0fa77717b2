package cases

import (
	"os"
	"runtime"
	"testing"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/vm"
)

// TestConfidentialGuest has an init that was built for confidential guests (make build TEE=1): its root is the first disk,
// whatever its host, which it does not trust, says. The machine is an ordinary one: the kernel of libkrunfw has no initramfs.
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
