package exec

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/rlimit"
	"github.com/krunbox/krunbox/pkg/signals"
)

// The programs that tests start are shell scripts; what they print comes back through a file.
func output(t *testing.T) (*os.File, func() string) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, func() string {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

// wait waits for a child without looking at others.
func wait(t *testing.T, pid int) unix.WaitStatus {
	t.Helper()
	var ws unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &ws, 0, nil); err == nil {
			return ws
		} else if err != unix.EINTR {
			t.Fatal(err)
		}
	}
}

func TestStartState(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to change its identity")
	}
	out, text := output(t)
	if err := out.Chmod(0o666); err != nil {
		t.Fatal(err)
	}
	left, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // no O_CLOEXEC: somebody left it open
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(left)
	umask := uint32(0o027)
	spec := Spec{
		Args: []string{"sh", "-c", `
			grep -E '^(Uid|Gid|Groups|Umask|SigBlk|SigIgn)' /proc/self/status
			awk '/open files/ {print "nofile", $4, $5}; /core file/ {print "core", $5, $6}' /proc/self/limits
			set -- $(cat /proc/$$/stat); test $1 = $6 && echo leader
			ls /proc/$$/fd | tr '\n' ' '; printf '%s|%s' "$A" "$1"`, "zero", "one"},
		Env:         []string{"A=a b", "PATH=/usr/bin:/bin"},
		User:        &User{UID: 1234, GID: 2345, AdditionalGIDs: []uint32{7, 9}, Umask: &umask},
		Limits:      []rlimit.Limit{{Resource: unix.RLIMIT_CORE, Soft: 1, Hard: rlimit.Infinity}, {Resource: unix.RLIMIT_AS, Soft: 1 << 30, Hard: 1 << 30}},
		Wanted:      []rlimit.Limit{{Resource: unix.RLIMIT_NOFILE, Soft: 99, Hard: 111}, {Resource: unix.RLIMIT_CORE, Soft: 5, Hard: 5}},
		Streams:     [3]int{0, int(out.Fd()), int(out.Fd())},
		NewSession:  true,
		CloseOthers: true,
	}
	pid, err := spec.Start()
	if err != nil {
		t.Fatal(err)
	}
	if ws := wait(t, pid); ws != 0 {
		t.Errorf("status = %#x, want 0", ws)
	}
	got := strings.Join(strings.Fields(text()), " ")
	for _, want := range []string{
		"Uid: 1234 1234 1234 1234", "Gid: 2345 2345 2345 2345", "Groups: 7 9", "Umask: 0027",
		"SigBlk: 0000000000000000", "nofile 99 111", "core 1 unlimited", "leader", "0 1 2", "a b|",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the program's state lacks %q:\n%s", want, text())
		}
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	elf := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 11) + "\xb7\x00" + strings.Repeat("\x00", 44)
	file("nox", "#!/bin/sh\n", 0o644)
	limit := []rlimit.Limit{{Resource: unix.RLIMIT_NOFILE, Soft: 1, Hard: 1 << 40}} // above fs.nr_open
	for _, c := range []struct {
		name string
		spec Spec
		code int
		err  error
		want string
	}{
		{"nothing", Spec{}, 127, nil, "no program given"},
		{"empty name", Spec{Args: []string{""}}, 127, unix.ENOENT, `execute ""`},
		{"missing", Spec{Args: []string{dir + "/missing"}}, 127, unix.ENOENT, "no such file"},
		{"not in PATH", Spec{Args: []string{"nosuch"}, Env: []string{"PATH=/bin:" + dir}}, 127, unix.ENOENT, "not in PATH (/bin:" + dir + ")"},
		{"missing interpreter", Spec{Args: []string{file("interp", "#! /no/such -x\n", 0o755)}}, 127, unix.ENOENT, "its interpreter /no/such does not"},
		{"directory", Spec{Args: []string{dir}}, 126, unix.EACCES, "is a directory"},
		{"no x bit", Spec{Args: []string{dir + "/nox"}}, 126, unix.EACCES, "has no execute permission (mode 0644)"},
		{"no x bit in PATH", Spec{Args: []string{"nox"}, Env: []string{"PATH=" + dir + ":/bin"}}, 126, unix.EACCES, dir + "/nox has no execute permission"},
		{"other machine", Spec{Args: []string{file("elf", elf, 0o755)}}, 126, unix.ENOEXEC, "is a program for arm64"},
		{"garbage", Spec{Args: []string{file("garbage", "\x00\x01\x02", 0o755)}}, 126, unix.ENOEXEC, "neither a program nor a script"},
		{"NUL in an argument", Spec{Args: []string{"sh", "a\x00b"}}, 125, nil, `execute "sh"`},
		{"limit", Spec{Args: []string{"true"}, Limits: limit}, 125, unix.EPERM, "set RLIMIT_NOFILE=1:1099511627776"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spec.Streams = [3]int{0, 1, 2}
			_, err := c.spec.Start()
			if err == nil {
				t.Fatal("Start() = nil, want an error")
			}
			if got := ExitCode(err); got != c.code {
				t.Errorf("ExitCode(%v) = %d, want %d", err, got, c.code)
			}
			if c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("Start() = %v, want it to wrap %v", err, c.err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("Start() = %v, want it to say %q", err, c.want)
			}
		})
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("children that could not start are left: wait4 = %v, want ECHILD", err)
	}
}

// A file without an executable format is a script for the shell, as in execvp(3).
func TestStartScript(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/my-script", []byte("echo \"$0 $*\"; exit 5\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, text := output(t)
	spec := Spec{Args: []string{"my-script", "a", "b c"}, Env: []string{"PATH=/bin:" + dir}, Streams: [3]int{0, int(out.Fd()), 2}}
	pid, err := spec.Start()
	if err != nil {
		t.Fatal(err)
	}
	if ws := wait(t, pid); ws.ExitStatus() != 5 {
		t.Errorf("exit status = %d, want 5", ws.ExitStatus())
	}
	if want := dir + "/my-script a b c\n"; text() != want {
		t.Errorf("output = %q, want %q", text(), want)
	}
}

// Without a shell it is a file that was found and can't be executed.
func TestStartScriptWithoutShell(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		script := dir + "/my-script"
		if err := os.WriteFile(script, []byte("echo\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", "/bin", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		_, err := (&Spec{Args: []string{script}, Streams: [3]int{0, 1, 2}}).Start()
		if ExitCode(err) != 126 || !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), script+" is a script without #!, and /bin/sh can't run it") {
			t.Errorf("Start() = %v with code %d, want 126, the script and the shell", err, ExitCode(err))
		}
	})
}

// Supervise takes the child's status and no other, whatever else ends in the meantime, and leaves no zombie.
func TestSuperviseReaps(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		// The middle shells end at once, their children are orphans. /proc has them until they are reaped.
		const script = `for i in $(seq 100); do sh -c '(exit 3) & (exit 4) &'; done
			for i in $(seq 1000); do test $(ls -d /proc/[0-9]* | wc -l) -le 6 && exit 42; done; ls -d /proc/[0-9]* | wc -l`
		spec := Spec{Args: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Streams: [3]int{0, 1, 2}}
		source, err := signals.Open(Handled()...)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := spec.Start()
		if err != nil {
			t.Fatal(err)
		}
		var task ticker
		ws, err := Supervise(pid, source, &loop.Loop{Tasks: []loop.Task{&task}})
		if err != nil || ws.ExitStatus() != 42 {
			t.Errorf("Supervise() = status %d, %v, want 42", ws.ExitStatus(), err)
		}
		if task.runs == 0 {
			t.Error("the task was not run")
		}
		if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
			t.Errorf("wait4 after Supervise = %v, want ECHILD: zombies are left", err)
		}
	})
}

// ticker is a task that runs every millisecond.
type ticker struct{ runs int }

func (*ticker) Poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) { return fds, time.Millisecond }

func (t *ticker) Run() { t.runs++ }

func TestExec(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		// A failed Exec leaves this process as it was: limits, identity, and threads that can go on.
		var before, after unix.Rlimit
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &before); err != nil {
			t.Fatal(err)
		}
		spec := Spec{Args: []string{"/no/such"}, User: &User{UID: 7, GID: 7}, NewSession: true, Streams: [3]int{0, 1, 2},
			Limits: []rlimit.Limit{{Resource: unix.RLIMIT_NOFILE, Soft: 3, Hard: before.Max}}}
		if err := spec.Exec(); ExitCode(err) != 127 {
			t.Errorf("Exec() = %v with code %d, want 127", err, ExitCode(err))
		}
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &after); err != nil || before != after {
			t.Errorf("open files after a failed Exec = %v, %v, want %v", after, err, before)
		}
		if uid := unix.Getuid(); uid != 0 {
			t.Errorf("uid after a failed Exec = %d, want 0", uid)
		}
		// This one succeeds, and its exit status is that of the test.
		script := `test $$ = 1 || { echo "process $$, want 1"; exit 1; }
			test "$(cat /proc/1/comm)" = sh && grep -q '^SigBlk:.0*$' /proc/self/status && echo PASS`
		spec = Spec{Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Streams: [3]int{0, 1, 2}}
		t.Error(spec.Exec())
	})
}
