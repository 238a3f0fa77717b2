package cases

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
	"github.com/krunbox/krunbox/integration/vsock"
)

// images are the images that this run of the tests has built, by architecture.
var images struct {
	sync.Mutex
	built map[string]image
}

// An image is an initramfs with krunbox, and the kernel of a distribution for it.
type image struct{ initramfs, kernel string }

// buildImage builds an image with Debian's kernel. It builds one per architecture and run of the
// tests.
func buildImage(t *testing.T, arch string) image {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: the test may download a kernel")
	}
	images.Lock()
	defer images.Unlock()
	if img, ok := images.built[arch]; ok {
		return img
	}
	// TestMain removes the parent directory.
	dir, err := os.MkdirTemp(filepath.Dir(guestPrograms.build(t, arch)), "image-")
	if err != nil {
		t.Fatal(err)
	}
	img := image{filepath.Join(dir, "krunbox.cpio.gz"), filepath.Join(dir, "vmlinuz")}
	imageTool(t, "-goarch", arch, "-o", img.initramfs, "-kernel", "debian", "-kernel-out", img.kernel)
	if images.built == nil {
		images.built = map[string]image{}
	}
	images.built[arch] = img
	return img
}

// imageTool runs the program that builds images.
func imageTool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"run", "./build", "-q"}, args...)...)
	cmd.Dir = "../../multicall/image"
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build an image: %v\n%s", err, output)
	}
}

// eachStockMachine runs a test on each type of machine that a distribution's kernel supports, with
// an image and a network interface.
func eachStockMachine(t *testing.T, test func(t *testing.T, cfg vm.Config)) {
	t.Parallel()
	for machine, arch := range map[string]string{vm.Q35: "amd64", vm.Microvm: "amd64", vm.Virt: "arm64"} {
		t.Run(machine, func(t *testing.T) {
			t.Parallel()
			img := buildImage(t, arch)
			cfg := vm.Config{
				Arch: arch, Machine: machine, Kernel: img.kernel, Initrd: img.initramfs, InitPath: "/init",
				Dirs: []string{}, Env: []string{"KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=10000"}, Deadline: 2 * time.Minute,
			}
			n, err := network.Slirp(network.Options{}, network.Lease{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { n.Close() })
			n.AddTo(&cfg)
			test(t, cfg)
		})
	}
}

// runToPowerOff boots a machine that powers off without reporting an exit code. It returns the
// console output without the kernel's messages.
func runToPowerOff(t *testing.T, cfg vm.Config) string {
	t.Helper()
	result, err := vm.Run(t.Context(), cfg)
	if !errors.Is(err, vm.ErrNoExitCode) {
		t.Fatal(err)
	}
	return withoutKernel(result)
}

// withoutKernel returns the console output without the messages of the kernel and of the boot
// loader, which clears the screen.
func withoutKernel(result vm.Result) string {
	var lines []string
	for line := range strings.Lines(console(result)) {
		if !strings.HasPrefix(line, "[ ") && !strings.Contains(line, "\x1b") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// TestImageWorkload runs a workload in the image itself, on a serial console.
func TestImageWorkload(t *testing.T) {
	eachStockMachine(t, func(t *testing.T, cfg vm.Config) {
		// The kernel does not support vsock datagrams. Only clock synchronization may fail.
		clock, err := vsock.New(guestCID)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { clock.Close() })
		clock.AddTo(&cfg)
		cfg.Env = append(cfg.Env, "KRUN_INIT=/bin/sh", "HOSTNAME=image")
		cfg.Args = []string{"-c", `
cat /proc/uptime /etc/resolv.conf
ip addr | grep inet
hostname
id
ls -l /dev/console /dev/null /bin/ls /init
grep -c . /proc/modules
exit 7`}
		got := runToPowerOff(t, cfg)
		for _, want := range []string{"nameserver 10.0.2.3\n", "inet 10.0.2.15/24", "\nimage\n", "uid=0(root)", " init -> bin/krunbox\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("console = %s\nwant it to contain %q", got, want)
			}
		}
		if strings.Contains(got, "krunbox: ") {
			t.Errorf("console = %s\nwant no messages of init", got)
		}
		uptime, _, _ := strings.Cut(got, " ")
		t.Logf("the workload ran %s s after the kernel's start", uptime)
	})
}

// TestImageVirtiofsRoot switches from the image to a virtiofs root of the host. With such a root,
// init reports the exit code to the host.
func TestImageVirtiofsRoot(t *testing.T) {
	eachStockMachine(t, func(t *testing.T, cfg vm.Config) {
		root := script(t, cfg.Arch, "ls -1 /; cat /etc/resolv.conf; grep ' / ' /proc/mounts; echo done >/tmp/file; exit 7")
		cfg.Root, cfg.Files, cfg.Args = root.Root, root.Files, root.Args
		cfg.Env = append(cfg.Env, "KRUN_BLOCK_ROOT_DEVICE=/dev/root", "KRUN_BLOCK_ROOT_FSTYPE=virtiofs")
		got := withoutKernel(run(t, cfg, 7))
		for _, want := range []string{"home\n", "nameserver 10.0.2.3\n", "/dev/root / virtiofs rw,relatime 0 0\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("console = %s\nwant it to contain %q", got, want)
			}
		}
		if file, err := os.ReadFile(filepath.Join(cfg.Root, "tmp/file")); string(file) != "done\n" {
			t.Errorf("/tmp/file = %q, %v, want done", file, err)
		}
	})
}

// TestImageBlockRoot switches from the image to a root on a disk, and checks that the file system
// is clean afterwards.
func TestImageBlockRoot(t *testing.T) {
	eachStockMachine(t, func(t *testing.T, cfg vm.Config) {
		disk := diskRoot(t, cfg.Arch, diskimage.FileSystem{Type: "ext4"}, "cat /etc/resolv.conf; echo done >/file; exit 7", nil)
		cfg.Disks = []vm.Disk{{Path: disk}}
		cfg.Env = append(cfg.Env, "KRUN_BLOCK_ROOT_DEVICE=/dev/vda")
		cfg.Args = []string{scriptPath}
		if got := runToPowerOff(t, cfg); !strings.Contains(got, "nameserver 10.0.2.3\n") {
			t.Errorf("console = %s\nwant it to contain a name server", got)
		}
		wantClean(t, disk, "ext4")
		wantFile(t, disk, "ext4", "/file", "done\n")
	})
}

// TestImageIsFreed switches from the image to a root on a disk, with the workload in init's place,
// and checks that the memory of the image is free again. Init switches, or mount-root does so after
// it.
func TestImageIsFreed(t *testing.T) {
	t.Parallel()
	img := buildImage(t, "amd64")
	info, err := os.Stat(img.initramfs)
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]vm.Config{
		"init":       {Args: []string{scriptPath}, Env: []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/vda"}},
		"mount-root": {Args: []string{"-device", "/dev/vda", scriptPath}, Env: []string{"KRUN_INIT=/bin/mount-root"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, "cat /proc/meminfo; sync; reboot -f", nil)
			cfg.Arch, cfg.Machine, cfg.Kernel, cfg.Initrd, cfg.InitPath = "amd64", vm.Q35, img.kernel, img.initramfs, "/init"
			cfg.Dirs, cfg.Disks, cfg.Deadline = []string{}, []vm.Disk{{Path: disk}}, 2*time.Minute
			cfg.Env = append(cfg.Env, "KRUN_INIT_PID1=1", "KRUN_TIMESYNC=0", "KRUN_RUN_TMPFS=0")
			got := runToPowerOff(t, cfg)
			// An initramfs is a tmpfs or a ramfs. The kernel cannot evict its pages, and counts them as
			// shared or unevictable memory.
			kept := memory(t, got, "Shmem") + memory(t, got, "Unevictable")
			if limit := info.Size() >> 10 / 2; kept > limit {
				t.Errorf("%d kB of files in memory, want at most %d for an image of %d kB; console = %s",
					kept, limit, info.Size()>>10, got)
			}
		})
	}
}

// memory returns a value in the text of /proc/meminfo, in kB.
func memory(t *testing.T, text, name string) int64 {
	t.Helper()
	for line := range strings.Lines(text) {
		var kB int64
		if n, _ := fmt.Sscanf(line, name+": %d kB", &kB); n == 1 {
			return kB
		}
	}
	t.Errorf("no %s in %q", name, text)
	return 0
}

// TestImagePivotRoot calls pivot_root(2) in an image, as container runtimes do: in a mount
// namespace, also one of a user namespace. It checks that the image is in memory once.
func TestImagePivotRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	img := image{filepath.Join(dir, "krunbox.cpio.gz"), filepath.Join(dir, "vmlinuz")}
	text := `#!/bin/sh
cat /proc/meminfo
echo "files: $(du -skx / | cut -f 1) kB"
mkdir /tmp/new
for options in -m -Urm; do
	unshare $options sh -c '
		mount -t tmpfs new /tmp/new && cp /bin/busybox /tmp/new && cd /tmp/new &&
		pivot_root . . && umount -l . && echo "root: $(ls /)"'
done
grep " / " /proc/mounts
echo $(ls -d /init /tmp/new)
`
	if err := os.WriteFile(dir+"/script", []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	imageTool(t, "-o", img.initramfs, "-kernel", "debian", "-kernel-out", img.kernel, "-shell", "busybox", "-files", dir+"/script:"+scriptPath)
	got := runToPowerOff(t, vm.Config{
		Arch: "amd64", Machine: vm.Q35, Kernel: img.kernel, Initrd: img.initramfs, InitPath: "/init", Dirs: []string{},
		Deadline: 2 * time.Minute, Args: []string{scriptPath}, Env: []string{"KRUN_TIMESYNC=0"},
	})
	for _, want := range []string{"root: busybox\nroot: busybox\n", " / rootfs rw", "\n/init /tmp/new\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("console = %s\nwant it to contain %q", got, want)
		}
	}
	if strings.Contains(got, "krunbox: ") {
		t.Errorf("console = %s\nwant no messages of init", got)
	}
	_, after, _ := strings.Cut(got, "files: ")
	var files int64
	if _, err := fmt.Sscan(after, &files); err != nil {
		t.Fatal(err)
	}
	if kept := memory(t, got, "Shmem") + memory(t, got, "Unevictable"); kept > files*3/2 {
		t.Errorf("%d kB of files in memory, but the image has %d kB", kept, files)
	}
}

// TestImageShell is a user's first minute at the console of an image, with either shell. The machine
// ends with the code of the shell.
func TestImageShell(t *testing.T) {
	t.Parallel()
	for shell, prompt := range map[string]string{"krunbox": "# ", "busybox": "/ # "} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir() + "/root/"
			imageTool(t, "-o", root, "-shell", shell)
			for leave, code := range map[string]int{"false\rexit\r": 1, "exit 7\r": 7, "(exit 5)\r\x04": 5} {
				t.Run(fmt.Sprint(code), func(t *testing.T) {
					t.Parallel()
					// The other shell looks for sleep because Ctrl-C before its start would not end it.
					d := newDialog(t,
						step{prompt, "ls / | head -5\r"},
						step{"init\r\n", ""},
						step{prompt, "nosuch; echo code $?\r"},
						step{"not found\r\ncode 127\r\n" + prompt, "ulimit -n; trap 'echo trapped' USR1; kill -USR1 $$\r"},
						step{"65536\r\ntrapped\r\n" + prompt, "echo shell $0\r"},
						step{"sh\r\n", ""},
						step{prompt, "{ until ps | grep -q '[s]leep'; do :; done; echo started; } &\r"},
						step{prompt, "sleep 100; echo not this\r"},
						step{"started\r\n", "\x03"},
						step{"^C", ""},
						step{prompt, "echo code $?\r"},
						step{"code 130\r\n", ""},
						step{prompt, leave},
					)
					cfg := machine(t, "amd64")
					cfg.Root, cfg.Console, cfg.ConsoleIn = root, d, d
					cfg.Env = []string{"KRUN_INIT=/bin/sh", "KRUN_TIMESYNC=0"}
					cfg.Deadline = 2 * time.Minute
					run(t, cfg, code)
					if len(d.steps) > 0 {
						t.Errorf("steps that did not run: %q", d.steps)
					}
				})
			}
		})
	}
}

// TestImageSession runs an interactive shell on the console, and diagnoses the guest with the
// commands of the image.
func TestImageSession(t *testing.T) {
	eachStockMachine(t, func(t *testing.T, cfg vm.Config) {
		const prompt = "# "
		wait := prompt
		var steps []step
		for _, s := range []struct {
			command, shown, code string
		}{
			{"krunbox --help", "krun-timesync", "0"},
			{"krunbox dhcpclient -n", "10.0.2.15", "0"},
			{"krunbox mount-root -n", "/dev/vda", "0"},
			{"krunbox redirect-stdio", "other", "0"},
			// Distribution kernels do not support vsock datagrams.
			{"krunbox krun-timesync -n", "no vsock with datagrams", "4"},
			{"krunbox init -n -- date", "RB_AUTOBOOT", "0"},
			{"lsmod", "virtio_net", "0"},
			{"dmesg", "Linux version", "0"},
			{"ip route", "proto dhcp", "0"},
			{"ps", " sh", "0"},
		} {
			steps = append(steps, step{wait, s.command + "\r"}, step{s.shown, "echo code $?\r"})
			wait = "code " + s.code + "\r\n" + prompt
		}
		steps = append(steps, step{wait, "exit\r"})
		d := newDialog(t, steps...)
		cfg.Console, cfg.ConsoleIn = d, d
		cfg.Ports = []vm.Port{{Name: "other"}}
		cfg.Disks = []vm.Disk{{Path: newImage(t, diskimage.FileSystem{Type: "ext4"})}}
		cfg.Env = append(cfg.Env, "KRUN_INIT=/bin/sh")
		cfg.Deadline = 90 * time.Second
		result, err := vm.Run(t.Context(), cfg)
		if len(d.steps) > 0 || !errors.Is(err, vm.ErrNoExitCode) {
			t.Errorf("Run() = %v; steps that did not run: %q; console:\n%s",
				err, d.steps, console(result))
		}
	})
}

// TestRootfs builds a root file system, as a directory and on a disk, and boots a libkrun guest
// from each.
func TestRootfs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	overlay := filepath.Join(dir, "overlay")
	if err := os.MkdirAll(filepath.Join(overlay, "opt"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(overlay, "opt/hello"), []byte("#!/bin/sh\necho hello; ls / | wc -l; exit 7\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, output := range []string{"root/", "root.ext4"} {
		output = dir + "/" + output
		imageTool(t, "-o", output, "-files", overlay+":/", "-commands", "sh ls wc")
		cfg := machine(t, "amd64")
		if strings.HasSuffix(output, "/") {
			cfg.Root = output
		} else {
			cfg.Disks, cfg.Env = []vm.Disk{{Path: output}}, []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/vda"}
		}
		cfg.Args = []string{"/opt/hello"}
		if got := console(run(t, cfg, 7)); !strings.HasPrefix(got, "hello\n") || strings.Contains(got, "warning") {
			t.Errorf("%s: console = %q, want the output of /opt/hello and no warning", output, got)
		}
	}
}

// TestImageIsReproducible builds the same image twice, and checks that the files are identical.
func TestImageIsReproducible(t *testing.T) {
	t.Parallel()
	first := buildImage(t, "amd64")
	images.Lock()
	delete(images.built, "amd64")
	images.Unlock()
	second := buildImage(t, "amd64")
	for _, files := range [][2]string{{first.initramfs, second.initramfs}, {first.kernel, second.kernel}} {
		a, errA := os.ReadFile(files[0])
		b, errB := os.ReadFile(files[1])
		if err := errors.Join(errA, errB); err != nil || !bytes.Equal(a, b) {
			t.Errorf("two builds of %s differ (%v)", filepath.Base(files[0]), err)
		}
	}
}
