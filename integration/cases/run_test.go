package cases

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/krunbox/krunbox/integration/vm"
)

// showRun prints what is mounted on /run and what is in it.
const showRun = `echo on /run: $(grep ' /run ' /proc/self/mountinfo | sed 's/.* - //' | cut -d' ' -f1)
stat -c '%n %a %u:%g' /run/*
[ -L /run/link ] && readlink /run/link
echo x 2>/dev/null >/run/app/written && echo writable
exit 7
`

// runOfImage gives the image a directory with an owner, a link and a file in /run.
func runOfImage(dir string) error {
	return errors.Join(
		os.MkdirAll(filepath.Join(dir, "run/app"), 0o755),
		os.Chmod(filepath.Join(dir, "run/app"), 0o2770|os.ModeSetgid),
		os.Chown(filepath.Join(dir, "run/app"), 1000, 1001),
		os.Symlink("app", filepath.Join(dir, "run/link")),
		os.WriteFile(filepath.Join(dir, "run/file"), nil, 0o600),
	)
}

const (
	// imageRun is the output of showRun for the directory of runOfImage.
	imageRun = "on /run:\n/run/app 2770 1000:1001\n/run/file 600 0:0\n/run/link 777 0:0\napp\nwritable\n"
	// tmpfsRun is the output for a tmpfs with its directories and links.
	tmpfsRun = "on /run: tmpfs\n/run/app 2770 1000:1001\n/run/link 777 0:0\napp\nwritable\n"
	emptyRun = "on /run: tmpfs\nstat: can't stat '/run/*': No such file or directory\n"
)

// TestRun checks that /run stays as the image has it, and where it is a tmpfs instead.
func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		config  string // fields
		env     []string
		prepare func(dir string) error
		change  func(cfg *vm.Config)
		want    string
	}{
		{name: "empty", want: emptyRun},
		{name: "empty, no tmpfs wanted", env: []string{"KRUN_RUN_TMPFS=0"}, want: strings.Replace(emptyRun, ": tmpfs", ":", 1)},
		{name: "missing", want: emptyRun, prepare: func(dir string) error { return os.Remove(filepath.Join(dir, "run")) }},
		{name: "of the image", prepare: runOfImage, want: imageRun},
		{name: "tmpfs wanted", prepare: runOfImage, env: []string{"KRUN_RUN_TMPFS=1"}, want: tmpfsRun},
		{name: "not writable", prepare: runOfImage, change: func(cfg *vm.Config) { cfg.ReadOnly = true }, want: tmpfsRun},
		{name: "read-only root", prepare: runOfImage, config: `, "root": {"readonly": true}`, want: tmpfsRun},
		{name: "behind a link", prepare: func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "var/run")), runOfImage(dir), os.Rename(filepath.Join(dir, "run"), filepath.Join(dir, "var/run")),
				os.Symlink("var/run", filepath.Join(dir, "run")))
		}, env: []string{"KRUN_RUN_TMPFS=1"}, want: strings.Replace(tmpfsRun, ": tmpfs", ":", 1)},
		{name: "configured", prepare: runOfImage, config: `, "mounts": [{"destination": "/var/run", "type": "tmpfs", "source": "tmpfs"}]`,
			env: []string{"KRUN_RUN_TMPFS=1"}, want: emptyRun},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", showRun)
			if tt.prepare != nil {
				if err := tt.prepare(cfg.Root); err != nil {
					t.Fatal(err)
				}
			}
			if tt.change != nil {
				tt.change(&cfg)
			}
			cfg.Args, cfg.Env = nil, tt.env
			cfg.GuestConfig = []byte(`{"args": ["/script"]` + tt.config + `}`)
			wantConsole(t, run(t, cfg, 7), tt.want)
			_, err := os.Stat(filepath.Join(cfg.Root, "run/app/written"))
			if written := tt.want == imageRun; (err == nil) != written {
				t.Errorf("stat of a file that the workload wrote on the host = %v, want it there: %v", err, written)
			}
		})
	}
}

// TestMountsBelowRun checks that what a configuration mounts below /run, which is a tmpfs, is visible
// there, also through a link of the image, and so is what an engine has bound there and in /dev.
func TestMountsBelowRun(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", `cat /run/secrets/token /var/run/secrets/token /dev/termination-log
echo end >/dev/termination-log
mount | grep -c ' on /run/lock '
[ -c /dev/null ] && echo device
ls -A /dev | grep root
exit 7
`)
	// As virtiofs shows what the engine's runtime has mounted on the host.
	for name, text := range map[string]string{"run/secrets/token": "token\n", "dev/termination-log": "log\n", "dev/null": "no device\n"} {
		path := filepath.Join(cfg.Root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mknod(filepath.Join(cfg.Root, "dev/tty"), syscall.S_IFCHR|0o600, 0x103); err != nil {
		t.Fatal(err)
	}
	cfg.Args, cfg.Env = nil, []string{"KRUN_RUN_TMPFS=1"}
	cfg.GuestConfig = []byte(`{"process": {"args": ["/script"], "selinuxLabel": "s", "apparmorProfile": "p"}, "mounts": [
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
		{"destination": "/var/run/secrets/token", "type": "bind", "source": "/var/lib/kubelet/token", "options": ["rbind", "ro"]},
		{"destination": "/dev/termination-log", "type": "bind", "source": "/var/lib/kubelet/log", "options": ["rbind"]},
		{"destination": "/dev/tty", "type": "bind", "source": "/dev/tty", "options": ["rbind"]},
		{"destination": "/var/run/lock", "type": "tmpfs", "source": "tmpfs"}],
		"linux": {"namespaces": [{"type": "mount"}], "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}`)
	wantConsole(t, run(t, cfg, 7), "token\ntoken\nlog\n1\ndevice\n")
	if got, err := os.ReadFile(filepath.Join(cfg.Root, "dev/termination-log")); string(got) != "end\n" {
		t.Errorf("/dev/termination-log on the host = %q, %v, want what the workload wrote", got, err)
	}
}

// TestEngineConfiguration has the configuration of a container engine whose runtime has already
// made the bind mounts on the host. The root of the guest contains them, but not their sources. The
// guest must leave the destinations unchanged, even where the guest has a line to add.
func TestEngineConfiguration(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "cat /etc/hosts; exit 7")
	wantHosts := "127.0.0.1 localhost\n"
	if err := os.WriteFile(filepath.Join(cfg.Root, "etc/hosts"), []byte(wantHosts), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg.Args = nil
	cfg.GuestConfig = []byte(`{"process": {"args": ["/script"]}, "hostname": "box",
		"mounts": [{"destination": "/etc/hosts", "type": "bind", "source": "/var/lib/engine/hosts", "options": ["bind", "rprivate"]},
			{"destination": "/etc", "type": "bind", "source": "/tmp", "options": ["rbind"]}],
		"linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}}`)
	wantConsole(t, run(t, cfg, 7), wantHosts)
}
