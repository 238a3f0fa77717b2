package cases

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
)

// TestStopInShell ends the machine by commands that are typed into an interactive shell, which
// ignores SIGTERM. Of BusyBox's commands, reboot sends SIGTERM to PID 1, halt SIGUSR1 and poweroff
// SIGUSR2, which the shell has no handlers for.
func TestStopInShell(t *testing.T) {
	for command, want := range map[string]int{
		"kill 1": 128 + int(unix.SIGKILL), "reboot": 128 + int(unix.SIGKILL),
		"halt": 128 + int(unix.SIGUSR1), "poweroff": 128 + int(unix.SIGUSR2),
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			cfg.Args = []string{"/bin/sh", "-i"}
			cfg.Env = []string{"KRUN_STOP_TIMEOUT=1"}
			in, typed := io.Pipe()
			defer typed.Close()
			cfg.ConsoleIn = in
			cfg.Console = when{"# ", func() {
				go io.WriteString(typed, command+"\n")
			}, new(strings.Builder)}
			run(t, cfg, want)
		})
	}
}

// stopScript is executed by the kernel in place of init. It executes init, and sends it a SIGTERM
// when it waits for a disk, on a tmpfs as its root, or has made its first mounts. The script makes
// its mounts in a mount namespace of its own, so that init does not see them.
const stopScript = `#!/bin/sh
unshare -m /bin/sh -c '
	mount -t proc proc /proc
	echo >/ready
	until grep -q -e " / / .* - tmpfs" -e " /dev/shm " /proc/1/mountinfo; do :; done
	kill -TERM 1
' &
until [ -e /ready ]; do :; done
exec /init.krun "$@"
`

// TestStopDuringBoot sends a stop request while init waits for a disk, a share or a lease. The machine must end at once, and the workload must not run.
func TestStopDuringBoot(t *testing.T) {
	for _, tt := range []struct {
		name   string
		env    []string
		config string
		line   []string
	}{
		{"disk", []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/vdz", "KRUN_BLOCK_ROOT_TIMEOUT_MS=600000"}, "",
			[]string{"krunbox: root: find the root device /dev/vdz: stopped by SIGTERM: the workload was not started"}},
		{"share", []string{"KRUN_BLOCK_ROOT_TIMEOUT_MS=600000"},
			`{"mounts": [{"destination": "/data", "type": "virtiofs", "source": "none"}]}`,
			[]string{"krunbox: configured mounts: ", "/data: stopped by SIGTERM: the workload was not started"}},
		{"lease", []string{"KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=600000"}, "",
			[]string{"krunbox: stop requests: stopped by SIGTERM: the workload was not started"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", "echo the workload runs")
			cfg.Files = append(cfg.Files,
				hostfs.File{Path: "/init.krun", Source: cfg.Init, Mode: 0o755, OneShot: true},
				hostfs.File{Path: "/stop", Data: []byte(stopScript), Mode: 0o755})
			cfg.Init, cfg.InitOneShot, cfg.InitPath = "", false, "/stop"
			cfg.Env = tt.env
			if tt.config != "" {
				cfg.GuestConfig = []byte(tt.config)
			}
			segment(t, network.SegmentOptions{}).AddTo(&cfg) // without a server
			start := time.Now()
			wantLine(t, console(run(t, cfg, 128+int(unix.SIGTERM))), tt.line...)
			if took := time.Since(start); took > 5*time.Minute {
				t.Errorf("the end took %v", took)
			}
		})
	}
}

// TestOutOfMemory checks the line for a workload that the kernel kills when the machine is out of
// memory, and that a workload that is killed by a signal gets no such line.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "exec tail /dev/zero")
	cfg.MemMiB = 128
	const killed = 128 + int(unix.SIGKILL)
	var stderr bytes.Buffer
	cfg.Ports = []vm.Port{{Name: "krun-stderr", Out: &stderr}}
	run(t, cfg, killed)
	if got, want := stderr.String(), "krunbox: out of memory: the kernel killed \"tail\"\n"; got != want {
		t.Errorf("standard error = %q, want %q", got, want)
	}
	wantConsole(t, run(t, script(t, "amd64", "kill -KILL $$"), killed), "")
}
