package cases

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/oci"
	"github.com/krunbox/krunbox/integration/vm"
)

// runtimeToolsModule is the module that builds runtimetest.
const runtimeToolsModule = "../oci/runtimetools"

// runtimetestConfigs has options of oci-runtime-tool generate for each configuration with which
// runtimetest runs. Only the first one has a PID namespace, which changes the order of mounts.
var runtimetestConfigs = []struct {
	name    string
	options []string
}{
	{"default", nil},
	{"process", []string{
		"--process-uid=10", "--process-gid=11", "--process-groups=5", "--process-groups=100", "--process-cwd=/made/for this",
		"--process-no-new-privileges", "--linux-oom-score-adj=500", "--hostname=box", "--env=A=a b", "--env=EMPTY=",
		"--process-rlimits-add=RLIMIT_AS:3221225472:2147483648", "--process-rlimits-add=RLIMIT_CORE:4294967296:3221225472",
		"--process-rlimits-add=RLIMIT_DATA:6442450944:5368709120", "--process-rlimits-add=RLIMIT_FSIZE:8589934592:7516192768",
		"--process-rlimits-add=RLIMIT_STACK:10737418240:9663676416", "--process-rlimits-add=RLIMIT_CPU:120:60",
		"--process-rlimits-add=RLIMIT_NOFILE:3000:3000",
	}},
	{"capabilities", []string{
		"--process-uid=10", "--process-cap-drop-all", "--process-cap-add=CAP_SETUID,CAP_NET_RAW",
		"--process-cap-add-bounding=CAP_KILL,CAP_MKNOD", "--process-cap-add-inheritable=CAP_KILL",
	}},
	{"paths and devices", []string{
		"--linux-masked-paths=/hidden", "--linux-masked-paths=/secret", "--linux-masked-paths=/dir/hidden",
		"--linux-masked-paths=/dir/secret", "--linux-masked-paths=/dir/sub/secret", "--linux-masked-paths=/no such file",
		"--linux-masked-paths=/pipe", "--linux-masked-paths=/block", "--linux-masked-paths=/char",
		"--linux-readonly-paths=/fixed", "--linux-readonly-paths=/dir/fixed", "--linux-readonly-paths=/tmp",
		"--linux-device-add=c:10:666:/dev/test1:fileMode=432:uid=0:gid=0", "--linux-device-add=b:8:666:/dev/test2:fileMode=432:uid=0:gid=0",
		"--linux-device-add=p:8:666:/dev/test3:fileMode=432", "--linux-device-add=c:10:229:/dev/fuse:fileMode=438:uid=10:gid=11",
		"--linux-sysctl=net.ipv4.ip_forward=1", "--linux-sysctl=kernel.shm_rmid_forced=1", "--linux-sysctl=net.core.somaxconn=256",
	}},
	{"mounts", []string{
		`--mounts-add={"destination":"/tmp/shared","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=1k","shared"]}`,
		`--mounts-add={"destination":"/tmp/slave","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=1k","slave"]}`,
		`--mounts-add={"destination":"/tmp/private","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=1k","private"]}`,
		`--mounts-add={"destination":"/made/for/this","type":"tmpfs","source":"scratch"}`,
		"--rootfs-readonly",
	}},
	{"shared", []string{"--privileged", "--linux-rootfs-propagation=shared"}},
	{"slave", []string{"--privileged", "--linux-rootfs-propagation=slave"}},
	{"private", []string{"--privileged", "--linux-rootfs-propagation=private"}},
	{"unbindable", []string{"--privileged", "--linux-rootfs-propagation=unbindable"}},
}

// runtimetestExceptions lists the checks of runtimetest that fail under krunbox. An asterisk in the
// name of a configuration or the description of a check matches any text.
var runtimetestExceptions = []struct{ config, check, reason string }{
	{
		"*", "mounts[1] (/dev) found",
		"The configuration asks for a tmpfs. /dev is a devtmpfs, which has the devices of the machine: ports, disks, consoles.",
	},
	{
		"*", `file at default symlink path "/dev/ptmx" is a symlink`,
		"In a devtmpfs it is the device itself, which finds the same devpts.",
	},
	{
		"*", "mounts[5] (/sys) found in order",
		"Init mounts /sys before it reads the configuration, to find the ports of the standard streams, and so before /dev/mqueue.",
	},
	{
		"default", "mounts[*] (/dev/*) found in order",
		"The /proc of the PID namespace replaces that of init when the workload starts, and so comes after the other mounts.",
	},
}

// TestRuntimetest runs runtimetest, the program with which the Open Container Initiative compares a
// container with its configuration. All its checks must pass, except runtimetestExceptions, each of
// which must fail with at least one configuration.
func TestRuntimetest(t *testing.T) {
	t.Parallel()
	tools, err := oci.RuntimeTools(t.Context(), runtimeToolsModule)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	failed, passed, ran := map[int]bool{}, 0, 0
	complete := t.Run("configurations", func(t *testing.T) {
		for i, c := range runtimetestConfigs {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				if i > 0 {
					c.options = append(c.options, "--linux-namespace-remove=pid")
				}
				checks := runtimetest(t, tools, c.options)
				mu.Lock()
				defer mu.Unlock()
				ran++
				for _, check := range checks {
					if check.passed {
						passed++
						continue
					}
					i := slices.IndexFunc(runtimetestExceptions, func(e struct{ config, check, reason string }) bool {
						return matches(e.config, c.name) && matches(e.check, check.description)
					})
					if i < 0 {
						t.Errorf("runtimetest: not ok: %s", check.description)
					}
					failed[i] = true
				}
			})
		}
	})
	t.Logf("%d checks passed", passed)
	if !complete || ran < len(runtimetestConfigs) { // the flag -run selects configurations
		return
	}
	for i, e := range runtimetestExceptions {
		if !failed[i] {
			t.Errorf("%s: passes with every configuration", e.check)
		}
	}
}

type runtimetestCheck struct {
	description string
	passed      bool
}

// runtimetest runs runtimetest with a configuration and returns its checks, without those that it
// skips or that it says always fail.
func runtimetest(t *testing.T, tools string, options []string) []runtimetestCheck {
	t.Helper()
	options = append([]string{"--args=/bin/runtimetest", "--args=--path=/bundle", "--args=--compliance-level=may"}, options...)
	config, err := oci.Generate(t.Context(), tools, options...)
	if err != nil {
		t.Fatal(err)
	}
	cfg := machine(t, "amd64")
	cfg.Root = filepath.Join(t.TempDir(), "root")
	if err := guestroot.Create(t.Context(), "amd64", cfg.Root); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"bundle", "hidden", "dir/hidden", "dir/sub"} {
		if err := os.MkdirAll(filepath.Join(cfg.Root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string]string{
		"bundle/config.json": string(config), "hidden/file": "secret", "secret": "secret", "dir/hidden/file": "secret",
		"dir/secret": "secret", "dir/sub/secret": "secret", "fixed": "fixed", "dir/fixed": "fixed", "tmp/file": "fixed",
	} {
		if err := os.WriteFile(filepath.Join(cfg.Root, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(filepath.Join(tools, "runtimetest"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Root, "bin/runtimetest"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg.GuestConfig = config
	var stdout bytes.Buffer
	cfg.Ports = []vm.Port{{Name: "krun-stdout", Out: &stdout}}
	run(t, cfg, 0)
	return parseTAP(t, stdout.String())
}

// parseTAP parses the output of a test in the format of the Test Anything Protocol.
func parseTAP(t *testing.T, output string) []runtimetestCheck {
	t.Helper()
	var checks []runtimetestCheck
	complete := false
	for line := range strings.Lines(output) {
		line = strings.TrimSuffix(line, "\n")
		result, description, found := strings.Cut(line, " - ")
		switch {
		case strings.HasPrefix(line, "1.."):
			complete = true
		case !found:
		case strings.HasPrefix(result, "ok "):
			checks = append(checks, runtimetestCheck{description, true})
		case strings.HasPrefix(result, "not ok "):
			checks = append(checks, runtimetestCheck{description, false})
		}
	}
	if !complete {
		t.Errorf("runtimetest ended early: %q", output)
	}
	return checks
}
