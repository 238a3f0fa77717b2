package cases

import (
	"testing"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
)

// lateScript is executed by the kernel in place of init. It unbinds the driver from the disk, and from
// the share with the tag "late" if there is one, executes init, and binds the driver again half a
// second after init has started, because QEMU cannot add a virtio-mmio device to a running machine. The script makes its mounts in a mount
// namespace of its own, so that init does not see them.
const lateScript = `#!/bin/sh
unshare -m /bin/sh -c '
	mount -t sysfs sys /sys
	mount -t proc proc /proc
	cd /sys/bus/virtio/drivers/virtio_blk
	disk=$(echo virtio*)
	echo $disk >unbind
	for fs in /sys/fs/virtiofs/*; do
		[ "$(cat $fs/tag)" = late ] && share=$(basename $(readlink -f $fs/device))
	done
	[ "$share" ] && echo $share >../virtiofs/unbind
	echo >/ready
	until [ "$(cat /proc/1/comm)" = init.krun ]; do :; done
	usleep 500000
	echo $disk >bind
	[ "$share" ] && echo $share >../virtiofs/bind
' &
until [ -e /ready ]; do :; done
exec /init.krun "$@"
`

// TestLateDisk checks that init waits for a disk that appears after its start.
func TestLateDisk(t *testing.T) {
	const uuid = "0a1b2c3d-0000-4444-8888-00000000000f"
	eachArch(t, func(t *testing.T, arch string) {
		for _, name := range []string{"/dev/vda", "UUID=" + uuid} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				disk := diskRoot(t, arch, diskimage.FileSystem{Type: "ext4", UUID: uuid}, showMounts+"exit 7\n", nil)
				cfg := withDisk(t, arch, disk)
				late(t, &cfg)
				cfg.Env = []string{"KRUN_BLOCK_ROOT_DEVICE=" + name}
				wantRoot(t, run(t, cfg, 7), "ext4", "rw relatime")
				wantClean(t, disk, "ext4")
			})
		}
	})
}

// late makes the disk of a machine appear late.
func late(t *testing.T, cfg *vm.Config) {
	t.Helper()
	cfg.Root = t.TempDir()
	if err := guestroot.Create(t.Context(), cfg.Arch, cfg.Root); err != nil {
		t.Fatal(err)
	}
	cfg.Files = append(cfg.Files,
		hostfs.File{Path: "/init.krun", Source: cfg.Init, Mode: 0o755, OneShot: true},
		hostfs.File{Path: "/late", Data: []byte(lateScript), Mode: 0o755})
	cfg.Init, cfg.InitOneShot, cfg.InitPath = "", false, "/late"
}

// TestTooLateDisk checks that init fails if the disk does not appear within the timeout.
func TestTooLateDisk(t *testing.T) {
	t.Parallel()
	cfg := withDisk(t, "amd64", diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, "exit 7\n", nil))
	late(t, &cfg)
	cfg.Env = append(cfg.Env, "KRUN_BLOCK_ROOT_TIMEOUT_MS=1")
	wantLine(t, console(run(t, cfg, 125)), "krunbox: ", "/dev/vda", "no such device")
}
