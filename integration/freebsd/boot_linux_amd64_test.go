package freebsd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

// bootCase is one boot of a guest.
type bootCase struct {
	name     string
	kenv     map[string]string
	config   string   // configuration on the configuration disk, or unreadable
	file     string   // contents of /config.json
	state    *state   // of the workload, which prints it; nil: not printed
	console  string   // what the console shows, if state is nil
	calls    []string // Calls after startCalls
	exitCode int
}

// unreadable, as configuration, stands for a disk that can't be mounted.
const unreadable = "unreadable"

// startCalls are the Calls with which each boot starts.
var startCalls = []string{
	"revoke /dev/console",
	"setlogin root",
	"ioctl 0x80206910 lo0 01" + strings.Repeat(" 00", 15),
	"ioctl 0x8044692b lo0" +
		" 10 02 00 00 7f 00 00 01" + strings.Repeat(" 00", 8) +
		strings.Repeat(" 00", 16) +
		" 10 02 00 00 ff 00 00 00" + strings.Repeat(" 00", 12),
}

const (
	// probeConfig makes the test program the workload, as probe with "state".
	probeConfig = `{"Cmd": ["/probe", "-test.run=^TestFreeBSDBoot$"], "Env": ["PROBE=state"]}`
	// familyConfig does so with "family".
	familyConfig = `{"Cmd": ["/probe", "-test.run=^TestFreeBSDBoot$"], "Env": ["PROBE=family"]}`
)

// probeState returns the state of the workload of probeConfig, with changes.
func probeState(change func(*state)) *state {
	s := &state{
		Args:         []string{"/probe", "-test.run=^TestFreeBSDBoot$"},
		Env:          []string{"PROBE=state", "HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Dir:          "/",
		Umask:        0o22,
		Open:         []int{0, 1, 2},
		LeadsSession: true,
		Foreground:   true,
	}
	change(s)
	return s
}

// bootCases are boots in which the workload starts.
var bootCases = []bootCase{
	{
		name:   "configuration disk",
		config: probeConfig,
		state:  probeState(func(*state) {}),
		calls:  []string{"nmount", "unmount /mnt", "hostname localhost", "sync", "reboot 0"},
	},
	{
		name: "parameters",
		kenv: map[string]string{
			"HOSTNAME": "box", "KRUN_CONFIG": "/config.json", "KRUN_HOME": "/h",
			"KRUN_TERM": "vt100", "KRUN_WORKDIR": "/made",
			"KRUN_RLIMITS": `"8=200:200,3:1048576:9223372036854775807"`,
		},
		file: `{"process": {
			"args": ["probe", "a b"],
			"env": ["PATH=/no:/", "PROBE=state", "TERM=x"],
			"cwd": "/other",
			"user": {"uid": 1000, "gid": 1001, "additionalGids": [5], "umask": 7},
			"rlimits": [
				{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2},
				{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}
			]
		}}`,
		state: probeState(func(s *state) {
			s.UID, s.GID, s.Groups, s.Umask = 1000, 1001, []int{1001, 5}, 7
			s.Args = []string{"probe", "a b"}
			s.Env = []string{
				"HOSTNAME=box", "PATH=/no:/", "PROBE=state", "TERM=vt100", "HOME=/h",
			}
			s.Dir = "/made"
			s.Limits = map[string][2]uint64{
				"NOFILE": {200, 200}, "STACK": {1 << 20, unix.RLIM_INFINITY}, "CORE": {0, 0},
			}
		}),
		calls: []string{"hostname box", "sync", "reboot 0"},
	},
	{
		name:     "PID 1",
		kenv:     map[string]string{"KRUN_INIT_PID1": "1"},
		config:   probeConfig,
		state:    probeState(func(s *state) { s.PID = 1 }),
		calls:    []string{"nmount", "unmount /mnt", "hostname localhost"},
		exitCode: 3,
	},
	{
		name:    "signals and orphans",
		config:  familyConfig,
		console: "orphan reaped\nterminated\n",
		calls:   []string{"nmount", "unmount /mnt", "hostname localhost", "sync", "reboot 0"},
	},
}

// failureCases are boots in which no workload starts.
var failureCases = []bootCase{
	{
		name: "no program",
		kenv: map[string]string{"KRUN_INIT": "/nonexistent"},
		console: "krunbox: workload: execute \"/nonexistent\": " +
			"no such file or directory\n",
		calls: []string{"hostname localhost", "sync", "reboot 0"},
	},
	{
		name:   "no program in PATH, one without permission",
		config: `{"Cmd": ["passwd"], "Env": ["PATH=/no:/etc"]}`,
		console: "krunbox: workload: execute \"passwd\": looked for in PATH, " +
			"last reason /etc/passwd: permission denied\n",
		calls: []string{"nmount", "unmount /mnt", "hostname localhost", "sync", "reboot 0"},
	},
	{
		name:   "script without a shell",
		config: `{"Cmd": ["/script"]}`,
		console: "krunbox: workload: execute \"/script\": /script is a script without #!, " +
			"and /bin/sh can't run it: no such file or directory\n",
		calls: []string{"nmount", "unmount /mnt", "hostname localhost", "sync", "reboot 0"},
	},
	{
		name: "limit that can't be set",
		kenv: map[string]string{
			"KRUN_INIT": "/probe", "KRUN_RLIMITS": "8=1:18446744073709551615",
		},
		console: "krunbox: workload: set RLIMIT_NOFILE=1:unlimited: operation not permitted\n",
		calls:   []string{"hostname localhost", "sync", "reboot 0"},
	},
	{
		name:    "no program to become PID 1",
		kenv:    map[string]string{"KRUN_INIT": "/nonexistent", "KRUN_INIT_PID1": "1"},
		console: "krunbox: workload: execute \"/nonexistent\": no such file or directory\n",
		calls:   []string{"hostname localhost", "sync", "reboot 0"},
	},
	{
		name:   "bad configuration",
		config: `{"Cmd": ["a"`,
		console: "krunbox: configuration: /mnt/krun_config.json: " +
			"line 1, column 13: Cmd: unexpected end of file\n",
		calls: []string{"nmount", "sync", "reboot 0"},
	},
	{
		name:   "bad disk",
		config: unreadable,
		console: "krunbox: configuration disk: " +
			"mount cd9660 /dev/iso9660/KRUN_CONFIG on /mnt: input/output error\n",
		calls: []string{"nmount", "sync", "reboot 0"},
	},
	{
		name:    "no configuration where it should be",
		kenv:    map[string]string{"KRUN_CONFIG": "/nonexistent"},
		console: "krunbox: configuration: open /nonexistent: no such file or directory\n",
		calls:   []string{"sync", "reboot 0"},
	},
	{
		name: "unsupported",
		kenv: map[string]string{"KRUN_RLIMITS": "99=1:1"},
		config: `{
			"root": {"readonly": true},
			"mounts": [{"destination": "/x", "type": "tmpfs"}]
		}`,
		console: "krunbox: warning: unsupported configuration: " +
			"mounts, root.readonly: not supported by this version\n" +
			"krunbox: settings: KRUN_RLIMITS: item 1 \"99=1:1\": " +
			"resource 99 is not one of FreeBSD, 0 to 15\n",
		calls: []string{"nmount", "unmount /mnt", "sync", "reboot 0"},
	},
}

// TestFreeBSDBoot boots init for FreeBSD as PID 1, without open descriptors.
func TestFreeBSDBoot(t *testing.T) {
	if what := os.Getenv(probeVariable); what != "" {
		os.Exit(probe(what))
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		program := buildForFreeBSD(t)
		for _, c := range slices.Concat(bootCases, failureCases) {
			t.Run(c.name, func(t *testing.T) {
				root := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-"))
				machine, output := c.boot(t, program, root)
				want := slices.Concat(startCalls, c.calls)
				if !slices.Equal(machine.Calls, want) {
					t.Errorf("calls are\n%q, want\n%q", machine.Calls, want)
				}
				if c.state != nil {
					checkState(t, output, *c.state)
				} else if output != c.console {
					t.Errorf("console has %q, want %q", output, c.console)
				}
			})
		}
	})
}

// boot boots the guest from a new root directory, until its end. It returns the machine and the
// output on the console.
func (c *bootCase) boot(t *testing.T, program, root string) (*Machine, string) {
	t.Helper()
	terminal := newGuestRoot(t, root)
	copyProgram(t, program, root+"/init.krun")
	copyProgram(t, "/proc/self/exe", root+"/probe")
	if c.file != "" {
		write(t, root+"/config.json", c.file)
	}
	if c.config != "" {
		write(t, root+"/dev/iso9660/KRUN_CONFIG", "")
	}
	machine := &Machine{Kenv: c.kenv}
	machine.Mount = func(parameters map[string]string) error {
		return c.mount(t, machine, parameters, root)
	}
	machine.Unmount = func(path string) error {
		machine.Calls = append(machine.Calls, "unmount "+path)
		return os.Remove(root + path + "/krun_config.json")
	}
	for fd := 3; fd < 64; fd++ { // the test may have inherited descriptors
		unix.CloseOnExec(fd)
	}
	status, err := machine.Run("/init.krun", []string{"/init.krun"}, &os.ProcAttr{
		Dir: "/", Env: []string{},
		Sys: &syscall.SysProcAttr{
			Chroot: root, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		},
	})
	output := terminal()
	if err != nil {
		t.Fatalf("Run() = %v\n%s", err, output)
	}
	if status.ExitStatus() != c.exitCode {
		t.Errorf("init ended with %v, want exit code %d", status, c.exitCode)
	}
	return machine, output
}

// mount mounts the configuration disk, by writing the configuration to its mount point.
func (c *bootCase) mount(
	t *testing.T, machine *Machine, parameters map[string]string, root string,
) error {
	want := map[string]string{
		"fstype": "cd9660", "fspath": "/mnt", "from": "/dev/iso9660/KRUN_CONFIG",
		"errmsg": "", "flags": "1",
	}
	if !reflect.DeepEqual(parameters, want) {
		t.Errorf("nmount(%q), want %q", parameters, want)
	}
	if c.config != unreadable {
		if _, err := os.Stat(root + "/mnt"); err != nil {
			return err // init makes the directory and tries again
		}
	}
	machine.Calls = append(machine.Calls, "nmount")
	if c.config == unreadable {
		return unix.EIO
	}
	return os.WriteFile(root+"/mnt/krun_config.json", []byte(c.config), 0o600)
}

// checkState compares the state that the workload printed. It does not compare the process ID if
// want has none, nor limits that want does not have.
func checkState(t *testing.T, output string, want state) {
	t.Helper()
	var got state
	if err := json.Unmarshal([]byte(output), &got); err != nil {
		t.Fatalf("the workload printed %q, want its state", output)
	}
	if want.PID == 0 {
		got.PID = 0
	}
	for name := range got.Limits {
		if _, ok := want.Limits[name]; !ok {
			delete(got.Limits, name)
		}
	}
	if len(got.Limits) == 0 {
		got.Limits = nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the workload's state is\n%+v, want\n%+v", got, want)
	}
}
