package cases

import (
	"fmt"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
)

const mountRootUUID = "0a1b2c3d-0000-4444-8888-00000000000f"

// rootByHand boots a guest with two disks, whose workload is a script that runs /krunbox
// mount-root. It checks the exit code and returns the console output.
func rootByHand(t *testing.T, arch, text string, want int) (vm.Config, string) {
	t.Helper()
	cfg := script(t, arch, text)
	cfg.Files = append(cfg.Files, hostfs.File{Path: "/krunbox", Source: product(t, arch), Mode: 0o755})
	disk := diskRoot(t, arch, diskimage.FileSystem{Type: "ext4", UUID: mountRootUUID, Label: "root"}, "", nil)
	cfg.Disks = []vm.Disk{{Path: disk}, {Path: newImage(t, diskimage.FileSystem{Type: "xfs", Label: "other"})}}
	return cfg, console(run(t, cfg, want))
}

// TestMountRootPrints checks what mount-root -n prints, and that it does not change the mounts.
func TestMountRootPrints(t *testing.T) {
	t.Parallel()
	_, text := rootByHand(t, "amd64", `
cat /proc/self/mountinfo >/before
echo == devices; /krunbox mount-root -n; echo "exit $?"
echo == plan; /krunbox mount-root -n -device LABEL=root -o ro,noatime -- /bin/sh; echo "exit $?"
echo == environment; KRUN_BLOCK_ROOT_DEVICE=/dev/vda KRUN_ROOT_OVERLAY=tmpfs /krunbox mount-root -n; echo "exit $?"
echo == same; cat /proc/self/mountinfo | cmp - /before; echo "exit $?"
echo == help; /krunbox mount-root --help | head -n 1
exit 7
`, 7)
	outputs := map[string]string{}
	for _, part := range strings.Split(text, "== ")[1:] {
		name, output, _ := strings.Cut(part, "\n")
		outputs[name] = output
	}
	for name, want := range map[string][]string{
		"devices":     {"/dev/vda ", " 64 ", " ext4 ", " root ", mountRootUUID, "\n/dev/vdb ", " xfs ", " other ", "exit 0\n"},
		"plan":        {"/dev/vda ", "LABEL=root", "/bin/sh", "exit 0\n"},
		"environment": {"/dev/vda ", "overlay", "exit 0\n"},
		"same":        {"exit 0\n"},
		"help":        {"mount-root"},
	} {
		rest := outputs[name]
		for _, part := range want {
			_, after, found := strings.Cut(rest, part)
			if !found {
				t.Errorf("%s: %s\nwant it to contain %q in this order", name, outputs[name], want)
				break
			}
			rest = after
		}
	}
}

// TestMountRoot switches the workload to a root on a disk with mount-root. Init keeps the original
// root. The test checks that the data of the workload is on the disk and that the file system is
// clean.
func TestMountRoot(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		cfg, text := rootByHand(t, arch, `exec /krunbox mount-root -device /dev/vda -- /bin/sh -c '
echo "$0 $1"
grep " / " /proc/mounts
ls /dev/vda /proc/1/comm /sys/class/block/vda
echo contents >/file
exit 7' zero one
`, 7)
		if want := "zero one\n/dev/vda / ext4 "; !strings.HasPrefix(text, want) || strings.Count(text, " / ") != 1 {
			t.Errorf("console = %q, want it to start with %q, and no other root", text, want)
		}
		wantClean(t, cfg.Disks[0].Path, "ext4")
		wantFile(t, cfg.Disks[0].Path, "ext4", "/file", "contents\n")
	})
}

// TestMountRootOfChild runs mount-root in a mount namespace of its own, and checks that the other
// processes keep their root.
func TestMountRootOfChild(t *testing.T) {
	t.Parallel()
	cfg, text := rootByHand(t, "amd64", `
unshare -m /krunbox mount-root -device UUID=`+mountRootUUID+` -fstype ext4 -overlay tmpfs -- /bin/sh -c 'grep " / " /proc/mounts; exit 6'
echo "exit $?"
grep " / " /proc/mounts
exit 7
`, 7)
	if !strings.Contains(text, " / overlay ") || !strings.Contains(text, "\nexit 6\n") || !strings.Contains(text, " / virtiofs ") {
		t.Errorf("console = %q, want an overlay root, exit 6, and then a virtiofs root", text)
	}
	wantClean(t, cfg.Disks[0].Path, "ext4")
}

// TestMountRootErrors checks exit codes and messages of calls that mount-root cannot carry out.
func TestMountRootErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		command string // "unshare -m" protects the root of the guest
		code    int
		want    string // part of the error message
	}{
		{"unshare -m mount-root -device /dev/vdx -timeout 10ms -- /bin/sh", 125, "/dev/vdx"},
		{"unshare -m mount-root -device /dev/vda -fstype xfs -- /bin/sh", 125, "xfs"},
		{"unshare -m mount-root -device /dev/vdb -- /no/such", 127, "/no/such"},
		{"unshare -m mount-root -device /dev/vda -- /etc/passwd", 126, "/etc/passwd"},
		{"unshare -m mount-root -device /dev/vda", 125, "command"},
		{"unshare -m mount-root -- /bin/sh", 125, "device"},
		{"mount-root -bogus", 125, "bogus"},
	}
	var script strings.Builder
	for _, tt := range tests {
		fmt.Fprintf(&script, "%s; echo \"exit $?\"\n", strings.Replace(tt.command, "mount-root", "/krunbox mount-root", 1))
	}
	cfg, text := rootByHand(t, "amd64", script.String()+"exit 7\n", 7)
	rest := text
	for _, tt := range tests {
		output, after, found := strings.Cut(rest, fmt.Sprintf("exit %d\n", tt.code))
		if !found {
			t.Fatalf("%s: want exit code %d in %q", tt.command, tt.code, rest)
		}
		wantLine(t, output, "mount-root: ", tt.want)
		rest = after
	}
	for i, fsType := range []string{"ext4", "xfs"} {
		wantClean(t, cfg.Disks[i].Path, fsType)
	}
}
