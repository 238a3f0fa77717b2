package guestboot

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

var update = flag.Bool("update", false, "write the golden files anew")

// planCase is a host's parameters and configuration, and the name of the golden plan for them.
type planCase struct {
	name    string
	program string // argv[0] of init; default /init.krun
	env     []string
	args    []string // of init, without its name
	cmdline string
	config  string
}

func planCases() []planCase {
	kernel := []string{"HOME=/", "TERM=linux"}
	return []planCase{
		{name: "nothing", env: kernel},
		{name: "empty-environment"},
		{name: "initramfs", program: "/init", env: append(kernel, "KRUN_INIT=/bin/sh")},
		{name: "initramfs-overlay", program: "/init", env: append(kernel, "KRUN_ROOT_OVERLAY=tmpfs")},
		{
			name: "parameters",
			env: append(kernel, "KRUN_INIT=/bin/app", "KRUN_WORKDIR=/srv", `KRUN_RLIMITS="7=1024:4096,4:0:18446744073709551615"`,
				"KRUN_HOME=/home/x", "KRUN_TERM=xterm", "HOSTNAME=box", "A=1", "KRUN_DHCP=1", "KRUN_NEW=1", "KRUN_PID_NAMESPACE=1"),
			args:    []string{"redirect-stdio", "", "a b", "--"},
			cmdline: "quiet tsi_hijack init=/init.krun",
		},
		{
			name: "pid1",
			env:  append(kernel, "KRUN_INIT_PID1=1"),
			args: []string{"/sbin/init"},
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
				"KRUN_BLOCK_ROOT_OPTIONS=defaults,noatime,data=ordered,x-systemd.growfs", "KRUN_BLOCK_ROOT_TIMEOUT_MS=100"),
			config: `{"args": ["p"], "linux": {"namespaces": [{"type": "mount"}]}, "mounts": [
				{"destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", "ro"]},
				{"destination": "/share", "type": "virtiofs", "source": "tag"},
				{"destination": "/run/lock", "type": "tmpfs", "source": "tmpfs"}]}`,
		},
		{
			name: "overlay",
			env: append(kernel, "KRUN_ROOT_OVERLAY=LABEL=changes", "KRUN_BLOCK_ROOT_DEVICE=/dev/vda", "KRUN_RUN_TMPFS=0",
				"KRUN_MACHINE_DEFAULTS=0"),
			config: `{"args": ["p"], "root": {"path": "rootfs", "readonly": true}, "linux": {"rootfsPropagation": "rslave", "maskedPaths": ["/proc/keys", "/sys/firmware"],
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
	}
}

// newGuest returns the state of the boot of a guest whose root is a directory with an /etc/passwd.
func (c planCase) newGuest(t *testing.T) *Guest {
	t.Helper()
	root := t.TempDir()
	write(t, root+"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n")
	argv := append([]string{cmp.Or(c.program, "/init.krun")}, c.args...)
	o := Options{Name: argv[0], Params: bootparam.Parse(argv, c.env), Root: root, Cmdline: &c.cmdline}
	if c.config != "" {
		o.ConfigFile = filepath.Join(t.TempDir(), "config.json")
		write(t, o.ConfigFile, c.config)
	}
	return New(o)
}

// The plan for a host's parameters and configuration.
func TestPlan(t *testing.T) {
	for _, c := range planCases() {
		t.Run(c.name, func(t *testing.T) {
			var text, js strings.Builder
			if err := Print(&text, c.newGuest(t), false); err != nil {
				t.Fatal(err)
			}
			golden := "testdata/" + c.name + ".plan"
			if *update {
				write(t, golden, text.String())
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text.String() != string(want) {
				t.Errorf("the plan is\n%s\nwant (%s; -update to accept)\n%s", text.String(), golden, want)
			}

			// As JSON it has the same operations.
			if err := Print(&js, c.newGuest(t), true); err != nil {
				t.Fatal(err)
			}
			var stages []struct {
				Stage string
				Ops   []map[string]any
			}
			if err := json.Unmarshal([]byte(js.String()), &stages); err != nil {
				t.Fatalf("Print() printed no JSON: %v", err)
			}
			ops := 0
			for _, s := range stages {
				ops += len(s.Ops)
			}
			if lines := strings.Count(string(want), "\n    ") - strings.Count(string(want), "\n    warn: "); ops != lines {
				t.Errorf("the JSON has %d operations, the text %d", ops, lines)
			}
		})
	}
}

// Plans are pure: they return the same when called again, and leave the state as it is.
func TestPlansArePure(t *testing.T) {
	for _, c := range planCases() {
		g := c.newGuest(t)
		up, down := Stages()
		for _, s := range append(up, down...) {
			if s.If.Holds != nil && !s.If.Holds(g) {
				continue
			}
			if s.Prepare != nil {
				_ = s.Prepare(g) // its error is a warning in some cases
			}
			if s.Plan == nil {
				continue
			}
			before := fmt.Sprintf("%#v %v", *g, *g.streams)
			first, second := describe(t, g, s), describe(t, g, s)
			if !reflect.DeepEqual(first, second) {
				t.Errorf("%s: stage %q plans\n%v, then\n%v", c.name, s.Name, first, second)
			}
			if after := fmt.Sprintf("%#v %v", *g, *g.streams); after != before {
				t.Errorf("%s: the plan of stage %q changes the state from\n%s to\n%s", c.name, s.Name, before, after)
			}
		}
	}
}

// describe plans a stage and describes its operations.
func describe(t *testing.T, g *Guest, s boot.Stage[*Guest]) []op.Description {
	t.Helper()
	ops, err := s.Plan(g)
	if err != nil {
		t.Errorf("stage %q: %v", s.Name, err)
	}
	var all []op.Description
	for _, operation := range ops {
		all = append(all, operation.Describe())
	}
	return all
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

// TestClockIsReadFromItsStageOn checks that the wait for a lease also reads the host's clock: a
// datagram that waits in the socket grows old.
func TestClockIsReadFromItsStageOn(t *testing.T) {
	g := New(Options{Params: bootparam.Params{DHCP: []string{"eth0"}}})
	if err := errors.Join(g.prepareClock(), g.prepareNetwork()); err != nil {
		t.Fatal(err)
	}
	ops, err := g.planLease()
	if err != nil {
		t.Fatal(err)
	}
	wait := ops[0].(leaseWait)
	if !slices.Contains(wait.Loop.Tasks, loop.Task(g.clock)) {
		t.Errorf("tasks while the boot waits for a lease = %v, want the clock among them", wait.Loop.Tasks)
	}
}
