package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/vm"
)

// freePort returns a TCP port of the loopback interface that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	forward := fmt.Sprintf("%d:80", l.Addr().(*net.TCPAddr).Port)
	cmd := krunhost(t, "--publish", forward)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	want := "krunhost: --publish " + forward + ": port "
	code, text := exitCode(t, cmd.Run()), stderr.String()
	if code != exitHost || !strings.HasPrefix(text, want) || strings.Count(text, "\n") != 1 ||
		!strings.Contains(text, "in use: choose another one") {
		t.Errorf("exit code = %d, standard error %q, want %d, %s... in use", code, text, exitHost, want)
	}
}

// stopped runs krunhost with a script, sends it the first signal when the script has printed
// "ready", and the others after it has said that it pressed the power key. It returns the exit code
// and the lines of standard output after ready.
func stopped(t *testing.T, script string, args []string, signals ...syscall.Signal) (int, string) {
	t.Helper()
	cmd := withKrunbox(t, append(args, "--", "/bin/sh", "-c", script)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out, messages := bufio.NewReader(stdout), bufio.NewReader(stderr)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("first line = %q, %v, want ready", line, err)
	}
	for _, sig := range signals {
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if len(signals) > 1 && sig != syscall.SIGQUIT {
			if line, err := messages.ReadString('\n'); !strings.Contains(line, "power key") {
				t.Logf("standard error = %q, %v", line, err)
			}
		}
	}
	var rest, errors bytes.Buffer
	_, _ = rest.ReadFrom(out)
	_, _ = errors.ReadFrom(messages)
	code := exitCode(t, wait(t, cmd))
	t.Logf("standard error = %q", errors.String())
	return code, rest.String()
}

// wait waits for cmd, and fails the test if that takes very long.
func wait(t *testing.T, cmd *exec.Cmd) error {
	t.Helper()
	timer := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	return cmd.Wait()
}

// TestStop sends signals to krunhost. The guest's workload gets its stop signal, however early the
// request comes; a second signal, SIGQUIT and a workload that goes on kill the machine.
func TestStop(t *testing.T) {
	const (
		obeys   = "trap 'echo stopping; exit 4' TERM; echo ready; while :; do usleep 10000; done"
		ignores = "trap '' TERM; echo ready; while :; do usleep 10000; done"
	)
	for _, tt := range []struct {
		name, script string
		args         []string
		signals      []syscall.Signal
		code         int
		output       string
	}{
		{"SIGINT", obeys, nil, []syscall.Signal{syscall.SIGINT}, 4, "stopping\n"},
		{"SIGTERM", obeys, nil, []syscall.Signal{syscall.SIGTERM}, 4, "stopping\n"},
		{"SIGHUP", obeys, nil, []syscall.Signal{syscall.SIGHUP}, 4, "stopping\n"},
		{"ignored", ignores, []string{"--env", "KRUN_STOP_TIMEOUT=1"}, []syscall.Signal{syscall.SIGTERM}, 128 + 9, ""},
		{"twice", ignores, []string{"--env", "KRUN_STOP_TIMEOUT=86400"}, []syscall.Signal{syscall.SIGINT, syscall.SIGINT}, 128 + 2, ""},
		{"SIGQUIT", ignores, nil, []syscall.Signal{syscall.SIGQUIT}, 128 + 3, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, output := stopped(t, tt.script, append(tt.args, "--timeout", "2m"), tt.signals...)
			if code != tt.code || output != tt.output {
				t.Errorf("exit code = %d, output %q, want %d, %q", code, output, tt.code, tt.output)
			}
		})
	}
}

// TestStopWithoutKey sends a signal where devices leave no room for the keyboard of a power key.
func TestStopWithoutKey(t *testing.T) {
	cfg := vm.Config{Arch: "amd64", Shares: make([]vm.Share, vm.MaxDevices)}
	var stderr bytes.Buffer
	ctx, cancel := context.WithCancelCause(t.Context())
	s := &stopper{stderr: &stderr, cancel: cancel, ending: ctx}
	done, err := s.use(&cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	s.receive(syscall.SIGINT)
	const want = "krunhost: interrupt: killed the guest, which has no power key: " +
		"with 5 disks, shares and --net there is no room\n"
	if got := stderr.String(); got != want || context.Cause(ctx) != error(signalError{syscall.SIGINT}) {
		t.Errorf("message %q, cause %v, want %q, %v", got, context.Cause(ctx), want, syscall.SIGINT)
	}
}

// earlyInit is executed by the kernel in place of init. It prints a line on the console, and
// executes init.
const earlyInit = `#!/bin/sh
echo early
exec /real "$@"
`

// TestStopEarly sends a signal before init runs. The workload must get its stop signal nevertheless,
// when it has started.
func TestStopEarly(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := guestroot.Create(t.Context(), "amd64", root); err != nil {
		t.Fatal(err)
	}
	// The kernel looks up the one-shot file of --init, and the shell the one that it hides.
	init := filepath.Join(root, "init.krun")
	if err := os.WriteFile(init, []byte(earlyInit), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := withKrunbox(t, "--root", root, "--init", init, "--file", "/real=../../../build/init.krun", "--timeout", "2m",
		"--env", "KRUN_STOP_TIMEOUT=200", "--",
		"/bin/sh", "-c", "trap 'echo stopping; exit 4' TERM; while :; do usleep 10000; done")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	messages := bufio.NewReader(stderr)
	if line, err := messages.ReadString('\n'); line != "early\n" {
		t.Fatalf("standard error = %q, %v, want early", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var rest bytes.Buffer
	_, _ = rest.ReadFrom(messages)
	if code := exitCode(t, wait(t, cmd)); code != 4 || stdout.String() != "stopping\n" {
		t.Errorf("exit code = %d, output %q, want 4, stopping; standard error %q", code, stdout.String(), rest.String())
	}
}
