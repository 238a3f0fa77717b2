package oci

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/guestroot"
)

// TestRun runs containers that change mounts, host name and interfaces, and checks that those of
// this machine do not change.
func TestRun(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root only: creates namespaces")
	}
	const rights = `["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]`
	for _, tt := range []struct {
		name, terminal, command string
		want                    string
		code                    int
	}{
		{"pipes", "false", "hostname; ls /mnt; mount -t tmpfs tmpfs /home; hostname other; ip link set lo down; exit 7", "box\n", 7},
		{"terminal", "true", "hostname; test -t 0 -a -t 1 -a -t 2", "box\r\n", 0},
		{"standard error", "false", "echo to stderr >&2", "to stderr\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bundle := filepath.Join(t.TempDir(), "container")
			if err := guestroot.Create(t.Context(), "amd64", filepath.Join(bundle, "rootfs")); err != nil {
				t.Fatal(err)
			}
			config := `{"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "hostname": "box",
				"process": {"args": ["/bin/sh", "-c", "(` + tt.command + `)"], "cwd": "/", "terminal": ` + tt.terminal + `,
					"capabilities": {"bounding": ` + rights + `, "permitted": ` + rights + `, "effective": ` + rights + `}},
				"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
					{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
					{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}],
				"linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}]}}`
			if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(config), 0o644); err != nil {
				t.Fatal(err)
			}
			before := machine(t)
			output, code, err := Run(t.Context(), bundle, tt.terminal == "true")
			if err != nil || code != tt.code || string(output) != tt.want {
				t.Errorf("Run() = %q, %d, %v, want %q, %d", output, code, err, tt.want, tt.code)
			}
			if after := machine(t); after != before {
				t.Errorf("mounts, host name and interfaces of this machine:\n%s\nwant:\n%s",
					after, before)
			}
		})
	}
}

// machine returns the mounts, the host name and the flags of the loopback interface of this
// machine.
func machine(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, path := range []string{"/proc/self/mountinfo", "/proc/sys/kernel/hostname", "/sys/class/net/lo/flags"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}
