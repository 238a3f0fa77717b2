package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// limits are the resources that ulimit knows, by their letters.
var limits = []struct {
	letter   byte
	resource int
	unit     uint64
	text     string
}{
	{'c', unix.RLIMIT_CORE, 512, "core file size (blocks of 512 bytes)"},
	{'d', unix.RLIMIT_DATA, 1024, "data segment (KiB)"},
	{'e', unix.RLIMIT_NICE, 1, "scheduling priority"},
	{'f', unix.RLIMIT_FSIZE, 512, "file size (blocks of 512 bytes)"},
	{'i', unix.RLIMIT_SIGPENDING, 1, "pending signals"},
	{'l', unix.RLIMIT_MEMLOCK, 1024, "locked memory (KiB)"},
	{'m', unix.RLIMIT_RSS, 1024, "resident memory (KiB)"},
	{'n', unix.RLIMIT_NOFILE, 1, "open files"},
	{'q', unix.RLIMIT_MSGQUEUE, 1, "POSIX message queues (bytes)"},
	{'r', unix.RLIMIT_RTPRIO, 1, "real-time priority"},
	{'s', unix.RLIMIT_STACK, 1024, "stack (KiB)"},
	{'t', unix.RLIMIT_CPU, 1, "CPU time (seconds)"},
	{'u', unix.RLIMIT_NPROC, 1, "processes of the user"},
	{'v', unix.RLIMIT_AS, 1024, "virtual memory (KiB)"},
	{'x', unix.RLIMIT_LOCKS, 1, "file locks"},
}

// ulimit prints or sets limits of resources: ulimit [-HS] [-a | -LETTER [LIMIT]].
func ulimit(hc interp.HandlerContext, args []string) error {
	err := errors.New("usage: ulimit [-HS] [-a | -LETTER [LIMIT]]")
	hard, soft, all, at := false, false, false, -1
	for ; len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-'; args = args[1:] {
		for _, letter := range []byte(args[0][1:]) {
			switch letter {
			case 'H':
				hard = true
			case 'S':
				soft = true
			case 'a':
				all = true
			default:
				if at = indexLimit(letter); at < 0 {
					err = fmt.Errorf("unknown option -%c", letter)
					return reportLimit(hc, err)
				}
			}
		}
	}
	switch {
	case len(args) > 1 || all && len(args) > 0:
		return reportLimit(hc, err)
	case all:
		for _, l := range limits {
			value, err := limit(l.resource, hard, l.unit)
			if err != nil {
				return reportLimit(hc, err)
			}
			fmt.Fprintf(hc.Stdout, "-%c %-38s %s\n", l.letter, l.text, value)
		}
		return nil
	}
	if at < 0 {
		at = indexLimit('f')
	}
	l := limits[at]
	if len(args) == 0 {
		value, err := limit(l.resource, hard, l.unit)
		if err == nil {
			fmt.Fprintln(hc.Stdout, value)
		}
		return reportLimit(hc, err)
	}
	return reportLimit(hc, setLimit(l.resource, args[0], hard || !soft, soft || !hard, l.unit))
}

// reportLimit reports an error, and returns the exit status.
func reportLimit(hc interp.HandlerContext, err error) error {
	if err == nil {
		return nil
	}
	fmt.Fprintf(hc.Stderr, "ulimit: %v\n", err)
	return interp.ExitStatus(1)
}

func indexLimit(letter byte) int {
	for i, l := range limits {
		if l.letter == letter {
			return i
		}
	}
	return -1
}

// limit returns a limit, in units.
func limit(resource int, hard bool, unit uint64) (string, error) {
	value, err := getLimit(resource)
	number := value.Cur
	if hard {
		number = value.Max
	}
	if number == unix.RLIM_INFINITY {
		return "unlimited", err
	}
	return strconv.FormatUint(number/unit, 10), err
}

// setLimit sets the limits for this shell, and what it starts.
func setLimit(resource int, text string, hard, soft bool, unit uint64) error {
	value, err := getLimit(resource)
	if err != nil {
		return err
	}
	number := uint64(unix.RLIM_INFINITY)
	switch text {
	case "unlimited":
	case "hard":
		number = value.Max
	case "soft":
		number = value.Cur
	default:
		number, err = strconv.ParseUint(text, 10, 32)
		if err != nil {
			return fmt.Errorf("%q: want a number, or unlimited", text)
		}
		number *= unit
	}
	if soft {
		value.Cur = number
	}
	if hard {
		value.Max = number
	}
	// Package syscall passes on only a limit that it has set itself: see getLimit.
	if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: value.Cur, Max: value.Max}); err != nil {
		return fmt.Errorf("set to %s: %w", text, err)
	}
	return nil
}

// getLimit returns the limits that commands get. For open files, they are not those of this process:
// package syscall raises its soft limit at the start, and undoes that in processes that it starts,
// until Setrlimit is called. So the limit is read from such a process, before it runs.
func getLimit(resource int) (unix.Rlimit, error) {
	var value unix.Rlimit
	if resource != unix.RLIMIT_NOFILE {
		return value, unix.Getrlimit(resource, &value)
	}
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	cmd := &exec.Cmd{Path: "/proc/self/exe", SysProcAttr: &syscall.SysProcAttr{Ptrace: true}}
	if err := cmd.Start(); err != nil {
		return value, err
	}
	defer func() {
		_ = cmd.Process.Signal(os.Kill)
		_ = cmd.Wait()
	}()
	if _, err := unix.Wait4(cmd.Process.Pid, nil, 0, nil); err != nil { // for execve(2)
		return value, fmt.Errorf("wait: %w", err)
	}
	return value, unix.Prlimit(cmd.Process.Pid, resource, nil, &value)
}
