// Redirect-stdio runs a command on the virtio ports that a libkrun host serves as its standard
// streams.
//
// Synopsis:
//
//	redirect-stdio [--] CMD [ARG...]
//	redirect-stdio
//
// Description:
//
// The ports krun-stdin, krun-stdout and krun-stderr, as far as they exist, replace standard input,
// output and error of CMD. CMD gets pipes; redirect-stdio moves the bytes between these and the
// ports, passes signals on to CMD, except for those that a terminal sends to both, and ends when CMD
// has ended and the host has taken its output. Without CMD the named ports are listed, with the
// streams that they replace.
//
// The exit code is that of CMD, 128+N if signal N killed it; 127 if it is not found, 126 if it cannot
// be executed, 125 if there are no virtio ports.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/stdio"
)

const usage = `usage: redirect-stdio [--] CMD [ARG...]
       redirect-stdio
Run CMD on the virtio ports krun-stdin, krun-stdout and krun-stderr; without CMD, list the ports and
the streams they replace.
Examples:
  redirect-stdio sort -u
  redirect-stdio -- sh -c 'cat >/tmp/in; echo done >&2'
`

func main() { os.Exit(run(os.Args, os.Environ(), stdio.ClassDir, os.Stdout, os.Stderr)) }

func run(args, env []string, classDir string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("redirect-stdio", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	resumed := flags.Bool("resume", false, "") // an option of init: standard input has the state
	err := flags.Parse(args[min(1, len(args)):])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	var ports []stdio.Port
	if err == nil && !*resumed {
		ports, err = stdio.Ports(classDir)
	}
	code := 0
	switch {
	case err != nil:
	case *resumed:
		err = resume(os.Stdin)
	case flags.NArg() == 0:
		err = list(stdout, ports)
	default:
		code, err = execute(flags.Args(), env, classDir, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "redirect-stdio:", boot.Line(err))
		return exec.ExitCode(err)
	}
	return code
}

// list prints a line for each port.
func list(w io.Writer, ports []stdio.Port) error {
	var text []byte
	for _, p := range ports {
		replaces := "-"
		if s := p.Stream(); s >= 0 {
			replaces = [...]string{"stdin", "stdout", "stderr"}[s]
		}
		text = fmt.Appendf(text, "%-16s %-24s %s\n", p.Device, p.Name, replaces)
	}
	if len(ports) == 0 {
		text = []byte("no port has a name\n")
	}
	_, err := w.Write(text)
	return err
}

// outputLimit is how long to wait until the host has taken the output of a command that has ended.
const outputLimit = time.Minute

// execute runs a command on the ports and returns its exit code. A port that cannot be opened is
// reported and skipped.
func execute(args, env []string, classDir string, stderr io.Writer) (code int, err error) {
	warn := func(err error) { fmt.Fprintln(stderr, "redirect-stdio: warning:", boot.Line(err)) }
	streams, relay := stdio.Inherited(), &stdio.Relay{}
	redirect := stdio.Redirect{ClassDir: classDir, Streams: streams, Relay: relay}
	if err := redirect.Do(); err != nil {
		warn(err)
	}
	// SIGINT and SIGQUIT of a terminal reach the command by themselves.
	signals, err := loop.NotifySignals(unix.SIGCHLD, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM,
		unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2)
	if err != nil {
		return 0, err
	}
	defer signals.Close()
	spec := exec.Spec{Process: specs.Process{Args: args, Env: env}, Streams: *streams}
	pid, err := spec.Start()
	if err != nil {
		return 0, err
	}
	_ = stdio.Close{Streams: streams}.Do()
	status, err := wait(pid, signals, &loop.Loop{Tasks: []loop.Task{relay}, Warn: warn})
	if err != nil {
		return 0, err
	}
	if err := (stdio.Drain{Relay: relay, Signals: signals, Limit: outputLimit}).Do(); err != nil {
		warn(err)
	}
	return poweroff.Code(status), nil
}

// wait runs tasks and passes signals on to a child until it ends.
func wait(pid int, signals *loop.Signals, tasks *loop.Loop) (status unix.WaitStatus, err error) {
	for {
		ended, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		if ended == pid {
			return status, nil
		}
		if err != nil && err != unix.EINTR {
			return status, fmt.Errorf("wait for the command: %w", err)
		}
		if _, err := tasks.Step(signals.FD(), loop.Forever); err != nil {
			return status, err
		}
		for sig := signals.Next(); sig != 0; sig = signals.Next() {
			if sig != unix.SIGCHLD && sig != unix.SIGINT && sig != unix.SIGQUIT {
				_ = unix.Kill(pid, sig)
			}
		}
	}
}

// resume relays the streams of a workload that has become process 1, until it has closed them. It
// does not end at signals: processes that are stopped by them may still write.
func resume(stdin io.ReadCloser) error {
	// This process was executed from a descriptor, after which the kernel has named it.
	_ = os.WriteFile("/proc/self/comm", []byte("redirect-stdio"), 0)
	state := make([]byte, 4096)
	n, err := stdin.Read(state)
	if err != nil {
		return err
	}
	var relay stdio.Relay
	if err := relay.Resume(state[:n]); err != nil {
		return err
	}
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT)
	// The machine ends with the workload. A real-time process gets the processor before a write of
	// the workload returns.
	runtime.LockOSThread()
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	_ = unix.SchedSetAttr(0, &attr, 0)
	stdin.Close() // ready
	tasks := loop.Loop{Tasks: []loop.Task{&relay}}
	for !relay.Idle() && len(tasks.Tasks) > 0 {
		if _, err := tasks.Step(-1, loop.Forever); err != nil {
			return err
		}
	}
	return nil
}
