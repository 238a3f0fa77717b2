package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// kill sends a signal: kill [-s SIGNAL | -SIGNAL] {PID | %JOB}..., or lists signals: kill -l. It is
// a builtin because programs do not know the shell's jobs.
func (s *shell) kill(hc interp.HandlerContext, args []string) error {
	fail := func(format string, a ...any) error {
		fmt.Fprintf(hc.Stderr, "%s: kill: %s\n", s.name, fmt.Sprintf(format, a...))
		return interp.ExitStatus(1)
	}
	sig := syscall.SIGTERM
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		name := args[0][1:]
		args = args[1:]
		if (name == "s" || name == "n") && len(args) > 0 {
			name, args = args[0], args[1:]
		}
		number, ok := signalNumber(name)
		switch {
		case name == "l":
			listSignals(hc.Stdout, args)
			return nil
		case name == "-":
		case !ok:
			return fail("%s: no such signal", name)
		default:
			sig = number
		}
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return fail("usage: kill [-s SIGNAL | -SIGNAL] {PID | %%JOB}...")
	}
	var result error
	for _, arg := range args {
		target := arg
		if number, ok := strings.CutPrefix(arg, "%"); ok {
			target = s.jobs.pid(number)
		}
		pid, err := strconv.Atoi(target)
		switch {
		case strings.HasPrefix(target, "%"):
			result = fail("%s: no such job", arg)
		case err != nil:
			result = fail("%s: want the PID of a process", arg)
		default:
			if err := unix.Kill(pid, sig); err != nil {
				result = fail("%s: %v", arg, err)
			} else if pid == os.Getpid() {
				s.traps.await(sig)
			}
		}
	}
	return result
}

// signalNumber returns the signal that a name, with or without SIG, or a number stands for.
func signalNumber(text string) (syscall.Signal, bool) {
	if number, err := strconv.Atoi(text); err == nil {
		return syscall.Signal(number), number >= 0 && number <= 64
	}
	sig := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG"))
	return sig, sig != 0
}

// signalName returns the name of a signal, without SIG.
func signalName(sig syscall.Signal) string {
	return strings.TrimPrefix(unix.SignalName(sig), "SIG")
}

// listSignals prints the names of all signals, or those of signals or exit codes.
func listSignals(w io.Writer, numbers []string) {
	for _, text := range numbers {
		if number, err := strconv.Atoi(text); err == nil {
			fmt.Fprintln(w, signalName(syscall.Signal(number&^exitSignal)))
		} else if sig, ok := signalNumber(text); ok {
			fmt.Fprintln(w, int(sig))
		}
	}
	if len(numbers) > 0 {
		return
	}
	for sig := syscall.Signal(1); signalName(sig) != ""; sig++ {
		fmt.Fprintf(w, "%2d %s\n", sig, signalName(sig))
	}
}
