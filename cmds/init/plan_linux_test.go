package main

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/internal/nstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The plan for a host's parameters and configuration, as `init -n` prints it.
func TestPlan(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n")
	kernel := []string{"HOME=/", "TERM=linux"}
	for _, c := range []struct {
		name   string
		env    []string
		args   []string
		config string
	}{
		{name: "nothing", env: kernel},
		{name: "empty-environment"},
		{
			name: "parameters",
			env: append(kernel, "KRUN_INIT=/bin/app", "KRUN_WORKDIR=/srv", `KRUN_RLIMITS="7=1024:4096,4:0:18446744073709551615"`,
				"KRUN_HOME=/home/x", "KRUN_TERM=xterm", "HOSTNAME=box", "A=1", "KRUN_DHCP=1", "KRUN_NEW=1"),
			args: []string{"-cmdline", "quiet tsi_hijack init=/init.krun", "--", "redirect-stdio", "", "a b", "--"},
		},
		{
			name: "pid1",
			env:  append(kernel, "KRUN_INIT_PID1=1"),
			args: []string{"--", "/sbin/init"},
		},
		{
			name: "dhcp-pid1",
			env:  append(kernel, "KRUN_INIT_PID1=1", "KRUN_DHCP=eth0, eth1", "KRUN_DHCP_TIMEOUT_MS=2000", "KRUN_TIMESYNC=slew"),
		},
		{
			name: "dhcp-all",
			env:  append(kernel, "KRUN_DHCP=all", "KRUN_DHCP_TIMEOUT_MS=soon", "KRUN_TIMESYNC=0"),
		},
		{
			name: "block-root",
			env: append(kernel, "KRUN_BLOCK_ROOT_DEVICE=UUID=0a1b", "KRUN_BLOCK_ROOT_FSTYPE=ext4",
				"KRUN_BLOCK_ROOT_OPTIONS=defaults,noatime,data=ordered", "KRUN_BLOCK_ROOT_TIMEOUT_MS=100"),
			config: `{"linux": {"namespaces": [{"type": "mount"}]}, "mounts": [
				{"destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", "ro"]},
				{"destination": "/share", "type": "virtiofs", "source": "tag"},
				{"destination": "/run/lock", "type": "tmpfs", "source": "tmpfs"}]}`,
		},
		{
			name: "overlay",
			env:  append(kernel, "KRUN_ROOT_OVERLAY=LABEL=changes", "KRUN_BLOCK_ROOT_DEVICE=/dev/vda", "KRUN_RUN_TMPFS=0"),
			config: `{"root": {"path": "rootfs", "readonly": true}, "linux": {"rootfsPropagation": "rslave", "maskedPaths": ["/proc/keys", "/sys/firmware"],
				"readonlyPaths": ["/proc/sys"]}}`,
		},
		{
			name: "oci",
			env:  append(kernel, "PATH=/bin", "A=host"),
			config: `{"hostname": "c1", "process": {"args": ["app", "x y"], "cwd": "/w", "env": ["PATH=/usr/bin", "A=c", "B=1", "HOME=/"],
				"user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 18},
				"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}], "capabilities": {"bounding": ["CAP_KILL"]}},
				"mounts": [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=64m"]},
					{"destination": "/run/x", "type": "tmpfs", "source": "tmpfs"},
					{"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64k"]},
					{"destination": "/etc/hosts", "type": "bind", "source": "/x", "options": ["rbind"]},
					{"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"}]}`,
		},
		{
			name:   "image",
			env:    append(kernel, "KRUN_WORKDIR=/over"),
			config: `{"Entrypoint": ["/entry"], "Cmd": ["a", "b"], "Env": ["X=1", "X=2"], "WorkingDir": "/image", "Hostname": "h"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"init", "-n", "-root", root}
			if c.config != "" {
				file := filepath.Join(t.TempDir(), "config.json")
				write(t, file, c.config)
				args = append(args, "-config", file)
			}
			args = append(args, c.args...)
			var stdout, stderr strings.Builder
			if code := run(args, c.env, &stdout, &stderr); code != 0 {
				t.Fatalf("run(%q) = %d, %s", args, code, stderr.String())
			}
			golden := "testdata/" + c.name + ".plan"
			if *update {
				write(t, golden, stdout.String())
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if stdout.String() != string(want) {
				t.Errorf("the plan is\n%s\nwant (%s; -update to accept)\n%s", stdout.String(), golden, want)
			}

			// As JSON it has the same stages and operations.
			stdout.Reset()
			if code := run(append([]string{"init", "-json"}, args[1:]...), c.env, &stdout, &stderr); code != 0 {
				t.Fatalf("run with -json = %d, %s", code, stderr.String())
			}
			var stages []struct {
				Stage string
				Ops   []map[string]any
			}
			if err := json.Unmarshal([]byte(stdout.String()), &stages); err != nil {
				t.Fatalf("-json prints no JSON: %v", err)
			}
			ops := 0
			for _, s := range stages {
				ops += len(s.Ops)
			}
			if lines := strings.Count(string(want), "\n    ") - strings.Count(string(want), "\n    warn: "); ops != lines {
				t.Errorf("-json has %d operations, the text %d", ops, lines)
			}
		})
	}
}

func TestPlanErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/cut.json", `{"process": {"args": ["a"`)
	write(t, dir+"/type.json", `{"process": {"args": "a"}}`)
	if err := os.WriteFile(dir+"/big.json", make([]byte, 10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  string
		args []string
		want string
	}{
		{"missing", "KRUN_CONFIG=/no/such.json", nil, "configuration: open /no/such.json: no such file or directory"},
		{"cut", "KRUN_CONFIG=" + dir + "/cut.json", nil, "configuration: " + dir + "/cut.json: line 1, column 26: process.args: unexpected end of file"},
		{"wrong type", "A=b", []string{"-config", dir + "/type.json"}, "configuration: " + dir + "/type.json: line 1, column 22: process.args: expected "},
		{"directory", "KRUN_CONFIG=" + dir, nil, "configuration: read " + dir + ": is a directory"},
		{"10 MB", "KRUN_CONFIG=" + dir + "/big.json", nil, "configuration: read " + dir + "/big.json: larger than 8388608 bytes"},
		{"rlimit", "KRUN_RLIMITS=7=many:more", nil, "workload: KRUN_RLIMITS: item 1 "},
		{"flag", "A=b", []string{"-x"}, "init: -x: no such option"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(append([]string{"init", "-n"}, c.args...), []string{c.env}, &stdout, &stderr)
			if code != 125 || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("run() = %d, %q, want 125 and %q", code, stderr.String(), c.want)
			}
		})
	}
}

// Without -n, on a machine that is not a guest, it does nothing. Here the machine is a namespace: should the guard be
// broken, nothing else is.
func TestRefuses(t *testing.T) {
	const child = "KRUNBOX_TEST_REFUSES"
	if os.Getenv(child) != "" {
		os.Exit(run([]string{"init"}, nil, os.Stdout, os.Stderr))
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestRefuses$")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 125 || !strings.Contains(string(out), "--force") {
			t.Errorf("init ended with %v, %q, want 125 and how to override", err, out)
		}
	})
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
