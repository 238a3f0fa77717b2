//go:build software

package software

import (
	"strings"
	"testing"
)

var systemdRoot = root{
	Name:     "systemd",
	Packages: []string{"systemd", "systemd-sysv", "dbus"},
	Users: []string{
		"systemd-network:x:998:998:systemd Network Management:/:/usr/sbin/nologin",
		"systemd-journal:x:999:999::/:/usr/sbin/nologin",
		"messagebus:x:100:100::/nonexistent:/usr/sbin/nologin",
	},
	Links: map[string]string{
		"etc/systemd/system/serial-getty@hvc0.service":            "/dev/null", // would wait for udev
		"etc/sysctl.d/50-pid-max.conf":                            "/dev/null", // too much for the guest's kernel
		"etc/systemd/system/default.target":                       "/lib/systemd/system/multi-user.target",
		"etc/systemd/system/multi-user.target.wants/demo.service": "../demo.service",
	},
	Files: map[string]string{
		"etc/machine-id": "",
		"etc/systemd/system/demo.service": `
[Unit]
Description=Demo
[Service]
User=daemon
RuntimeDirectory=demo
MemoryMax=64M
ExecStart=/usr/local/bin/demo
`,
		"usr/local/bin/demo": `#!/bin/sh
id -un >/run/demo/user
echo "demo is running"
exec sleep 1000000
`,
	},
}

var systemdImage = image{
	Cmd:        []string{"/sbin/init"},
	StopSignal: "SIGRTMIN+3",
	Linux:      engine,
}

// TestSystemd boots to the default target and examines the system.
func TestSystemd(t *testing.T) {
	for _, tt := range []struct {
		name, container, stop string
		code                  int
	}{
		// With the variable, systemd leaves by exit(2), otherwise by reboot(2).
		{"poweroff in a container", "container=podman", "systemctl poweroff", 0},
		{"exit code in a container", "container=podman", "systemctl exit 7", 7},
		{"poweroff of a machine", "", "systemctl poweroff", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			i := systemdImage
			if tt.container != "" {
				i.Env = []string{tt.container}
			}
			g := start(t, systemdRoot.machine(t, i.withControl()))
			g.exec("until systemctl is-system-running --wait; do sleep 0.1; systemctl --failed --no-legend; done; echo up")
			if got := g.stdout.wait(t, "up\n"); !strings.HasSuffix(got, "running\n") {
				t.Errorf("state of the system = %q, want running", got)
			}
			g.exec("systemctl is-active demo.service; cat /run/demo/user; journalctl -o cat -u demo.service; " +
				"cat /sys/fs/cgroup$(systemctl show -P ControlGroup demo.service)/memory.max; echo end")
			if got := g.stdout.wait(t, "end\n"); !strings.Contains(got, "active\ndaemon\n") ||
				!strings.Contains(got, "demo is running\n") || !strings.Contains(got, "67108864\n") {
				t.Errorf("output = %q", got)
			}
			g.exec(tt.stop)
			g.wantExit(tt.code)
		})
	}
}
