package exec

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/oci"
)

// output returns a file for the output of a program, and a function that returns its contents.
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

// wait waits for one child.
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
	left, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(left)
	spec := Spec{
		Process: specs.Process{
			Args: []string{"sh", "-c", `
				grep -E '^(Uid|Gid|Groups|Umask)' /proc/self/status
				awk '/open files/ {print "nofile", $4, $5}
					/core file/ {print "core", $5, $6}' /proc/self/limits
				set -- $(cat /proc/$$/stat); test $1 = $6 && echo leader
				ls /proc/$$/fd | tr '\n' ' '; printf '%s|%s' "$A" "$1"`, "zero", "one"},
			Env: []string{"A=a b", "PATH=/usr/bin:/bin"},
			User: specs.User{
				UID: 1234, GID: 2345, AdditionalGids: []uint32{7, 9}, Umask: new(uint32(0o027)),
			},
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_CORE", Soft: 1, Hard: oci.Unlimited},
				{Type: "RLIMIT_AS", Soft: 1 << 30, Hard: 1 << 30},
			},
		},
		SetUser: true,
		DefaultRlimits: []specs.POSIXRlimit{
			{Type: "RLIMIT_NOFILE", Soft: 99, Hard: 111},
			{Type: "RLIMIT_CORE", Soft: 5, Hard: 5},
			{Type: "RLIMIT_FSIZE", Soft: oci.Unlimited, Hard: oci.Unlimited},
		},
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
		"nofile 99 111", "core 1 unlimited", "leader", "0 1 2", "a b|",
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
	elf := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 11) + "\xb7" + strings.Repeat("\x00", 45)
	file("nox", "#!/bin/sh\n", 0o644)
	program := func(args ...string) specs.Process { return specs.Process{Args: args} }
	limited := func(limit specs.POSIXRlimit) specs.Process {
		return specs.Process{Args: []string{"true"}, Rlimits: []specs.POSIXRlimit{limit}}
	}
	for _, c := range []struct {
		name string
		in   specs.Process
		code int
		err  error
		want string
	}{
		{"nothing", specs.Process{}, 127, nil, "no program given"},
		{"empty name", program(""), 127, unix.ENOENT, `execute ""`},
		{"missing", program(dir + "/missing"), 127, unix.ENOENT, "no such file"},
		{"not in PATH", specs.Process{Args: []string{"nosuch"}, Env: []string{"PATH=/bin:" + dir}},
			127, unix.ENOENT, "not in PATH (/bin:" + dir + ")"},
		{"missing interpreter", program(file("interp", "#! /no/such -x\n", 0o755)),
			127, unix.ENOENT, "its interpreter /no/such does not"},
		{"missing interpreter in PATH",
			specs.Process{Args: []string{"interp"}, Env: []string{"PATH=/bin:" + dir + ":/usr/bin"}},
			127, unix.ENOENT, dir + "/interp exists, but its interpreter /no/such does not"},
		{"file in PATH", specs.Process{Args: []string{"nosuch"}, Env: []string{"PATH=/bin:" + dir + "/nox:/"}},
			127, unix.ENOENT, "not in PATH (/bin:" + dir + "/nox:/)"},
		{"directory", program(dir), 126, unix.EACCES, "is a directory"},
		{"no x bit", program(dir + "/nox"),
			126, unix.EACCES, "has no execute permission (mode 0644)"},
		{"no x bit in PATH",
			specs.Process{Args: []string{"nox"}, Env: []string{"PATH=" + dir + ":/"}},
			126, unix.EACCES, dir + "/nox has no execute permission"},
		{"other machine", program(file("elf", elf, 0o755)),
			126, unix.ENOEXEC, "is a program for arm64"},
		{"garbage", program(file("garbage", "\x00\x01\x02", 0o755)),
			126, unix.ENOEXEC, "neither a program nor a script"},
		{"NUL in an argument", program("sh", "a\x00b"), 125, nil, `execute "sh": NUL byte`},
		{"NUL in the environment", specs.Process{Args: []string{"sh"}, Env: []string{"A=\x00"}},
			125, nil, `execute "sh": NUL byte`},
		{"limit", limited(specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 1, Hard: 1 << 40}),
			125, unix.EPERM, "set RLIMIT_NOFILE=1:1099511627776"}, // above fs.nr_open
		{"unknown limit", limited(specs.POSIXRlimit{Type: "RLIMIT_X"}),
			125, nil, `set RLIMIT_X=0:0: Linux has no resource "RLIMIT_X"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := (&Spec{Process: c.in}).Start()
			if err == nil || ExitCode(err) != c.code || c.err != nil && !errors.Is(err, c.err) ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("Start() = %v with code %d, want ...%s... with code %d, wrapping %v",
					err, ExitCode(err), c.want, c.code, c.err)
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
	script := []byte("echo \"$0 $*\"; exit 5\n")
	if err := os.WriteFile(dir+"/my-script", script, 0o755); err != nil {
		t.Fatal(err)
	}
	out, text := output(t)
	spec := Spec{
		Process: specs.Process{
			Args: []string{"my-script", "a", "b c"},
			Env:  []string{"PATH=/bin:" + dir},
		},
		Streams: [3]int{1: int(out.Fd())},
	}
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

// Without a shell, a script is a file that was found and can't be executed.
func TestStartScriptWithoutShell(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		script := dir + "/my-script"
		if err := os.WriteFile(script, []byte("echo\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", "/bin", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		_, err := (&Spec{Process: specs.Process{Args: []string{script}}}).Start()
		want := script + " is a script without #!, and /bin/sh can't run it"
		if ExitCode(err) != 126 || !errors.Is(err, unix.ENOENT) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("Start() = %v with code %d, want 126 and %s", err, ExitCode(err), want)
		}
	})
}

func TestExec(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		// A failed Exec leaves this process as it was: limits, identity, and threads that can go
		// on.
		resetOpenFileLimit()
		var before, after unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
		spec := Spec{
			Process: specs.Process{
				Args:    []string{"/no/such"},
				User:    specs.User{UID: 7, GID: 7},
				Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 3, Hard: before.Max}},
			},
			SetUser:    true,
			NewSession: true,
		}
		if err := spec.Exec(); ExitCode(err) != 127 {
			t.Errorf("Exec() = %v with code %d, want 127", err, ExitCode(err))
		}
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &after); err != nil || before != after {
			t.Errorf("open files after a failed Exec = %v, %v, want %v", after, err, before)
		}
		if uid := unix.Getuid(); uid != 0 {
			t.Errorf("uid after a failed Exec = %d, want 0", uid)
		}
		// This one succeeds, and its exit status is that of the test.
		spec = Spec{Process: specs.Process{
			Args: []string{"sh", "-c", `test $$ = 1 || { echo "process $$, want 1"; exit 1; }
				test "$(cat /proc/1/comm)" = sh || exit
				grep -q '^SigBlk:.0*$' /proc/self/status && echo PASS`},
			Env: []string{"PATH=/usr/bin:/bin"},
		}}
		t.Error(spec.Exec())
	})
}

// Exec allocates no memory once the limits of the program are set.
func TestExecLowLimits(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		spec := Spec{Process: specs.Process{
			Args: []string{"sh", "-c", "exit"},
			Env:  []string{"PATH=/a:/b:/c:/d:/usr/bin:/bin"},
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_AS", Soft: 64 << 20, Hard: 64 << 20},
				{Type: "RLIMIT_DATA", Soft: 1 << 20, Hard: 1 << 20},
			},
		}}
		for i := range 5000 {
			spec.Process.Env = append(spec.Process.Env, fmt.Sprintf("V%d=%0100d", i, i))
		}
		t.Error(spec.Exec())
	})
}

// A program starts with default dispositions and an empty mask, whatever this process does with
// signals.
func TestStartSignals(t *testing.T) {
	signal.Notify(make(chan os.Signal, 1), unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.Signal(40))
	signal.Ignore(unix.SIGUSR2, unix.SIGINT, unix.SIGPIPE, unix.Signal(50))
	defer signal.Reset()
	runtime.LockOSThread() // Start runs on a thread that blocks signals
	defer runtime.UnlockOSThread()
	blocked := sigset{1<<(unix.SIGTERM-1) | 1<<(unix.SIGALRM-1)}
	defer setSignalMask(setSignalMask(blocked))

	out, text := output(t)
	spec := Spec{
		Process: specs.Process{Args: []string{"/bin/grep", "^Sig[BI]", "/proc/self/status"}},
		Streams: [3]int{1: int(out.Fd())},
	}
	pid, err := spec.Start()
	if err != nil {
		t.Fatal(err)
	}
	wait(t, pid)
	want := "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
	if got := text(); got != want {
		t.Errorf("signals of the program = %s, want %s", got, want)
	}
	if got := setSignalMask(sigset{}); got[0] != blocked[0] {
		t.Errorf("mask of this thread after Start = %#x, want %#x", got[0], blocked[0])
	}
}
