package freebsd

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// probeVariable makes this test program the workload of a guest.
const probeVariable = "PROBE"

// state is what a workload sees of itself.
type state struct {
	PID, UID, GID int
	Groups        []int
	Args, Env     []string
	Dir           string
	Umask         int
	Limits        map[string][2]uint64 // by FreeBSD's names
	Open          []int                // descriptors
	LeadsSession  bool
	Foreground    bool // of its controlling terminal, which is its standard input
}

// TestFreeBSDBoot boots init for FreeBSD, as PID 1 without open descriptors, to a workload, with the system calls of package
// freebsd.
func TestFreeBSDBoot(t *testing.T) {
	if what := os.Getenv(probeVariable); what != "" {
		os.Exit(probe(what))
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		program := buildForFreeBSD(t)
		const console = "revoke /dev/console"
		up := []string{console, "setlogin root",
			"ioctl 0x80206910 lo0 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
			"ioctl 0x8044692b lo0 10 02 00 00 7f 00 00 01 00 00 00 00 00 00 00 00" + strings.Repeat(" 00", 16) +
				" 10 02 00 00 ff 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"}
		end := []string{"sync", "reboot 0"}
		state0 := state{Args: []string{"/probe", "-test.run=^TestFreeBSDBoot$"}, Env: []string{"PROBE=state", "HOME=/root"},
			Dir: "/", Umask: 0o22, Open: []int{0, 1, 2}, LeadsSession: true, Foreground: true}
		with := func(change func(*state)) *state {
			s := state0
			change(&s)
			return &s
		}
		for _, c := range []struct {
			name     string
			kenv     map[string]string
			config   string // on the configuration disk
			file     string // another configuration
			console  string // what is on it, but for the state
			want     *state
			calls    []string
			exitCode int
		}{
			{
				name:   "configuration disk",
				config: `{"Cmd": ["/probe", "-test.run=^TestFreeBSDBoot$"], "Env": ["PROBE=state"]}`,
				want:   &state0,
				calls:  append([]string{"nmount", "unmount /mnt", "hostname localhost"}, end...),
			},
			{
				name: "parameters",
				kenv: map[string]string{"HOSTNAME": "box", "KRUN_CONFIG": "/config.json", "KRUN_HOME": "/h", "KRUN_TERM": "vt100",
					"KRUN_WORKDIR": "/made", "KRUN_RLIMITS": `"8=200:200,3:1048576:9223372036854775807"`},
				file: `{"process": {"args": ["probe", "a b"], "env": ["PATH=/no:/", "PROBE=state", "TERM=x"], "cwd": "/other",
					"user": {"uid": 1000, "gid": 1001, "additionalGids": [5], "umask": 7},
					"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]}}`,
				want: with(func(s *state) {
					s.UID, s.GID, s.Groups, s.Args, s.Umask = 1000, 1001, []int{1001, 5}, []string{"probe", "a b"}, 7
					s.Env = []string{"HOSTNAME=box", "PATH=/no:/", "PROBE=state", "TERM=vt100", "HOME=/h"}
					s.Dir = "/made"
					s.Limits = map[string][2]uint64{"NOFILE": {200, 200}, "STACK": {1 << 20, unix.RLIM_INFINITY}, "CORE": {0, 0}}
				}),
				calls: append([]string{"hostname box"}, end...),
			},
			{
				name:     "PID 1",
				kenv:     map[string]string{"KRUN_INIT_PID1": "1"},
				config:   `{"Cmd": ["/probe", "-test.run=^TestFreeBSDBoot$"], "Env": ["PROBE=state"]}`,
				want:     with(func(s *state) { s.PID = 1 }),
				calls:    []string{"nmount", "unmount /mnt", "hostname localhost"},
				exitCode: 3,
			},
			{
				name:    "signals and orphans",
				config:  `{"Cmd": ["/probe", "-test.run=^TestFreeBSDBoot$"], "Env": ["PROBE=family"]}`,
				console: "orphan reaped\nterminated\n",
				calls:   append([]string{"nmount", "unmount /mnt", "hostname localhost"}, end...),
			},
			{
				name:    "no program",
				kenv:    map[string]string{"KRUN_INIT": "/nonexistent"},
				console: "krunbox: workload: execute \"/nonexistent\": no such file or directory\n",
				calls:   append([]string{"hostname localhost"}, end...),
			},
			{
				name:    "no program in PATH, one without permission",
				config:  `{"Cmd": ["passwd"], "Env": ["PATH=/no:/etc"]}`,
				console: "krunbox: workload: execute \"passwd\": looked for in PATH, last reason /etc/passwd: permission denied\n",
				calls:   append([]string{"nmount", "unmount /mnt", "hostname localhost"}, end...),
			},
			{
				name:   "script without a shell",
				config: `{"Cmd": ["/script"]}`,
				console: "krunbox: workload: execute \"/script\": /script is a script without #!, and /bin/sh can't run it: " +
					"no such file or directory\n",
				calls: append([]string{"nmount", "unmount /mnt", "hostname localhost"}, end...),
			},
			{
				name:    "limit that can't be set",
				kenv:    map[string]string{"KRUN_INIT": "/probe", "KRUN_RLIMITS": "8=1:18446744073709551615"},
				console: "krunbox: workload: set RLIMIT_NOFILE=1:unlimited: operation not permitted\n",
				calls:   append([]string{"hostname localhost"}, end...),
			},
			{
				name:    "no program to become PID 1",
				kenv:    map[string]string{"KRUN_INIT": "/nonexistent", "KRUN_INIT_PID1": "1"},
				console: "krunbox: workload: execute \"/nonexistent\": no such file or directory\n",
				calls:   append([]string{"hostname localhost"}, end...),
			},
			{
				name:    "bad configuration",
				config:  `{"Cmd": ["a"`,
				console: "krunbox: configuration: /mnt/krun_config.json: line 1, column 13: Cmd: unexpected end of file\n",
				calls:   append([]string{"nmount"}, end...),
			},
			{
				name:    "bad disk",
				config:  "unreadable",
				console: "krunbox: configuration disk: mount cd9660 /dev/iso9660/KRUN_CONFIG on /mnt: input/output error\n",
				calls:   append([]string{"nmount"}, end...),
			},
			{
				name:    "no configuration where it should be",
				kenv:    map[string]string{"KRUN_CONFIG": "/nonexistent"},
				console: "krunbox: configuration: open /nonexistent: no such file or directory\n",
				calls:   end,
			},
			{
				name:   "unsupported",
				kenv:   map[string]string{"KRUN_RLIMITS": "99=1:1"},
				config: `{"root": {"readonly": true}, "mounts": [{"destination": "/x", "type": "tmpfs"}]}`,
				console: "krunbox: warning: unsupported configuration: mounts, root.readonly: not supported by this version\n" +
					"krunbox: workload: KRUN_RLIMITS: item 1 \"99=1:1\": resource 99 is not one of FreeBSD, 0 to 15\n",
				calls: append([]string{"nmount", "unmount /mnt", "hostname localhost"}, end...),
			},
		} {
			t.Run(c.name, func(t *testing.T) {
				root := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-"))
				terminal := newGuestRoot(t, root)
				copyProgram(t, program, root+"/init.krun")
				if err := os.WriteFile(root+"/script", []byte("echo\n"), 0o755); err != nil {
					t.Fatal(err)
				}
				if c.file != "" {
					write(t, root+"/config.json", c.file)
				}
				if c.config != "" {
					write(t, root+"/dev/iso9660/KRUN_CONFIG", "")
				}
				machine := &Machine{Kenv: c.kenv}
				machine.Mount = func(parameters map[string]string) error {
					machine.Calls = append(machine.Calls, "nmount")
					want := map[string]string{"fstype": "cd9660", "fspath": "/mnt", "from": "/dev/iso9660/KRUN_CONFIG", "errmsg": "", "flags": "1"}
					if !reflect.DeepEqual(parameters, want) {
						t.Errorf("nmount(%q), want %q", parameters, want)
					}
					if c.config == "unreadable" {
						return unix.EIO
					}
					if _, err := os.Stat(root + "/mnt"); err != nil {
						machine.Calls = machine.Calls[:len(machine.Calls)-1]
						return err // to be called again when it is made
					}
					return os.WriteFile(root+"/mnt/krun_config.json", []byte(c.config), 0o600)
				}
				machine.Unmount = func(path string) error {
					machine.Calls = append(machine.Calls, "unmount "+path)
					return os.Remove(root + path + "/krun_config.json")
				}
				for fd := 3; fd < 64; fd++ { // whoever runs the test may have left us some
					unix.CloseOnExec(fd)
				}
				status, err := machine.Run("/init.krun", []string{"/init.krun"}, &os.ProcAttr{Dir: "/", Env: []string{},
					Sys: &syscall.SysProcAttr{Chroot: root, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}})
				output := terminal()
				if err != nil {
					t.Fatalf("Run() = %v\n%s", err, output)
				}
				if status.ExitStatus() != c.exitCode {
					t.Errorf("init ended with %v, want exit code %d", status, c.exitCode)
				}
				if want := append(slices.Clone(up), c.calls...); !slices.Equal(machine.Calls, want) {
					t.Errorf("calls are\n%q, want\n%q", machine.Calls, want)
				}
				if c.want == nil {
					if output != c.console {
						t.Errorf("console has %q, want %q", output, c.console)
					}
					return
				}
				var got state
				if err := json.Unmarshal([]byte(output), &got); err != nil {
					t.Fatalf("the workload printed %q", output)
				}
				if c.want.PID == 0 {
					c.want.PID = got.PID
				}
				for name := range got.Limits {
					if _, ok := c.want.Limits[name]; !ok {
						delete(got.Limits, name)
					}
				}
				if len(got.Limits) == 0 {
					got.Limits = nil
				}
				if !reflect.DeepEqual(got, *c.want) {
					t.Errorf("the workload's state is\n%+v, want\n%+v", got, *c.want)
				}
			})
		}
	})
}

func buildForFreeBSD(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "init")
	cmd := exec.Command("go", "build", "-o", program, "./cmds/init")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS=freebsd", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// newGuestRoot makes a root directory with a console. It returns what ends the console and returns what was written to it.
func newGuestRoot(t *testing.T, root string) (output func() string) {
	t.Helper()
	write(t, root+"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	copyProgram(t, "/proc/self/exe", root+"/probe")
	for _, node := range []string{"/dev/console", "/dev/null"} {
		write(t, root+node, "")
	}
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave := fmt.Sprint("/dev/pts/", number)
	for from, to := range map[string]string{slave: root + "/dev/console", "/dev/null": root + "/dev/null"} {
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	// Open until the end, or a reader would be told of an end whenever nobody has it open.
	open, err := os.OpenFile(slave, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		var text []byte
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			text = append(text, buf[:n]...)
			if err != nil {
				read <- strings.ReplaceAll(string(text), "\r\n", "\n")
				return
			}
		}
	}()
	return func() string {
		open.Close()
		defer master.Close()
		return <-read
	}
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// probe is the workload.
func probe(what string) int {
	switch what {
	case "state":
		if err := json.NewEncoder(os.Stdout).Encode(ownState()); err != nil {
			return 1
		}
	case "family":
		terminate := make(chan os.Signal, 1)
		signal.Notify(terminate, unix.SIGTERM)
		var orphan int
		out, err := probeCommand("parent").Output()
		if _, scanErr := fmt.Sscan(string(out), &orphan); err != nil || scanErr != nil {
			fmt.Println(err, scanErr)
			return 1
		}
		for unix.Kill(orphan, 0) == nil { // until init has reaped it; the test's time limit is the end of it
			time.Sleep(time.Millisecond)
		}
		fmt.Println("orphan reaped")
		_ = unix.Kill(1, unix.SIGTERM)
		fmt.Println(<-terminate)
	case "parent":
		cmd := probeCommand("orphan")
		if err := cmd.Start(); err != nil {
			return 1
		}
		fmt.Println(cmd.Process.Pid)
		return 0
	}
	return 3
}

func probeCommand(what string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = []string{probeVariable + "=" + what}
	return cmd
}

func ownState() state {
	s := state{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid(), Args: os.Args, Env: os.Environ()}
	s.Groups, _ = os.Getgroups()
	slices.Sort(s.Groups)
	slices.Reverse(s.Groups)
	s.Dir, _ = os.Getwd()
	s.Umask = unix.Umask(0)
	s.Limits = map[string][2]uint64{}
	for name, resource := range map[string]int{"NOFILE": unix.RLIMIT_NOFILE, "STACK": unix.RLIMIT_STACK, "CORE": unix.RLIMIT_CORE} {
		var l unix.Rlimit
		_ = unix.Prlimit(0, resource, nil, &l)
		s.Limits[name] = [2]uint64{l.Cur, l.Max}
	}
	for fd := range 64 {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			s.Open = append(s.Open, fd)
		}
	}
	session, _ := unix.Getsid(0)
	s.LeadsSession = session == s.PID
	group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	s.Foreground = err == nil && group == unix.Getpgrp()
	return s
}

// The plan for a FreeBSD guest, as `init -n` prints it.
func TestFreeBSDPlan(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		write(t, dir+"/config.json", `{"Cmd": ["app", "a b"], "Env": ["A=1"], "Hostname": "image"}`)
		output, err := os.Create(dir + "/plan")
		if err != nil {
			t.Fatal(err)
		}
		defer output.Close()
		args := []string{"init", "-n", "-root", dir, "-config", dir + "/config.json"}
		status, err := new(Machine).Run(buildForFreeBSD(t), args, &os.ProcAttr{
			Env:   []string{"KRUN_TERM=vt100", "KRUN_RLIMITS=8=1:2", "KRUN_DHCP=1", "KRUN_NEW=1"},
			Files: []*os.File{nil, output, os.Stderr},
		})
		if err != nil || status.ExitStatus() != 0 {
			t.Fatalf("Run(%q) = %v, %v", args, status, err)
		}
		got, err := os.ReadFile(dir + "/plan")
		if err != nil {
			t.Fatal(err)
		}
		const golden = "testdata/freebsd.plan"
		if *update {
			write(t, golden, string(got))
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("the plan is\n%s\nwant (%s; -update to accept)\n%s", got, golden, want)
		}
	})
}

// write writes a file and makes its directories.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
