package cases

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
)

// TestStreamsOfBlockRoot boots from a disk with ports for the standard streams, with and without a
// console.
func TestStreamsOfBlockRoot(t *testing.T) {
	for name, noConsole := range map[string]bool{"console": false, "no console": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, "cat; echo problem >&2; echo contents >/file; exit 7\n", nil)
			var stdout, stderr bytes.Buffer
			cfg := withDisk(t, "amd64", disk)
			cfg.NoConsole = noConsole
			cfg.Ports = []vm.Port{
				{Name: "krun-stdin", In: strings.NewReader("input\n")},
				{Name: "krun-stdout", Out: &stdout},
				{Name: "krun-stderr", Out: &stderr},
			}
			wantConsole(t, run(t, cfg, 7), "")
			if stdout.String() != "input\n" || stderr.String() != "problem\n" {
				t.Errorf("standard output = %q, standard error = %q, want input, problem",
					&stdout, &stderr)
			}
			wantClean(t, disk, "ext4")
			wantFile(t, disk, "ext4", "/file", "contents\n")
		})
	}
}

// TestRootErrorOnPort checks that init writes an error of the root to the port of the workload's
// standard error.
func TestRootErrorOnPort(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	cfg := machine(t, "amd64")
	cfg.Env = []string{"KRUN_BLOCK_ROOT_DEVICE=LABEL=root", "KRUN_BLOCK_ROOT_TIMEOUT_MS=1"}
	cfg.Ports = []vm.Port{{Name: "krun-stdin", In: strings.NewReader("")}, {Name: "krun-stderr", Out: &stderr}}
	wantConsole(t, run(t, cfg, 125), "")
	wantLine(t, stderr.String(), "krunbox: ", "LABEL=root", "no block devices")
}

// TestNetworkOfBlockRoot acquires a lease on a disk root. It checks that the workload gets the name
// servers, and that resolv.conf on the disk does not change.
func TestNetworkOfBlockRoot(t *testing.T) {
	t.Parallel()
	s := segment(t, network.SegmentOptions{}, network.Dnsmasq{Lease: fullLease})
	disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, "grep nameserver /etc/resolv.conf; hostname; exit 7\n",
		func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "etc/resolv.conf"), []byte("# none\n"), 0o644)
		})
	cfg := withDisk(t, "amd64", disk)
	cfg.Env = append(cfg.Env, "KRUN_DHCP=1")
	s.AddTo(&cfg)
	wantConsole(t, run(t, cfg, 7), "nameserver 192.0.2.53\nnameserver 198.51.100.53\nguest\n")
	wantClean(t, disk, "ext4")
	wantFile(t, disk, "ext4", "/etc/resolv.conf", "# none\n")
}

// TestBlockRootOfPID1 boots from a disk with the workload in init's place. The host receives no
// exit code, because the workload does not report one.
func TestBlockRootOfPID1(t *testing.T) {
	t.Parallel()
	disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"},
		"echo $$; "+showMounts+"ls /proc/self/fd | tr '\\n' ' '; echo; sync; reboot -f\n", nil)
	cfg := withDisk(t, "amd64", disk)
	cfg.Env = append(cfg.Env, "KRUN_INIT_PID1=1")
	result, err := vm.Run(t.Context(), cfg)
	if !errors.Is(err, vm.ErrNoExitCode) {
		t.Fatal(err)
	}
	wantRoot(t, result, "ext4", "rw relatime")
	if text := console(result); !strings.HasPrefix(text, "1\nMOUNTS\n") || !strings.HasSuffix(text, "END\n0 1 2 3 \n") {
		t.Errorf("console = %q, want PID 1 and open descriptors 0 1 2 3", text)
	}
}

// TestStrangeImages boots images with files of unexpected types at paths that init uses. It checks
// that init neither hangs nor crashes, and reports the error.
func TestStrangeImages(t *testing.T) {
	replace := func(name string, with func(path string) error) func(dir string) error {
		return func(dir string) error {
			path := filepath.Join(dir, name)
			return errors.Join(os.RemoveAll(path), with(path))
		}
	}
	link := func(target string) func(path string) error {
		return func(path string) error { return os.Symlink(target, path) }
	}
	fifo := func(path string) error { return syscall.Mkfifo(path, 0o644) }
	directory := func(path string) error { return os.Mkdir(path, 0o755) }
	file := func(path string) error { return os.WriteFile(path, []byte("file\n"), 0o644) }
	for _, tt := range []struct {
		name   string
		change func(dir string) error
		want   int
		says   []string // parts of the message, in order; nil if there is none
	}{
		{"configuration that is a pipe", replace(".krun_config.json", fifo), 125, []string{"/.krun_config.json"}},
		{"configuration that is a directory", replace(".krun_config.json", directory), 125, []string{"/.krun_config.json"}},
		{"configuration that is a link to itself", replace(".krun_config.json", link(".krun_config.json")), 125, []string{"/.krun_config.json"}},
		{"configuration without end", replace(".krun_config.json", link("/dev/zero")), 125, []string{"/.krun_config.json"}},
		{"passwd that is a pipe", replace("etc/passwd", fifo), 7, nil},
		{"passwd without end", replace("etc/passwd", link("/dev/zero")), 7, nil},
		{"no etc", replace("etc", file), 7, nil},
		{"run that is a link", replace("run", link("etc")), 7, nil},
		{"run that is a file", replace("run", file), 7, nil},
		{"proc that is a file", replace("proc", file), 125, []string{"/proc", "not a directory"}},
		{"dev that is a file", replace("dev", file), 125, []string{"/dev", "not a directory"}},
		{"dev that is a link out of the root", replace("dev", link("../../mnt")), 7, nil},
		{"sys that is a file", replace("sys", file), 7, []string{"warning: ", "/sys", "not a directory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, "exit 7\n", tt.change)
			text := console(run(t, withDisk(t, "amd64", disk), tt.want))
			switch first, _, _ := strings.Cut(text, "\n"); {
			case tt.says == nil && text != "":
				t.Errorf("console = %q, want no output", text)
			case tt.says != nil:
				wantLine(t, first+"\n", append([]string{"krunbox: "}, tt.says...)...)
			}
			wantClean(t, disk, "ext4")
		})
	}
}
