package cases

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/vm"
)

// enlarge enlarges an image to 300 MiB, but not the file system in it.
func enlarge(t *testing.T, path string) string {
	t.Helper()
	if err := os.Truncate(path, 300<<20); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestGrow enlarges the images of three disks. The file systems on two of them, the root and a
// configured mount, are to grow.
func TestGrow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ fsType, env string }{
		{"ext4", "KRUN_BLOCK_ROOT_GROW=1"},
		{"xfs", "KRUN_BLOCK_ROOT_OPTIONS=noatime,x-systemd.growfs"},
		{"btrfs", "KRUN_BLOCK_ROOT_OPTIONS=x-systemd.growfs"},
	} {
		t.Run(c.fsType, func(t *testing.T) {
			t.Parallel()
			const sizes = "df -m / /grown /same | awk 'NR > 1 { print $2, $6 }'; echo data >/file; echo data >/grown/file\n"
			root := diskRoot(t, "amd64", diskimage.FileSystem{Type: c.fsType}, sizes, nil)
			cfg := withDisk(t, "amd64", enlarge(t, root))
			for range 2 {
				path := newImage(t, diskimage.FileSystem{Type: c.fsType})
				cfg.Disks = append(cfg.Disks, vm.Disk{Path: enlarge(t, path)})
			}
			cfg.Env = append(cfg.Env, c.env)
			cfg.GuestConfig = fmt.Appendf(nil, `{"mounts": [
				{"destination": "/grown", "type": %[1]q, "source": "/dev/vdb", "options": ["x-systemd.growfs"]},
				{"destination": "/same", "type": %[1]q, "source": "/dev/vdc"}]}`, c.fsType)
			text := console(run(t, cfg, 0))
			size := map[string]int{}
			for line := range strings.Lines(text) {
				var mib int
				var point string
				if _, err := fmt.Sscan(line, &mib, &point); err == nil {
					size[point] = mib
				}
			}
			if size["/"] < 220 || size["/grown"] < 220 || size["/same"] > 130 || strings.Contains(text, "krunbox: ") {
				t.Errorf("sizes in MiB = %v, want almost 300 for / and /grown, and the old one for /same; console:\n%s", size, text)
			}
			for _, disk := range cfg.Disks[:2] {
				wantClean(t, disk.Path, c.fsType)
				wantFile(t, disk.Path, c.fsType, "/file", "data\n")
			}
		})
	}
}

// TestGrowWithoutDevice asks for growth of a file system that has no device: a warning.
func TestGrowWithoutDevice(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "true")
	cfg.GuestConfig = []byte(`{"mounts": [{"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": ["x-systemd.growfs"]}]}`)
	wantLine(t, console(run(t, cfg, 0)), "krunbox: warning: growth: grow the file system on /m: ", "not supported")
}
