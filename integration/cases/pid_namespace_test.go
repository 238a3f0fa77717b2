package cases

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/internal/cache"
	"github.com/krunbox/krunbox/internal/debian"
)

// containerOfEngine is what container engines configure for every container, as far as it concerns
// PID namespaces.
const containerOfEngine = `{
	"process": {"args": ["` + scriptPath + `"], "cwd": "/", "env": ["PATH=/bin"]},
	"linux": {
		"namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "mount"}],
		"maskedPaths": ["/proc/keys", "/proc/timer_list", "/proc/no such", "/proc/asound", "/sys/firmware"],
		"readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
	}}`

// TestPIDNamespace checks what a workload observes that is process 1 of a PID namespace: its
// process ID, as s6-overlay checks it, and its /proc, with the protected paths of the
// configuration. It must reap orphans, and processes that it leaves behind end with it.
func TestPIDNamespace(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", `
if [ $$ != 1 ]; then
	echo "can only run as pid 1, not $$"
	exit 100
fi
[ "$(cat /proc/1/comm)" = script ] || echo "process 1 is $(cat /proc/1/comm)"
[ "$(readlink /proc/self/ns/pid)" = "$(readlink /proc/1/ns/pid)" ] || echo "another namespace"
[ "$(cd /proc; ls -d [0-9]* | wc -l)" -le 4 ] || ls /proc # the script, a copy of it, ls and wc
grep -v -e ' - sysfs' /proc/self/mountinfo | grep -o ' /proc.* - [a-z]* [a-z]*' | sed 's/shared:[0-9]*/shared/'
for masked in keys timer_list; do
	[ -z "$(cat /proc/$masked)" ] || echo "/proc/$masked is not masked"
done
[ -z "$(ls /proc/asound)" ] || echo "/proc/asound is not masked"
(echo x >/proc/sys/kernel/hostname) 2>/dev/null && echo "/proc/sys is writable"
echo 3 >/proc/self/oom_score_adj || echo "/proc is not writable"

( ( exit 3 ) & ) # its parent ends at once
sh -c 'trap "" HUP INT TERM; while :; do sleep 1000; done' &
trap 'exit 7' USR1
kill -TERM 1 # as any init without a handler, it ignores that
kill -USR1 1
sleep 1000
`)
	cfg.Args = nil
	cfg.GuestConfig = []byte(containerOfEngine)
	wantConsole(t, run(t, cfg, 7), ` /proc rw,nosuid,nodev,noexec,relatime shared - proc proc
 /proc/keys rw,relatime shared - devtmpfs devtmpfs
 /proc/timer_list rw,relatime shared - devtmpfs devtmpfs
 /proc/asound ro,relatime shared - tmpfs tmpfs
 /proc/bus ro,nosuid,nodev,noexec,relatime shared - proc proc
 /proc/fs ro,nosuid,nodev,noexec,relatime shared - proc proc
 /proc/irq ro,nosuid,nodev,noexec,relatime shared - proc proc
 /proc/sys ro,nosuid,nodev,noexec,relatime shared - proc proc
`)
}

// TestPIDNamespaceParameter checks who decides on a PID namespace.
func TestPIDNamespaceParameter(t *testing.T) {
	for _, tt := range []struct {
		name, env, config string
		want              bool
	}{
		{"asked for", "KRUN_PID_NAMESPACE=1", "", true},
		{"configured", "", `{"linux": {"namespaces": [{"type": "pid"}]}}`, true},
		{"refused", "KRUN_PID_NAMESPACE=0", `{"linux": {"namespaces": [{"type": "pid"}]}}`, false},
		{"to be joined", "", `{"linux": {"namespaces": [{"type": "pid", "path": "/proc/7/ns/pid"}]}}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", `[ $$ = 1 ] && exit 3; exit 4`)
			if tt.env != "" {
				cfg.Env = []string{tt.env}
			}
			if tt.config != "" {
				cfg.GuestConfig = []byte(tt.config)
			}
			want := 4
			if tt.want {
				want = 3
			}
			wantConsole(t, run(t, cfg, want), "")
		})
	}
}

// TestPIDNamespaceEnds checks the exit code where a process of the namespace calls reboot(2), and
// where the workload can't be executed.
func TestPIDNamespaceEnds(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         int
	}{
		{"reboot", "reboot -f; sleep 1000", 0},
		{"poweroff", "poweroff -f; sleep 1000", 0},
		{"exit", "sh -c 'exit 5'; exit $?", 5},
		{"fault", "kill -SEGV 1; kill -SEGV $$; exit 6", 6}, // no effect on an init without a handler
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", tt.script)
			cfg.Env = []string{"KRUN_PID_NAMESPACE=1"}
			wantConsole(t, run(t, cfg, tt.want), "")
		})
	}
	t.Run("not found", func(t *testing.T) {
		t.Parallel()
		cfg := withBusybox(t, "amd64")
		cfg.Env, cfg.Args = []string{"KRUN_PID_NAMESPACE=1"}, []string{"/no/such"}
		wantLine(t, console(run(t, cfg, 127)), `krunbox: workload: execute "/no/such": no such file`)
	})
	t.Run("script without a first line", func(t *testing.T) { // is executed in a second attempt
		t.Parallel()
		cfg := withBusybox(t, "amd64")
		cfg.Files = []hostfs.File{{Path: "/plain", Mode: 0o755, Data: []byte(
			"[ $$ = 1 ] && pwd && grep -c /proc/sys /proc/self/mountinfo; exit 8\n")}}
		cfg.GuestConfig = []byte(`{"args": ["/plain"], "cwd": "/proc/sys",
			"linux": {"namespaces": [{"type": "pid"}], "readonlyPaths": ["/proc/sys"]}}`)
		wantConsole(t, run(t, cfg, 8), "/proc/sys\n1\n")
	})
}

// TestPIDNamespaceTerminal checks that the console is the terminal of a workload in a PID
// namespace, and that job control works.
func TestPIDNamespaceTerminal(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		cfg := script(t, arch, `
set -- $(cat /proc/$$/stat)
echo "parent $4, group $5, session $6, foreground group $8"
set -m
cat &
tries=0
until grep -q '^State:.T' /proc/$!/status; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || exit 4
	sleep 0.1
done
exit 3
`)
		cfg.Env = []string{"KRUN_PID_NAMESPACE=1"}
		const want = "parent 0, group 1, session 1, foreground group 1\n"
		if text := console(run(t, cfg, 3)); !strings.HasPrefix(text, want) { // the shell reports its job
			t.Errorf("console = %q, want %q", text, want)
		}
	})
}

// TestTini checks that tini works as in a container: it starts without warnings, passes on the stop
// signal, reaps, and passes on the exit code.
func TestTini(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", `
trap 'exit 9' TERM
kill -TERM 1 # tini, which passes it on
while :; do sleep 0.01; done
`)
	cfg.Files = append(cfg.Files, hostfs.File{Path: "/tini", Source: tini(t, "amd64"), Mode: 0o755})
	cfg.GuestConfig = []byte(`{"Entrypoint": ["/tini", "--"], "Cmd": ["` + scriptPath + `"],
		"linux": {"namespaces": [{"type": "pid"}]}}`)
	cfg.Args = nil
	wantConsole(t, run(t, cfg, 9), "")
}

// tini returns the path of the static tini of Debian's package.
func tini(t *testing.T, arch string) string {
	t.Helper()
	path, err := cache.File(t.Context(), "tini-"+arch, func(scratch string) (string, error) {
		return downloadTini(t.Context(), arch, scratch)
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func downloadTini(ctx context.Context, arch, scratch string) (string, error) {
	packages, err := debian.Open(ctx, arch, scratch)
	if err != nil {
		return "", err
	}
	file, err := packages.Download(ctx, "tini")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(scratch, "tini")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	return dir + "/usr/bin/tini-static", debian.Unpack(ctx, file, dir)
}
