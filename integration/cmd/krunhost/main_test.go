package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/guestroot"
)

// runVariable is the environment variable that makes the test binary behave as krunhost.
const runVariable = "KRUNHOST_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runVariable) != "" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// krunhost returns a command that runs krunhost with libkrun's init. The command has a directory of
// its own for temporary files, which must be empty at the end of the test.
func krunhost(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	peer, err := guestkernel.PeerInit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	t.Cleanup(func() {
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("temporary files at the end = %v, %v, want none", left, err)
		}
	})
	args = append([]string{"--arch", "amd64", "--init", peer, "--timeout", "60s"}, args...)
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), runVariable+"=1", "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

func TestPipes(t *testing.T) {
	dir := t.TempDir()
	hello := filepath.Join(dir, "hello")
	if err := os.WriteFile(hello, []byte("hello\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	const script = `cat; cat /hello; echo "$A:$0:$1"; echo problem >&2
echo 1 >/dev/vport0p1; echo 2 >/dev/vport0p2; exit 7`
	cmd := krunhost(t, "--file", "/hello="+hello, "--env", "A=b c",
		"--port", "extra="+filepath.Join(dir, "extra"), "--port", "lines",
		"--", "/bin/sh", "-c", script, "two words", "$0")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("in\r\n\x04put"), &stdout, &stderr
	if got := exitCode(t, cmd.Run()); got != 7 {
		t.Errorf("exit code = %d, want 7", got)
	}
	if got, want := stdout.String(), "in\r\n\x04puthello\nb c:two words:$0\n"; got != want {
		t.Errorf("standard output = %q, want %q", got, want)
	}
	// The order of output from different ports is not defined.
	lines := slices.Sorted(strings.Lines(stderr.String()))
	if want := []string{"lines: 2\n", "problem\n"}; !slices.Equal(lines, want) {
		t.Errorf("sorted lines of standard error = %q, want %q", lines, want)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "extra")); string(got) != "1\n" {
		t.Errorf("output of port extra = %q, %v, want %q", got, err, "1\n")
	}
}

// TestDisksAndShares has a guest that copies data from a disk to a shared directory.
func TestDisksAndShares(t *testing.T) {
	disk, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	if err := os.WriteFile(disk, append([]byte("contents\n"), make([]byte, 4096)...), 0o444); err != nil {
		t.Fatal(err)
	}
	cmd := krunhost(t, "--disk", disk+":ro", "--share", "dir="+dir, "--",
		"/bin/sh", "-c", "mount -t virtiofs dir /mnt && head -n 1 /dev/vda >/mnt/file")
	if got := exitCode(t, cmd.Run()); got != 0 {
		t.Errorf("exit code = %d, want 0", got)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "file")); string(got) != "contents\n" {
		t.Errorf("file in the share = %q, %v, want %q", got, err, "contents\n")
	}
}

func TestHostFailures(t *testing.T) {
	for _, tt := range []struct {
		args   string
		stderr string
	}{
		{"--bogus", "krunhost: flag provided but not defined: -bogus\nTry: krunhost --help\n"},
		{"--root /nonexistent", "/nonexistent"},
		{"--share t=/nonexistent", "krunhost: share t: "},
		{"--disk /nonexistent", "/nonexistent"},
		{"--config /nonexistent", "krunhost: --config: open /nonexistent: no such file or directory\n"},
		{"--file /a=/nonexistent", "krunhost: --file: stat /nonexistent: no such file or directory\n"},
		{"--arch riscv64", `"riscv64"`},
		{"--env KRUN_A.B=c", "kernel command line"},
		{"--timeout 1ms", "deadline"},
		{"--init /bin/true --env KRUN_X=y",
			"krunhost: the guest stopped without an exit code " +
				"(option -v shows the kernel's messages)\n"},
	} {
		cmd := krunhost(t, strings.Fields(tt.args)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if got := exitCode(t, cmd.Run()); got != exitHost || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("krunhost %s = %d with standard error %q, want %d with %q",
				tt.args, got, stderr.String(), exitHost, tt.stderr)
		}
	}
}

func TestClosedOutput(t *testing.T) {
	cmd := krunhost(t, "--", "/bin/sh", "-c", "yes")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	stdout.Close()
	if got, want := exitCode(t, cmd.Wait()), 128+int(syscall.SIGPIPE); got != want {
		t.Errorf("exit code = %d, want %d", got, want)
	}
}

// TestKilled checks that QEMU ends when krunhost is killed.
func TestKilled(t *testing.T) {
	root := t.TempDir()
	if err := guestroot.Create(t.Context(), "amd64", root); err != nil {
		t.Fatal(err)
	}
	cmd := krunhost(t, "--root", root, "--", "/bin/sh", "-c", "echo ready; sleep 1000")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("ready"))); err != nil {
		t.Error(err)
	}
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var qemu string
	for _, list := range lists {
		b, _ := os.ReadFile(list) // fails if the thread has ended
		qemu += strings.TrimSpace(string(b))
	}
	name, err := os.ReadFile("/proc/" + qemu + "/comm")
	if !strings.HasPrefix(string(name), "qemu-system") {
		t.Fatalf("name of krunhost's child, process %q, = %q, %v, want qemu-system...",
			qemu, name, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// The link does not exist for a zombie.
		if _, err := os.Readlink("/proc/" + qemu + "/exe"); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("QEMU, process %s, runs after krunhost was killed", qemu)
		}
	}
}

func TestTerminal(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*exec.Cmd, *os.File) error // ends the shell in the guest
		want int
	}{
		{"exit", func(_ *exec.Cmd, terminal *os.File) error {
			_, err := terminal.WriteString("exit 4\n")
			return err
		}, 4},
		{"escape", func(_ *exec.Cmd, terminal *os.File) error {
			_, err := terminal.Write([]byte{escapeCharacter})
			return err
		}, exitHost},
		// libkrun's init ignores the power key. The second signal kills the machine.
		{"signal", func(cmd *exec.Cmd, terminal *os.File) error {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				return err
			}
			expect(t, terminal, "another signal kills it\r\n")
			return cmd.Process.Signal(syscall.SIGTERM)
		}, 128 + int(syscall.SIGTERM)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, theirs := openTerminal(t)
			before := termios(t, theirs)
			cmd := krunhost(t, "--", "/bin/sh")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
			cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			expect(t, ours, "# ")
			if _, err := ours.WriteString("echo $((40 + 2))\n"); err != nil {
				t.Fatal(err)
			}
			expect(t, ours, "\n42\r\n")
			if raw := termios(t, theirs); raw.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
				t.Errorf("local modes of the terminal = %#x, want raw mode", raw.Lflag)
			}
			if err := tt.end(cmd, ours); err != nil {
				t.Fatal(err)
			}
			if got := exitCode(t, cmd.Wait()); got != tt.want {
				t.Errorf("exit code = %d, want %d", got, tt.want)
			}
			if after := termios(t, theirs); after != before {
				t.Errorf("modes of the terminal at the end = %+v, want %+v", after, before)
			}
		})
	}
}

// openTerminal returns both ends of a new pseudo-terminal.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { ours.Close() })
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	return ours, theirs
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *state
}

// expect reads from r until the data ends with text. It fails the test if that takes too long.
func expect(t *testing.T, r *os.File, text string) {
	t.Helper()
	var got []byte
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, 1)
		for !bytes.HasSuffix(got, []byte(text)) {
			n, err := r.Read(buf)
			if err != nil {
				done <- err
				return
			}
			got = append(got, buf[:n]...)
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("output of the terminal = %q, %v, want %q", got, err, text)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("output of the terminal does not contain %q", text)
	}
}
