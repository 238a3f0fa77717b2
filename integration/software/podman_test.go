//go:build software

package software

import (
	"archive/tar"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
)

// podmanRoot is like the image podman/stable, with the storage in a volume.
var podmanRoot = root{
	Name:     "podman",
	Packages: []string{"podman", "crun", "conmon", "uidmap", "bubblewrap"},
	Users:    []string{"podman:x:1000:1000::/home/podman:/bin/bash"},
	Modes: []mode{
		{"home/podman", 0o755, 1000},
		{"var/lib/containers", 0o755, 0},
	},
	Files: map[string]string{
		"etc/subuid":                     "podman:100000:65536\n",
		"etc/subgid":                     "podman:100000:65536\n",
		"etc/containers/policy.json":     `{"default": [{"type": "insecureAcceptAnything"}]}`,
		"etc/containers/containers.conf": "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"crun\"\n",
	},
}

// podmanScript makes an image and runs containers of it.
const podmanScript = `
set -e
podman import -q /image.tar demo >/dev/null
podman run --rm --network none demo sh -c 'id -u; cat /proc/1/comm; exit'
podman run --name left --network none demo sh -c 'echo text >/file; exit 3' || echo "code $?"
podman cp left:/file - | tar -xO
podman run -d --name service --network host demo sleep 1000000 >/dev/null
podman exec service sh -c 'exit 6' || echo "code $?"
podman stop -t 1 service >/dev/null
podman rm -a >/dev/null
`

// TestPodman runs containers in the guest, as root and as another user.
func TestPodman(t *testing.T) {
	rootfs := t.TempDir()
	if err := guestroot.Create(t.Context(), "amd64", rootfs); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.AddFS(os.DirFS(rootfs)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"root", "podman"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			dir, disk := t.TempDir(), filepath.Join(t.TempDir(), "disk")
			storage, owner := "/var/lib/containers", 0
			if user == "podman" {
				storage, owner = "/home/podman/.local/share", 1000
			}
			if err := os.Mkdir(filepath.Join(dir, "containers"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(filepath.Join(dir, "containers"), owner, owner); err != nil {
				t.Fatal(err)
			}
			if err := diskimage.Create(disk, diskimage.FileSystem{Type: "ext4", Dir: dir, MiB: 256}); err != nil {
				t.Fatal(err)
			}
			cfg := podmanRoot.machine(t, image{
				Cmd:    []string{"sh", "-c", podmanScript},
				User:   user,
				Linux:  engine,
				Mounts: []specs.Mount{{Destination: storage, Type: "ext4", Source: "/dev/vda"}},
			})
			cfg.Disks = []vm.Disk{{Path: disk}}
			cfg.Files = append(cfg.Files, hostfs.File{Path: "/image.tar", Source: archive})
			g := start(t, cfg)
			g.wantExit(0)
			want := "0\nsh\ncode 3\ntext\ncode 6\n"
			if got := g.stdout.String(); got != want {
				t.Errorf("output = %q, want %q", got, want)
			}
		})
	}
}

// TestBubblewrap runs a sandbox in the guest, as a user without privileges.
func TestBubblewrap(t *testing.T) {
	t.Parallel()
	g := start(t, podmanRoot.machine(t, image{
		Cmd: []string{
			"bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
			"--unshare-all", "--die-with-parent", "--hostname", "sandbox",
			"sh", "-c", "id -u; hostname; cat /proc/2/comm; touch /x || exit 6",
		},
		User: "podman",
	}))
	g.wantExit(6)
	if got, want := g.stdout.String(), "1000\nsandbox\nsh\n"; got != want {
		t.Errorf("output = %q, want %q", got, want)
	}
}
