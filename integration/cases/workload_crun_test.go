package cases

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/oci"
	"github.com/krunbox/krunbox/integration/probe"
	"github.com/krunbox/krunbox/integration/vm"
)

// probeGuest prints the state that it observes of itself as a line of JSON. Its arguments name
// additional things to observe: sysctl:NAME and path:PATH.
var probeGuest = inGuest("probe", func(t *testing.T) {
	var r probe.Request
	for _, arg := range os.Args[1:] {
		switch kind, name, _ := strings.Cut(arg, ":"); kind {
		case "sysctl":
			r.Sysctls = append(r.Sysctls, name)
		case "path":
			r.Paths = append(r.Paths, name)
		}
	}
	s := probe.Take(r)
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		t.Error(err)
	}
	const initial = "pid:[4026531836]" // the namespace of the machine's processes
	if namespace, _ := os.Readlink("/proc/self/ns/pid"); s["process ID"] == "1" && namespace == initial {
		reportExitCode(t)
	}
})

// A container is a configuration for both runtimes. Its parts are JSON fields as in a config.json.
type container struct {
	name     string
	process  string
	linux    string
	other    string // fields at the top level
	terminal bool
	env      []string // parameters of krunbox
	args     []string // program and arguments, if not probeGuest
	look     []string // arguments of probeGuest
}

// containerMounts are the mounts that container engines configure for every container, and one
// more.
const containerMounts = `
	{"destination": "/proc", "type": "proc", "source": "proc"},
	{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
	{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
	{"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
	{"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
	{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
	{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
	{"destination": "/cache", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noatime", "mode=1770", "size=4096k"]}`

// containers are the configurations that TestLikeCrun compares. Together they have every field of
// process that crun 1.8 knows and that a guest supports.
var containers = []container{
	{name: "nothing asked for"},
	{
		// Unlike a Go program, cat does not change its signal dispositions.
		name:    "cat",
		process: `"user": {"uid": 1000, "gid": 1000}, "capabilities": {"bounding": ["CAP_KILL"]}, "env": ["TERM=dumb"]`,
		args:    []string{"/bin/busybox", "cat", "/proc/self/status", "/proc/self/limits"},
	},
	{
		name: "as an engine writes it",
		process: `"env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", "HOSTNAME=box", "HOME=/root"],
			"capabilities": {
				"bounding": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"],
				"effective": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"],
				"permitted": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"]
			},
			"oomScoreAdj": 0,
			"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096}, {"type": "RLIMIT_NPROC", "soft": 4096, "hard": 4096}]`,
		linux: `"maskedPaths": ["/proc/keys", "/proc/timer_list", "/proc/no such", "/sys/firmware"],
			"readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]`,
		other: `"hostname": "box", "root": {"path": "rootfs", "readonly": true}`,
		look: []string{"path:/proc/keys", "path:/proc/timer_list", "path:/sys/firmware", "path:/proc/sys/kernel/hostname",
			"path:/proc/sysrq-trigger", "path:/proc/irq", "path:/etc/passwd", "path:/etc", "path:/cache", "path:/dev"},
	},
	{
		name: "user",
		process: `"user": {"uid": 1000, "gid": 1001, "additionalGids": [100, 5, 70000], "umask": 23},
			"env": ["PATH=/bin", "EMPTY=", "QUOTES=\"'` + "`" + `", "LINES=a\nb\n\n", "ACCENTS=ä€𝄞", "EQUALS=a=b=", "CONTROL=\u0001\u007f\t", "SPACED NAME= v ", "PATH=/usr/bin:/bin", "TERM=vt100"],
			"cwd": "/made/for this",
			"capabilities": {
				"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"],
				"permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
				"inheritable": ["CAP_NET_BIND_SERVICE", "CAP_KILL"],
				"effective": ["CAP_NET_BIND_SERVICE"],
				"ambient": ["CAP_NET_BIND_SERVICE"]
			},
			"noNewPrivileges": true,
			"oomScoreAdj": 300,
			"rlimits": [
				{"type": "RLIMIT_AS", "soft": 17179869184, "hard": 34359738368}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 4096},
				{"type": "RLIMIT_CPU", "soft": 3600, "hard": 7200}, {"type": "RLIMIT_DATA", "soft": 8589934592, "hard": 8589934592},
				{"type": "RLIMIT_FSIZE", "soft": 1073741824, "hard": 18446744073709551615}, {"type": "RLIMIT_LOCKS", "soft": 10, "hard": 20},
				{"type": "RLIMIT_MEMLOCK", "soft": 65536, "hard": 131072}, {"type": "RLIMIT_MSGQUEUE", "soft": 1024, "hard": 2048},
				{"type": "RLIMIT_NICE", "soft": 0, "hard": 0}, {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
				{"type": "RLIMIT_NPROC", "soft": 500, "hard": 600}, {"type": "RLIMIT_RSS", "soft": 1048576, "hard": 2097152},
				{"type": "RLIMIT_RTPRIO", "soft": 0, "hard": 0}, {"type": "RLIMIT_RTTIME", "soft": 1000, "hard": 2000},
				{"type": "RLIMIT_SIGPENDING", "soft": 30, "hard": 40}, {"type": "RLIMIT_STACK", "soft": 4194304, "hard": 8388608}
			]`,
	},
	{
		name: "process 1",
		process: `"user": {"uid": 65534, "gid": 65534, "additionalGids": [5], "umask": 63}, "env": ["A=1", "TERM=dumb"], "cwd": "/tmp",
			"capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "effective": ["CAP_KILL"], "ambient": ["CAP_KILL"]},
			"noNewPrivileges": true, "oomScoreAdj": 100, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]`,
		env: []string{"KRUN_INIT_PID1=1"},
	},
	{
		name: "user without ambient capabilities",
		process: `"user": {"uid": 65534, "gid": 0},
			"cwd": "/tmp",
			"capabilities": {
				"bounding": ["CAP_CHOWN", "CAP_NET_RAW"], "permitted": ["CAP_CHOWN", "CAP_NET_RAW"],
				"effective": ["CAP_CHOWN", "CAP_NET_RAW"], "inheritable": ["CAP_NET_RAW"]
			}`,
	},
	{
		name: "root with few rights",
		process: `"user": {"uid": 0, "gid": 5, "additionalGids": [0, 7]},
			"cwd": "/root",
			"capabilities": {
				"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
				"effective": ["CAP_CHOWN"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]
			}`,
	},
	{
		name: "system",
		process: `"user": {"uid": 0, "gid": 0, "umask": 0},
			"capabilities": {"bounding": ["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"], "effective": ["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"],
				"permitted": ["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]}`,
		linux: `"sysctl": {"net.ipv4.ip_unprivileged_port_start": "77", "kernel.shmmni": "123", "kernel.msgmax": "4444", "net.ipv4.ip_local_port_range": "20000 30001", "fs.mqueue.queues_max": "99"},
			"devices": [
				{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0},
				{"path": "/dev/below/a/directory", "type": "b", "major": 7, "minor": 200, "fileMode": 416, "uid": 1000, "gid": 1001},
				{"path": "/dev/pipe", "type": "p", "fileMode": 384, "uid": 5, "gid": 6},
				{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0},
				{"path": "/dev/unsaid", "type": "c", "major": 1, "minor": 5}
			],
			"maskedPaths": ["/etc/passwd", "/var"],
			"readonlyPaths": ["/home", "/etc/group"],
			"rootfsPropagation": "rslave"`,
		other: `"hostname": "a-name.example", "domainname": "example.org"`,
		look: []string{"sysctl:net.ipv4.ip_unprivileged_port_start", "sysctl:kernel.shmmni", "sysctl:kernel.msgmax", "sysctl:net.ipv4.ip_local_port_range",
			"sysctl:fs.mqueue.queues_max", "path:/etc/passwd", "path:/var", "path:/home", "path:/etc/group", "path:/etc", "path:/tmp"},
	},
	{
		name:     "terminal",
		process:  `"user": {"uid": 1000, "gid": 1000}, "capabilities": {"bounding": ["CAP_KILL"]}, "env": ["TERM=xterm-256color"], "consoleSize": {"height": 43, "width": 101}`,
		terminal: true,
	},
}

// config returns the config.json of the container.
func (c container) config(namespaces string) []byte {
	args := c.args
	if args == nil {
		args = append([]string{probeGuest.path()}, c.look...)
	}
	join := func(fields ...string) string {
		return strings.Join(slices.DeleteFunc(fields, func(s string) bool { return s == "" }), ", ")
	}
	terminal := "false"
	if c.terminal {
		terminal = "true"
	}
	// If an object has a field twice, the last one counts.
	text := `{"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "mounts": [` + containerMounts + `], ` + join(
		`"process": {`+join(`"terminal": `+terminal, `"args": `+jsonList(args), `"cwd": "/"`, c.process)+`}`,
		`"linux": {`+join(namespaces, c.linux)+`}`,
		c.other) + `}`
	var config map[string]any // has no repeated fields, which some parsers reject
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&config); err != nil {
		panic(c.name + ": " + err.Error())
	}
	data, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	return data
}

const containerNamespaces = `"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}]`

// fill creates a root that contains the probe.
func (c container) fill(t *testing.T, root string) {
	t.Helper()
	if err := guestroot.Create(t.Context(), "amd64", root); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, guestDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(guestPrograms.build(t, "amd64"), filepath.Join(root, probeGuest.path())); err != nil {
		t.Fatal(err)
	}
}

// byCrun runs the container under crun, and returns the state.
func (c container) byCrun(t *testing.T) probe.State {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "container")
	c.fill(t, filepath.Join(bundle, "rootfs"))
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), c.config(containerNamespaces), 0o644); err != nil {
		t.Fatal(err)
	}
	output, code, err := oci.Run(t.Context(), bundle, c.terminal)
	if err != nil || code != 0 {
		t.Fatalf("crun: exit code %d, %v:\n%s", code, err, output)
	}
	return stateIn(t, output)
}

// byKrunbox runs the container in a guest, and returns the state. The standard streams are ports,
// or the console if the container has a terminal.
func (c container) byKrunbox(t *testing.T) probe.State {
	t.Helper()
	cfg := machine(t, "amd64")
	cfg.Root = filepath.Join(t.TempDir(), "rootfs")
	c.fill(t, cfg.Root)
	// The guest itself takes the place of the other namespaces.
	cfg.GuestConfig, cfg.Env = c.config(`"namespaces": [{"type": "pid"}]`), c.env
	var stdout bytes.Buffer
	if !c.terminal {
		never, end := io.Pipe()
		defer end.Close()
		cfg.Ports = []vm.Port{{Name: "krun-stdin", In: never}, {Name: "krun-stdout", Out: &stdout}, {Name: "krun-stderr"}}
	}
	result := run(t, cfg, 0)
	shown := console(result)
	if c.terminal {
		stdout.WriteString(shown)
		shown, _, _ = strings.Cut(shown, "{")
	}
	if shown != "" {
		t.Errorf("warnings = %q, want none", shown)
	}
	return stateIn(t, stdout.Bytes())
}

// stateIn parses the state in the output of probeGuest, or of cat.
func stateIn(t *testing.T, output []byte) probe.State {
	t.Helper()
	for line := range bytes.Lines(output) {
		var s probe.State
		if bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &s) == nil {
			return s
		}
	}
	s := probe.Parse(string(output))
	if len(s) == 0 {
		t.Fatalf("output = %q, want a state", output)
	}
	return s
}

// TestLikeCrun runs the same configurations under krunbox and under crun, and compares the states
// that a program observes. The test fails for a difference that is not in crunDifferences, and for
// one in crunDifferences that does not exist.
func TestLikeCrun(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root for crun's namespaces")
	}
	known := readDifferences(t, crunDifferences)
	found := make(map[string][]probe.Difference)
	complete := t.Run("containers", func(t *testing.T) {
		for _, c := range containers {
			t.Run(c.name, func(t *testing.T) {
				list := probe.Compare(c.byKrunbox(t), c.byCrun(t))
				found[c.name] = list
				for _, d := range list {
					if !slices.ContainsFunc(known, func(k difference) bool { return k.matches(d) }) {
						t.Errorf("%s = %q under krunbox, %q under crun", d.Field, d.A, d.B)
					}
				}
			})
		}
	})
	// With the flag -run, the test may run only some of the containers.
	if !complete || len(found) < len(containers) {
		return
	}
	all := slices.Concat(slices.Collect(maps.Values(found))...)
	for _, k := range known {
		if !slices.ContainsFunc(all, k.matches) {
			t.Errorf("%s:%d: %s does not differ", crunDifferences, k.line, k.field)
		}
	}
}
