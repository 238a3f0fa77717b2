package cases

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/probe"
	"github.com/krunbox/krunbox/integration/vm"
)

// stateOf runs probeGuest as the workload of a machine, with look as its arguments, and returns its
// state.
func stateOf(t *testing.T, cfg vm.Config, look ...string) probe.State {
	t.Helper()
	probeGuest.addTo(t, &cfg, look...)
	var stdout bytes.Buffer
	cfg.Ports = []vm.Port{{Name: "krun-stdout", Out: &stdout}}
	wantConsole(t, run(t, cfg, 0), "")
	return stateIn(t, stdout.Bytes())
}

// wantState checks the fields of s that are in want.
func wantState(t *testing.T, s, want probe.State) {
	t.Helper()
	for field, value := range want {
		if s[field] != value {
			t.Errorf("%s = %q, want %q", field, s[field], value)
		}
	}
}

// TestStateOfWorkload checks settings that the crun of TestLikeCrun does not know or may not apply
// on the test's machine, and the users of image configurations.
func TestStateOfWorkload(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		arch         string // "" for amd64
		want         probe.State
	}{
		{
			name: "batch",
			config: `{"process": {"scheduler": {"policy": "SCHED_BATCH", "nice": 5}, "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
				"execCPUAffinity": {"initial": "0", "final": "1-2"}, "oomScoreAdj": -500}}`,
			want: probe.State{
				"scheduler":     "policy 3, flags 0x0, nice 5, priority 0, deadline 0",
				"I/O priority":  "class 3, level 0",
				"CPUs":          "1-2",
				"oom_score_adj": "-500",
			},
		},
		{
			name: "real time, of a user who may not ask for it",
			config: `{"process": {"user": {"uid": 1000, "gid": 1000}, "scheduler": {"policy": "SCHED_FIFO", "priority": 7, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
				"ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 3}, "oomScoreAdj": -1000,
				"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 500000, "hard": 1000000}, {"type": "RLIMIT_RTPRIO", "soft": 10, "hard": 20}]}}`,
			want: probe.State{
				// With the flag, children of the probe do not inherit the policy.
				"scheduler":              "policy 1, flags 0x1, nice 0, priority 7, deadline 0",
				"I/O priority":           "class 1, level 3",
				"oom_score_adj":          "-1000",
				"limit Max open files":   "500000 1000000",
				"user IDs":               "1000 1000 1000 1000",
				"capabilities effective": "",
				"signals blocked":        "0000000000000000",
			},
		},
		{
			name:   "no capabilities",
			config: `{"process": {"capabilities": {}}}`,
			want: probe.State{"capabilities bounding": "", "capabilities permitted": "", "capabilities effective": "", "capabilities inheritable": "",
				"capabilities ambient": "", "no new privileges": "0", "user IDs": "0 0 0 0"},
		},
		{
			name: "all rights for a user",
			arch: "arm64",
			config: `{"process": {"user": {"uid": 1000, "gid": 1000}, "capabilities": {"bounding": ["CAP_SYS_RESOURCE", "CAP_CHECKPOINT_RESTORE"],
				"permitted": ["CAP_SYS_RESOURCE"], "inheritable": ["CAP_SYS_RESOURCE"], "effective": ["CAP_SYS_RESOURCE"], "ambient": ["CAP_SYS_RESOURCE"]}}}`,
			want: probe.State{"capabilities bounding": "SYS_RESOURCE CHECKPOINT_RESTORE", "capabilities effective": "SYS_RESOURCE",
				"capabilities permitted": "SYS_RESOURCE", "capabilities ambient": "SYS_RESOURCE", "capabilities inheritable": "SYS_RESOURCE"},
		},
		{
			name:   "image's user",
			config: `{"User": "web", "Env": ["A=1"]}`,
			want: probe.State{"user IDs": "33 33 33 33", "group IDs": "34 34 34 34", "supplementary groups": "5 40",
				"variable HOME": `"/srv/web"`},
		},
		{
			name:   "image's user and group by name",
			config: `{"User": "web:tty"}`,
			want:   probe.State{"user IDs": "33 33 33 33", "group IDs": "5 5 5 5"},
		},
		{
			name:   "image's user by number",
			config: `{"User": "1234"}`,
			want:   probe.State{"user IDs": "1234 1234 1234 1234", "group IDs": "0 0 0 0", "variable HOME": `"/"`},
		},
		{
			name:   "image's user and group by number",
			config: `{"User": "1234:4321"}`,
			want:   probe.State{"user IDs": "1234 1234 1234 1234", "group IDs": "4321 4321 4321 4321"},
		},
		{
			name:   "username",
			config: `{"process": {"user": {"username": "web"}}}`,
			want:   probe.State{"user IDs": "33 33 33 33", "group IDs": "34 34 34 34"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, cmp.Or(tt.arch, "amd64"))
			cfg.CPUs = 3
			appendFile(t, filepath.Join(cfg.Root, "etc/passwd"), "web:x:33:34:Web:/srv/web:/bin/sh\n")
			appendFile(t, filepath.Join(cfg.Root, "etc/group"), "web:x:34:\nlogs:x:40:root,web\nothers:x:41:root\n")
			if data, err := os.ReadFile(filepath.Join(cfg.Root, "etc/group")); err != nil ||
				os.WriteFile(filepath.Join(cfg.Root, "etc/group"), bytes.Replace(data, []byte("tty:x:5:"), []byte("tty:x:5:web"), 1), 0o644) != nil {
				t.Fatal(err)
			}
			cfg.GuestConfig = []byte(tt.config)
			wantState(t, stateOf(t, cfg), tt.want)
		})
	}
}

func appendFile(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestIdentityThatCannotBeGiven configures unknown users and groups, and checks that init does not
// run the workload with another identity.
func TestIdentityThatCannotBeGiven(t *testing.T) {
	for _, tt := range []struct {
		config string
		line   []string
	}{
		{`{"args": ["id"], "User": "nobody-knows"}`, []string{"nobody-knows", "/etc/passwd"}},
		{`{"args": ["id"], "User": "nobody:no-group"}`, []string{"no-group", "/etc/group"}},
	} {
		t.Run(strings.Join(tt.line, " "), func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			cfg.GuestConfig = []byte(tt.config)
			wantLine(t, console(run(t, cfg, 125)), append([]string{"krunbox: "}, tt.line...)...)
		})
	}
}

// TestReportedFields checks the warning about fields that krunbox cannot apply.
func TestReportedFields(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "exit 3")
	cfg.GuestConfig = []byte(`{"process": {"apparmorProfile": "p", "selinuxLabel": "s"}, "annotations": {"a": "b"}, "ExposedPorts": {"80/tcp": {}},
		"Volumes": {"/data": {}}, "Labels": {"a": "b"}, "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}, "intelRdt": {}, "resources": {}}}`)
	wantLine(t, console(run(t, cfg, 3)), "krunbox: warning: ", "linux.seccomp", "process.apparmorProfile", "process.selinuxLabel")
}

// hostsGuest resolves names through package net. The argument is the address that the host name must
// have.
var hostsGuest = inGuest("hosts", func(t *testing.T) {
	name, err := os.Hostname()
	if err != nil || name != "box" {
		t.Errorf("host name = %q, %v, want box", name, err)
	}
	for name, want := range map[string]string{"localhost": "127.0.0.1", name: os.Args[1]} {
		addrs, err := net.LookupHost(name)
		if err != nil || !slices.Contains(addrs, want) {
			t.Errorf("addresses of %s = %q, %v, want %s", name, addrs, err, want)
		}
	}
})

// TestHosts checks that the guest's own name has an address: in images without /etc/hosts, or without
// the name there. With a lease, it is the address at which others reach the guest. The files on the
// host must not change.
func TestHosts(t *testing.T) {
	for _, tt := range []struct {
		own   string
		lease bool
		want  string
	}{
		{own: "", want: "127.0.1.1"},
		{own: "127.0.0.1 localhost\n", want: "127.0.1.1"},
		{own: "127.0.0.1 localhost\n", lease: true, want: "10.0.2.15"},
		{own: "127.0.0.1 localhost\n127.1.2.3 box\n", want: "127.1.2.3"},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			files := map[string]string{"etc/hosts": tt.own, "etc/hostname": "image\n"}
			for name, text := range files {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(cfg.Root, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			hostsGuest.addTo(t, &cfg, tt.want)
			cfg.Env = []string{"HOSTNAME=box"}
			if tt.lease {
				n, err := network.Slirp(network.Options{Log: t.Output()}, network.Lease{})
				if err != nil {
					t.Fatal(err)
				}
				closing(t, n)
				n.AddTo(&cfg)
				cfg.Env = append(cfg.Env, "KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=30000")
			}
			wantConsole(t, run(t, cfg, 0), passed)
			for name, want := range files {
				got, err := os.ReadFile(filepath.Join(cfg.Root, name))
				if string(got) != want { // a missing file counts as empty
					t.Errorf("/%s = %q, %v, want %q", name, got, err, want)
				}
			}
		})
	}
}
