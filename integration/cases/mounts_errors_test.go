package cases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/vm"
)

// TestMountErrors configures mounts that fail, and checks that one line says why, and that nothing has
// run: the workload would write into the root instead.
func TestMountErrors(t *testing.T) {
	for _, tt := range []struct {
		name, mount string
		want        []string // parts of the line
	}{
		{"no such disk", `{"destination": "/m", "type": "ext4", "source": "/dev/vdx"}`, []string{"ext4", "/dev/vdx", "/m", "no such file"}},
		{"no such label", `{"destination": "/m", "type": "ext4", "source": "LABEL=none"}`, []string{"ext4", "LABEL=none", "/m", "no such device"}},
		{"no such type", `{"destination": "/m", "type": "zfs", "source": "pool"}`, []string{"zfs", "/m", "no file system of that type"}},
		{"no such share", `{"destination": "/m", "type": "virtiofs", "source": "no-such-tag"}`,
			[]string{"virtiofs", "no-such-tag", "/m", "the host shares nothing by that name"}},
		{"no such source", `{"destination": "/m", "type": "bind", "source": "/none", "options": ["rbind"]}`, []string{"bind /none to /m", "source", "no such file"}},
		{"option", `{"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": ["size=much"]}`, []string{"tmpfs", "/m"}},
		{"overlay", `{"destination": "/m", "type": "overlay", "source": "overlay", "options": ["lowerdir=/none"]}`, []string{"overlay", "/m"}},
		{"below a file", `{"destination": "/etc/passwd/m", "type": "tmpfs", "source": "tmpfs"}`, []string{"/etc/passwd"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", "echo running >/ran; exit 7")
			cfg.Args, cfg.Env = nil, []string{"KRUN_BLOCK_ROOT_TIMEOUT_MS=100"}
			cfg.GuestConfig = []byte(`{"args": ["/script"], "mounts": [` + tt.mount + `]}`)
			// The kernel may print a line before.
			_, text, _ := strings.Cut(console(run(t, cfg, 125)), "krunbox: ")
			wantLine(t, text, append([]string{"configured mounts: "}, tt.want...)...)
			if _, err := os.Stat(filepath.Join(cfg.Root, "ran")); err == nil {
				t.Error("the workload has run")
			}
		})
	}
}

// TestMountsThatMayFail configures mounts with nofail and mounts that show the kernel, which fail. It
// checks that init warns, except where the kernel has no such type, and that the workload runs.
func TestMountsThatMayFail(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "exit 7")
	cfg.Args, cfg.Env = nil, []string{"KRUN_BLOCK_ROOT_TIMEOUT_MS=100"}
	cfg.GuestConfig = []byte(`{"args": ["/script"], "mounts": [
		{"destination": "/m", "type": "virtiofs", "source": "no-such-tag", "options": ["ro", "nofail"]},
		{"destination": "/m", "type": "ext4", "source": "/dev/vdx", "options": ["nofail"]},
		{"destination": "/m", "type": "bind", "source": "/none", "options": ["bind", "nofail"]},
		{"destination": "/etc/passwd/m", "type": "devpts", "source": "devpts"},
		{"destination": "/selinux", "type": "selinuxfs", "source": "selinuxfs"}]}`)
	lines := strings.SplitAfter(console(run(t, cfg, 7)), "\n")
	for i, parts := range [][]string{{"virtiofs no-such-tag on /m"}, {"ext4 /dev/vdx on /m"}, {"bind /none to /m"}, {"devpts on /etc/passwd/m"}} {
		if i < len(lines) {
			wantLine(t, lines[i], append([]string{"krunbox: warning: configured mounts: "}, parts...)...)
		}
	}
	if len(lines) != 5 || lines[4] != "" {
		t.Errorf("console = %q, want four lines", lines)
	}
}

// TestLateMounts checks that init waits for a share and a disk, by any of its names, that appear after
// its start, and that a disk that can't be written is mounted read-only, as by mount(8).
func TestLateMounts(t *testing.T) {
	const uuid, label, partition = "0a1b2c3d-0000-4444-8888-00000000000f", "some data", "0a1b2c3d-0000-4444-8888-00000000000e"
	for _, source := range []string{"/dev/vda", "UUID=" + strings.ToUpper(uuid), "LABEL=" + label,
		"PARTUUID=" + partition, "PARTLABEL=" + label} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			disk, share := t.TempDir(), t.TempDir()
			for _, dir := range []string{disk, share} {
				if err := os.WriteFile(filepath.Join(dir, "file"), []byte("of the host\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			cfg := script(t, "amd64", "cat /disk/file /share/file; echo x 2>/dev/null >/disk/file || echo read-only; exit 7")
			late(t, &cfg)
			image := newImage(t, diskimage.FileSystem{Type: "ext4", Dir: disk, UUID: uuid, Label: label})
			if strings.HasPrefix(source, "PART") {
				partitions := []diskimage.Partition{{Image: image, UUID: partition, Label: label}}
				image = filepath.Join(t.TempDir(), "disk")
				if err := diskimage.CreateGPT(image, uuid, partitions); err != nil {
					t.Fatal(err)
				}
			}
			cfg.Disks = []vm.Disk{{Path: image, ReadOnly: true}}
			cfg.Shares = []vm.Share{{Tag: "late", Dir: share}}
			cfg.Args = nil
			cfg.GuestConfig = []byte(`{"args": ["/script"], "mounts": [
				{"destination": "/disk", "type": "ext4", "source": "` + source + `"}, {"destination": "/share", "type": "virtiofs", "source": "late"}]}`)
			text := console(run(t, cfg, 7))
			if want := "of the host\nof the host\nread-only\n"; !strings.HasSuffix(text, want) {
				t.Errorf("console = %q, want it to end in %q", text, want)
			}
		})
	}
}
