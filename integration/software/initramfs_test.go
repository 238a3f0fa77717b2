//go:build software

package software

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/vm"
)

// initramfsScript runs a container and a sandbox. Both make a new root by pivot_root(2).
const initramfsScript = `#!/bin/sh
crun --cgroup-manager=disabled run --bundle /bundle container
echo "code $?"
bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --unshare-all --hostname sandbox sh -c 'hostname; touch /x || exit 6'
echo "code $?"
`

const initramfsBundle = `{"ociVersion": "1.0.2", "hostname": "container", "root": {"path": "rootfs"},
	"process": {"args": ["/busybox", "sh", "-c", "/busybox hostname; echo /*; exit 9"], "cwd": "/", "user": {}},
	"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
	"linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}]}}`

// TestContainersInInitramfs runs crun and bubblewrap in an image whose root is the initramfs itself.
func TestContainersInInitramfs(t *testing.T) {
	t.Parallel()
	root, err := podmanRoot.build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	for name, text := range map[string]string{"script": initramfsScript, "bundle/config.json": initramfsBundle, "bundle/rootfs/proc/x": "", "bundle/rootfs/dev/x": ""} {
		path := filepath.Join(tree, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{"usr/bin/crun", "usr/bin/bwrap"} {
		copyProgram(t, root, tree, program)
	}
	initrd, kernel := filepath.Join(dir, "image.cpio.gz"), filepath.Join(dir, "vmlinuz")
	// The shell of the image is in the container too.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `
		go run ./build -q -o "$1/root/" -shell busybox -commands none &&
		cp "$1/root/bin/busybox" "$1/tree/bundle/rootfs/" &&
		go run ./build -q -o "$2" -shell busybox -kernel debian -kernel-out "$3" -files "$1/tree:/"`,
		"sh", dir, initrd, kernel)
	cmd.Dir = "../../multicall/image"
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build an image: %v\n%s", err, output)
	}
	result, err := vm.Run(t.Context(), vm.Config{
		Arch: "amd64", Machine: vm.Q35, Kernel: kernel, Initrd: initrd, InitPath: "/init", Dirs: []string{},
		Args: []string{"/script"}, Env: []string{"KRUN_TIMESYNC=0"}, MemMiB: 1024, Deadline: deadline,
	})
	if !errors.Is(err, vm.ErrNoExitCode) {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(string(result.Console), "\r\n", "\n")
	for _, want := range []string{"container\n/busybox /dev /proc\ncode 9\n", "sandbox\ntouch: /x: Read-only file system\ncode 6\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("console = %s\nwant it to contain %q", got, want)
		}
	}
}

// copyProgram copies a program, and the libraries that it needs, from one root to another.
func copyProgram(t *testing.T, from, to, name string) {
	t.Helper()
	const libraries = "usr/lib/x86_64-linux-gnu"
	target := filepath.Join(to, name)
	if _, err := os.Stat(target); err == nil {
		return
	}
	data, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		data, err = os.ReadFile(filepath.Join(from, libraries, filepath.Base(name)))
	}
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, data, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err := elf.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	needed, err := file.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, library := range needed {
		dir := "lib/x86_64-linux-gnu"
		if strings.HasPrefix(library, "ld-linux") {
			dir = "lib64"
		}
		copyProgram(t, from, to, filepath.Join(dir, library))
	}
}
