package cases

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
)

// libkrunInputs are the inputs that TestLikeLibkrun compares.
var libkrunInputs = slices.Concat(libkrunPrograms, libkrunConfigs, libkrunImages, libkrunScripts)

// stateEnv is the variable that makes libkrunGuest the workload.
const stateEnv = "KRUN_INIT=/guest/state"

// libkrunPrograms have all variables that libkrun knows, and all ways to name a program by them and
// by arguments.
var libkrunPrograms = []libkrunInput{
	{
		name: "arguments", core: true,
		env: []string{stateEnv}, args: []string{"a b", "", "-x", "KRUN_INIT=y", "ä"},
	},
	{
		name: "environment", core: true,
		env: []string{
			stateEnv, "PATH=/usr/bin:/bin", "EMPTY=", "SPACE=a b", "EQUALS=a=b=", "lower=x", "QUOTE='", "DOLLAR=$HOME", "LANG=C.UTF-8",
			"KRUN_HOME=/home", "KRUN_TERM=vt100", "HOSTNAME=box", "KRUN_WORKDIR=/tmp", "KRUN_RLIMITS=4=1:2,7=100:200,8:4096:18446744073709551615",
		},
	},
	{name: "console", core: true, env: []string{stateEnv, "HOSTNAME=box"}, console: true},
	{
		name: "name in PATH", env: []string{"KRUN_INIT=program", "PATH=/bin:/programs"}, args: []string{"x"},
		files: map[string]string{"programs/program": "#!/bin/sh\nexec /guest/state $0 $@\n"},
	},
	{name: "name without PATH", env: []string{"KRUN_INIT=echo"}, args: []string{"hello"}},
	{
		name: "relative path", env: []string{"KRUN_INIT=./program", "KRUN_WORKDIR=/programs"},
		files: map[string]string{"programs/program": "#!/bin/sh\nexec /guest/state $0 $@\n"},
	},
	{name: "script as argument", args: []string{"/script", "a b", "c"}, files: map[string]string{"script": "#!/bin/sh\necho $0 $# $2; cat /proc/$$/cmdline; exit 6\n"}},
	{name: "options as arguments", args: []string{"-c", "echo $0 $1; exit 4", "zero", "one"}},
	{name: "program as argument", args: []string{"/guest/state"}},
	{name: "nothing", core: true, stdin: "echo hello; echo $0 $#; exit 5\n"},
	{name: "quoted limits", env: []string{stateEnv, "KRUN_RLIMITS=7:10:20,6=100:100"}},
	{name: "malformed limits", env: []string{stateEnv, "KRUN_RLIMITS=7=10:20,x,6=100:100"}},
	{name: "limits beyond the rights", env: []string{stateEnv, "KRUN_RLIMITS=7=2000000:2000000"}},
	{name: "missing directory", env: []string{stateEnv, "KRUN_WORKDIR=/no/such"}},
	{name: "directory is a file", env: []string{stateEnv, "KRUN_WORKDIR=/etc/passwd"}},
	{name: "process 1", core: true, env: []string{stateEnv, "KRUN_INIT_PID1=1", "KRUN_WORKDIR=/tmp"}, args: []string{"report"}},
	{name: "not process 1", env: []string{stateEnv, "KRUN_INIT_PID1=0"}},
	{name: "empty variables", env: []string{stateEnv, "KRUN_INIT_PID1=", "KRUN_DHCP=", "KRUN_RLIMITS=", "KRUN_HOME=", "KRUN_TERM=", "HOSTNAME="}},
	{name: "empty KRUN_CONFIG", env: []string{stateEnv, "KRUN_CONFIG="}},
	{name: "empty KRUN_WORKDIR", env: []string{stateEnv, "KRUN_WORKDIR="}},
	{name: "empty KRUN_BLOCK_ROOT_DEVICE", env: []string{stateEnv, "KRUN_BLOCK_ROOT_DEVICE="}},
	{name: "DHCP without an interface", env: []string{stateEnv, "KRUN_DHCP=1"}},
	{
		name: "DHCP", core: true, env: []string{stateEnv, "KRUN_DHCP=1"},
		files: map[string]string{"etc/resolv.conf": "nameserver 192.0.2.53\n"}, change: withSlirp,
	},
	{name: "DHCP without resolv.conf", env: []string{stateEnv, "KRUN_DHCP=1"}, change: withSlirp},
	{name: "interface without DHCP", env: []string{stateEnv}, change: withSlirp},
	{name: "TSI", env: []string{stateEnv}, change: func(_ *testing.T, cfg *vm.Config) { cfg.KernelArgs = "tsi_hijack" }},
	{name: "block root", env: []string{stateEnv, "KRUN_BLOCK_ROOT_DEVICE=/dev/vda"}, change: withDiskRoot},
	{
		name:   "block root with options",
		env:    []string{stateEnv, "KRUN_BLOCK_ROOT_DEVICE=/dev/vda", "KRUN_BLOCK_ROOT_FSTYPE=ext4", "KRUN_BLOCK_ROOT_OPTIONS=errors=remount-ro"},
		change: withDiskRoot,
	},
	{name: "block root that is missing", env: []string{stateEnv, "KRUN_BLOCK_ROOT_DEVICE=/dev/vdz"}},
}

// libkrunConfigs have all spellings of the configuration.
var libkrunConfigs = []libkrunInput{
	{
		name: "OCI spelling", core: true,
		env:    []string{"A=kernel", "B=kernel"},
		config: `{"args": ["/guest/state", "a b", "", "\"q\""], "env": ["A=config", "C=c d", "HOME=/h", "TERM=vt220", "PATH=/bin"], "cwd": "/tmp"}`,
	},
	{
		name: "image spelling", core: true,
		config: `{"Entrypoint": ["/guest/state", "entry"], "Cmd": ["a b", ""], "Env": ["A=config", "PATH=/bin"], "WorkingDir": "/var/tmp"}`,
	},
	{name: "Cmd and Cwd", config: `{"Cmd": ["/guest/state", "x"], "Cwd": "/home"}`},
	{name: "Entrypoint", config: `{"Entrypoint": ["/guest/state", "x"], "Cmd": [], "Env": [], "WorkingDir": ""}`, stdin: "exit 5\n"},
	{name: "Entrypoint and args", config: `{"Entrypoint": ["/guest/state"], "args": ["x"]}`},
	{name: "null", config: `{"Entrypoint": null, "Cmd": ["/guest/state"], "Env": null, "WorkingDir": null, "mounts": null, "process": null}`},
	{
		name: "process", core: true,
		config: `{"ociVersion": "1.0.2", "process": {"terminal": false, "args": ["/guest/state", "x"], "env": ["A=1", "A=2", "EMPTY=", "NOVALUE"], "cwd": "/tmp"}}`,
	},
	{
		name: "process and flat fields",
		config: `{"args": ["/bin/false"], "env": ["A=flat", "B=flat"], "cwd": "/home", "Cmd": ["/bin/false"],
			"process": {"args": ["/guest/state"], "env": ["A=process"], "cwd": "/tmp"}}`,
	},
	{
		name: "KRUN_INIT and configuration", env: []string{stateEnv, "KRUN_WORKDIR=/var", "KRUN_HOME=/h", "KRUN_TERM=t", "A=kernel"}, args: []string{"x"},
		config: `{"args": ["/bin/false", "y"], "env": ["A=config", "B=config", "HOME=/c", "TERM=c"], "cwd": "/tmp"}`,
	},
	{name: "arguments and configuration", args: []string{"x", "y"}, config: `{"args": ["/guest/state", "z"]}`},
	{name: "empty configuration", config: `{}`, stdin: "exit 5\n"},
	{name: "empty file", config: " ", stdin: "exit 5\n"},
	{name: "malformed configuration", config: `{"args": ["/guest/state"`, stdin: "exit 5\n"},
	{name: "malformed configuration with KRUN_INIT", env: []string{stateEnv}, config: `{"args": [`},
	{name: "image configuration", config: `{"architecture": "amd64", "config": {"Cmd": ["/guest/state"], "Env": ["A=1"]}, "rootfs": {}}`, stdin: "exit 5\n"},
	{name: "KRUN_CONFIG", env: []string{"KRUN_CONFIG=/etc/guest.json"}, files: map[string]string{"etc/guest.json": `{"args": ["/guest/state"], "env": ["A=1"]}`}},
	{name: "KRUN_CONFIG without file", env: []string{stateEnv, "KRUN_CONFIG=/etc/guest.json"}},
	{
		name: "configuration of an engine", core: true,
		config: `{"ociVersion": "1.2.0", "hostname": "0f1e2d3c", "root": {"path": "/merged"}, "mounts": [` + containerMounts + `],
			"process": {"terminal": false, "user": {"uid": 0, "gid": 0, "umask": 18, "additionalGids": [0]}, "args": ["/guest/state"], "cwd": "/",
			"env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", "container=podman", "HOME=/root", "HOSTNAME=0f1e2d3c"], ` + engineCapabilities + `,
			"rlimits": [{"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 2048}, {"type": "RLIMIT_NPROC", "hard": 1000, "soft": 1000}]},
			"linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}],
			"maskedPaths": ["/proc/keys", "/sys/firmware"], "readonlyPaths": ["/proc/sys", "/proc/irq"]}}`,
	},
	{name: "user", config: `{"process": {"user": {"uid": 1000, "gid": 1001}, "args": ["/guest/state"]}}`},
	{name: "tmpfs", config: `{"args": ["/guest/state"], "mounts": [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]}`},
	{name: "tmpfs on a missing directory", config: `{"args": ["/guest/state"], "mounts": [{"destination": "/made/here", "type": "tmpfs", "source": "tmpfs"}]}`},
	{name: "terminal", console: true, config: `{"process": {"terminal": true, "args": ["/guest/state"], "env": ["TERM=xterm"]}}`},
}

const engineCapabilities = `"capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
	"effective": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"], "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"]}`

// libkrunImages have different roots.
var libkrunImages = []libkrunInput{
	{name: "image without /run", env: []string{stateEnv}, root: without("run")},
	{
		name: "image with files in /run", core: true, env: []string{stateEnv},
		files: map[string]string{"run/lock/": "", "run/service/socket": "x", "run/file": "y"},
		root: func(root string) error {
			if err := os.Lchown(filepath.Join(root, "run/service"), 1000, 1001); err != nil {
				return err
			}
			return os.Symlink("service", filepath.Join(root, "run/link"))
		},
	},
	{
		name: "image whose /run is a link", env: []string{stateEnv}, files: map[string]string{"var/lib/run/file": "x"},
		root: func(root string) error {
			if err := os.Remove(filepath.Join(root, "run")); err != nil {
				return err
			}
			return os.Symlink("var/lib/run", filepath.Join(root, "run"))
		},
	},
	{name: "image with localhost in /etc/hosts", core: true, env: []string{stateEnv, "HOSTNAME=box"}, files: map[string]string{"etc/hosts": "127.0.0.1 localhost\n"}},
	{name: "image with the name in /etc/hosts", env: []string{stateEnv, "HOSTNAME=box"}, files: map[string]string{"etc/hosts": "127.0.0.1 localhost box\n10.0.0.1 other\n"}},
	{
		name: "image whose /etc/hosts is a link", env: []string{stateEnv, "HOSTNAME=box"},
		root: func(root string) error {
			return os.Symlink("/run/no such", filepath.Join(root, "etc/hosts"))
		},
	},
	{name: "image without /etc", env: []string{stateEnv, "HOSTNAME=box"}, root: without("etc")},
	{name: "image without mount points", env: []string{stateEnv}, root: without("dev", "proc", "sys")},
	{
		name: "image with files in /dev", env: []string{stateEnv},
		files: map[string]string{"dev/null": "", "dev/console": "x", "dev/shm/file": "x", "dev/pts/": "", "proc/file": "x", "sys/file": "x"},
	},
	{name: "image with a home of root", env: []string{stateEnv}, files: map[string]string{"etc/passwd": "root:x:0:0:root:/srv:/bin/sh\n"}},
	{name: "image with passwd of a user", files: map[string]string{"etc/passwd": "u:x:1000:1000::/home/u:/bin/sh\n"}, config: `{"args": ["/guest/state"], "User": "u"}`},
	{name: "read-only root", env: []string{stateEnv}, change: func(_ *testing.T, cfg *vm.Config) { cfg.ReadOnly = true }},
	{name: "empty root", env: []string{stateEnv}, change: func(_ *testing.T, cfg *vm.Config) { cfg.Root = "" }},
	{name: "two processors", env: []string{stateEnv}, change: func(_ *testing.T, cfg *vm.Config) { cfg.CPUs = 2 }},
}

// libkrunScripts do what can be observed from the host.
var libkrunScripts = []libkrunInput{
	inShell("exit code 0", "exit 0"),
	inShell("exit code 255", "exit 255"),
	inShell("killed", "kill -KILL $$"),
	inShell("segmentation fault", "kill -SEGV $$"),
	inShell("signals", "grep ^Sig /proc/self/status; umask"),
	{name: "no such program", env: []string{"KRUN_INIT=/no/such"}},
	{name: "no such name", env: []string{"KRUN_INIT=no-such", "PATH=/bin"}},
	{name: "not executable", env: []string{"KRUN_INIT=/etc/passwd"}, root: func(root string) error { return os.Chmod(filepath.Join(root, "etc/passwd"), 0o644) }},
	{name: "directory as program", env: []string{"KRUN_INIT=/etc"}},
	{name: "script without interpreter", env: []string{"KRUN_INIT=/script"}, args: []string{"a"}, files: map[string]string{"script": "echo $0 $1; exit 8\n"}},
	{name: "no such interpreter", env: []string{"KRUN_INIT=/script"}, files: map[string]string{"script": "#!/no/such\n"}},
	{
		name: "streams", core: true, env: []string{"KRUN_INIT=/bin/sh"}, stdin: strings.Repeat("0123456789abcde\n", 8000),
		args: []string{"-c", "cat; echo end; head -c 300000 /dev/zero | tr '\\0' x; echo error >&2; echo console >/dev/console; exit 3"},
	},
	inShell("files", "echo a >/tmp/a; mkdir -m 700 /new; echo b >/new/b; ln -s b /new/c; rm /etc/group; chmod 600 /etc/passwd; chown 5:6 /new/b; mkfifo /new/p"),
	{
		name: "processes left behind", core: true, env: []string{"KRUN_INIT=/bin/sh"},
		args: []string{"-c", "(trap '' HUP; sleep 1000) & setsid sleep 1000 & (sleep 0.2; exec sleep 0.2) & echo done >/tmp/done; exit 9"},
	},
	inShell("orphans", "for i in 1 2 3; do (sleep 0.1 &) ; done; sleep 0.5; ps -o stat,comm | grep -c '^Z'; grep -c . /proc/mounts >/dev/null"),
	inShell("mounts of the workload", "mount -t tmpfs none /mnt && echo x >/mnt/x && umount /mnt; hostname new; hostname; ip link set lo down && ip -o link show lo | cut -d, -f1"),
	inShell("standard input that stays open", "read -t 1 x; echo $?"),
}

// inShell returns an input whose workload is a shell script.
func inShell(name, script string) libkrunInput {
	return libkrunInput{name: name, env: []string{"KRUN_INIT=/bin/sh"}, args: []string{"-c", script}}
}

// without returns a function that removes files of a root.
func without(names ...string) func(string) error {
	return func(root string) error {
		for _, name := range names {
			if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
				return err
			}
		}
		return nil
	}
}

// withSlirp adds an interface with a DHCP server.
func withSlirp(t *testing.T, cfg *vm.Config) {
	n, err := network.Slirp(network.Options{}, network.Lease{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	n.AddTo(cfg)
}

// withDiskRoot puts the root on a disk.
func withDiskRoot(t *testing.T, cfg *vm.Config) {
	if err := libkrunGuest.install(t, "amd64", cfg.Root); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := diskimage.Create(disk, diskimage.FileSystem{Type: "ext4", Dir: cfg.Root}); err != nil {
		t.Fatal(err)
	}
	cfg.TemporaryRoot, cfg.Disks = true, []vm.Disk{{Path: disk}}
}
