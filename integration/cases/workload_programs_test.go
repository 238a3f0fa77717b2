package cases

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/vm"
)

// withUsr returns a machine whose programs are those in this machine's /usr, mounted read-only. It
// skips the test if the guest cannot run them.
func withUsr(t *testing.T, programs ...string) vm.Config {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("needs a machine with the guest's architecture")
	}
	for _, program := range programs {
		if _, err := os.Stat(filepath.Join("/usr/bin", program)); err != nil {
			t.Fatalf("%v: integration/deps.sh installs it", err)
		}
	}
	cfg := machine(t, "amd64")
	cfg.Root = t.TempDir()
	for _, dir := range []string{"dev", "etc", "proc", "root", "run", "sys", "tmp", "usr"} {
		if err := os.Mkdir(filepath.Join(cfg.Root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		if link, err := os.Readlink("/" + name); err != nil || link != "usr/"+name {
			t.Skipf("/%s of this machine is not a link to /usr", name)
		}
		if err := os.Symlink("usr/"+name, filepath.Join(cfg.Root, name)); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Shares = []vm.Share{{Tag: "usr", Dir: "/usr", ReadOnly: true}}
	return cfg
}

// usrConfig returns a configuration that mounts the share of withUsr.
func usrConfig(args ...string) []byte {
	return []byte(`{"process": {"args": ` + jsonList(args) + `, "env": ["PATH=/usr/bin", "TERM=linux", "PS1=> "]},
		"mounts": [{"destination": "/usr", "type": "virtiofs", "source": "usr", "options": ["ro"]}]}`)
}

// TestBash uses job control in an interactive bash.
func TestBash(t *testing.T) {
	t.Parallel()
	cfg := withUsr(t, "bash")
	const prompt = "\r\n> "
	d := newDialog(t,
		step{"> ", `sh -c 'trap "echo again" CONT; echo ready; while :; do sleep 0.1; done'` + "\n"},
		step{"\nready\r\n", "\x1a"}, // Ctrl-Z
		step{"Stopped", ""},
		step{prompt, "jobs; echo jobs $?\n"},
		step{"\njobs 0", ""},
		step{prompt, "sleep 2000 & fg %1\n"},
		step{"\nagain\r\n", "\x03"}, // Ctrl-C
		step{prompt, "echo status $?\n"},
		step{"\nstatus 130\r\n", "kill %2; wait; stty -a | grep -o 'intr = [^;]*'\n"},
		step{"\nintr = ^C\r\n", "exit 3\n"},
	)
	cfg.GuestConfig = usrConfig("bash", "--norc", "--noediting", "-i")
	cfg.Console, cfg.ConsoleIn = d, d
	text := console(run(t, cfg, 3))
	if len(d.steps) > 0 {
		t.Errorf("text %q did not appear; console:\n%s", d.steps[0].shown, text)
	}
	if strings.Contains(text, "no job control") || strings.Contains(text, "terminal process group") {
		t.Errorf("console = %q, want no message about job control", text)
	}
}

// TestPython starts and waits for subprocesses in several ways.
func TestPython(t *testing.T) {
	t.Parallel()
	cfg := withUsr(t, "python3", "sh", "sleep", "yes", "head")
	cfg.GuestConfig = usrConfig("python3", "-ISc", `
import os, signal, subprocess
assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
assert subprocess.run(["sh", "-c", "exit 3"]).returncode == 3
sleeper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
sleeper.terminate()
assert sleeper.wait() == -signal.SIGTERM
assert subprocess.check_output("yes | head -n 2", shell=True) == b"y\ny\n"
many = [subprocess.Popen(["sh", "-c", "exit %d" % i], stdout=subprocess.PIPE) for i in range(10)]
assert [p.wait() for p in many] == list(range(10))
try:
    subprocess.run(["sleep", "1000"], timeout=0.1)
except subprocess.TimeoutExpired:
    print("done")
`)
	wantConsole(t, run(t, cfg, 0), "done\n")
}

// TestBrokenPipe checks that SIGPIPE terminates a program, so that it is not ignored.
func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	wantConsole(t, run(t, script(t, "amd64", `
(yes; echo status $? >&2) | head -n 1
exit 3
`), 3), "y\nstatus 141\n")
}

// setuidHelper is the path of a set-user-ID program of root.
const setuidHelper = "/bin/helper"

// setuidGuest is both the workload, which is not root, and the helper.
var setuidGuest = inGuest("setuid", func(t *testing.T) {
	const file = "/root/secret"
	switch mode := os.Args[1]; mode {
	case "helper":
		fmt.Println("effective", os.Geteuid())
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			fmt.Println(err)
		}
	default:
		if uid := os.Geteuid(); uid != 1000 {
			t.Errorf("uid = %d, want 1000", uid)
		}
		if err := os.WriteFile(file, nil, 0o600); !errors.Is(err, unix.EACCES) {
			t.Errorf("write %s: %v, want %v", file, err, unix.EACCES)
		}
		cmd := exec.Cmd{Path: setuidHelper, Args: []string{os.Args[0], "helper"}}
		output, err := cmd.CombinedOutput()
		if want := mode + passed; err != nil || string(output) != want {
			t.Errorf("helper: %q, %v, want %q", output, err, want)
		}
	}
})

// TestSetuid executes a set-user-ID program as another user, as with sudo, and checks that
// noNewPrivileges disables it.
func TestSetuid(t *testing.T) {
	for _, tt := range []struct{ name, noNewPrivileges, want string }{
		{"permitted", "false", "effective 0\n"},
		{"noNewPrivileges", "true", "effective 1000\nopen /root/secret: permission denied\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			program, err := os.ReadFile(guestPrograms.build(t, "amd64"))
			if err != nil {
				t.Fatal(err)
			}
			helper := filepath.Join(cfg.Root, setuidHelper)
			if err := os.WriteFile(helper, program, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(helper, 0o755|os.ModeSetuid); err != nil {
				t.Fatal(err)
			}
			setuidGuest.addTo(t, &cfg)
			cfg.GuestConfig = []byte(`{"process": {"args": ` + jsonList([]string{setuidGuest.path(), tt.want}) + `,
				"user": {"uid": 1000, "gid": 1000}, "noNewPrivileges": ` + tt.noNewPrivileges + `}}`)
			wantConsole(t, run(t, cfg, 0), passed)
		})
	}
}

// threadsGuest behaves like a large server: it has hundreds of threads, some of which start
// children, and shuts down in order on SIGTERM.
var threadsGuest = inGuest("threads", func(t *testing.T) {
	const threads, parents, children = 300, 20, 5
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM)
	var up, down sync.WaitGroup
	over := make(chan struct{})
	up.Add(threads)
	for range threads {
		down.Go(func() {
			runtime.LockOSThread() // the goroutine has a thread of its own, which ends with it
			up.Done()
			<-over
		})
	}
	up.Wait()
	for i := range parents {
		down.Go(func() {
			runtime.LockOSThread()
			for j := range children {
				code := (i + j) % 256
				err := exec.Command("/bin/sh", "-c", fmt.Sprint("exit ", code)).Run()
				exit, _ := errors.AsType[*exec.ExitError](err)
				if (code != 0 || err != nil) && (exit == nil || exit.ExitCode() != code) {
					t.Errorf("exit %d: %v", code, err)
				}
			}
		})
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil || len(tasks) < threads {
		t.Errorf("%d threads, %v, want at least %d", len(tasks), err, threads)
	}
	if err := unix.Kill(1, unix.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case <-end:
	case <-time.After(30 * time.Second):
		t.Error("SIGTERM to PID 1 did not reach the workload")
	}
	close(over)
	down.Wait()
})

// TestThreads runs threadsGuest as the workload.
func TestThreads(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	threadsGuest.addTo(t, &cfg)
	wantConsole(t, run(t, cfg, 0), passed)
}

// treeGuest is a child subreaper, like the small init programs of some images: it reaps its own
// orphaned descendants.
var treeGuest = inGuest("tree", func(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	// Start a child with children that have children. All but the leaves exit at once; the leaves
	// wait for EOF on a pipe.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `for i in 1 2 3; do (for j in 1 2 3; do (read line; exit 7) <&3 & done) & done`)
	cmd.ExtraFiles = []*os.File{r}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	const leaves = 3 * 3
	reaped := map[int]int{} // number of processes by exit code
	for range 3 {           // the parents of the leaves are orphans too
		reaped[wait(t)]++
	}
	w.Close()
	for range leaves {
		reaped[wait(t)]++
	}
	if reaped[0] != 3 || reaped[7] != leaves {
		t.Errorf("processes by exit code = %v, want 3 with code 0 and %d with code 7",
			reaped, leaves)
	}
	if _, err := unix.Wait4(-1, nil, 0, nil); err != unix.ECHILD {
		t.Errorf("wait for one more child = %v, want %v", err, unix.ECHILD)
	}
})

// wait returns the exit code of the next child that exits.
func wait(t *testing.T) int {
	t.Helper()
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(-1, &status, 0, nil); err != syscall.EINTR {
			if err != nil {
				t.Fatal("wait: ", err)
			}
			return status.ExitStatus()
		}
	}
}

// TestWorkloadThatReaps checks that PID 1 does not reap the descendants of a child subreaper.
func TestWorkloadThatReaps(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	treeGuest.addTo(t, &cfg)
	wantConsole(t, run(t, cfg, 0), passed)
}

// orphansGuest creates orphans as fast as it can, and checks that PID 1 reaps them and that its
// memory use does not grow.
var orphansGuest = inGuest("orphans", func(t *testing.T) {
	const orphans, rounds, limit = 5000, 10, 100 // kB
	leave := func(count int) {
		// The orphans may exit before or after their parent.
		cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do : & i=$((i+1)); done", count))
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	}
	leave(100) // PID 1 allocates what it needs only once
	waitUntilReaped(t)
	before := memoryOfInit(t)
	start := time.Now()
	for range rounds {
		leave(orphans / rounds)
	}
	waitUntilReaped(t)
	t.Logf("%d orphans in %v, memory of PID 1 %d kB, before %d kB", orphans, time.Since(start), memoryOfInit(t), before)
	if after := memoryOfInit(t); after > before+limit {
		t.Errorf("memory of PID 1 = %d kB, before %d kB, want at most %d kB more", after, before, limit)
	}
})

// waitUntilReaped waits until PID 1 has no children except this process.
func waitUntilReaped(t *testing.T) {
	t.Helper()
	for {
		children, err := os.ReadFile("/proc/1/task/1/children")
		if errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if len(strings.Fields(string(children))) <= 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// memoryOfInit returns the anonymous memory of PID 1, in kB.
func memoryOfInit(t *testing.T) (kB int) {
	t.Helper()
	status, err := os.ReadFile("/proc/1/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("\nRssAnon:"))
	if _, err := fmt.Sscan(string(rest), &kB); err != nil {
		t.Fatal(err)
	}
	return kB
}

// TestManyOrphans runs orphansGuest as the workload.
func TestManyOrphans(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	orphansGuest.addTo(t, &cfg)
	cfg.Deadline = 3 * time.Minute // a busy host
	wantConsole(t, run(t, cfg, 0), passed)
}
