package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// call decides what a simple command calls: see interp.CallHandlerFunc.
func (s *shell) call(ctx context.Context, args []string) ([]string, error) {
	if !strings.HasPrefix(args[0], internal) {
		if commands := s.traps.due(); commands != "" {
			return afterTraps(commands, args), nil
		}
	}
	switch args[0] {
	case "echo", "printf":
		// The interpreter does not notice that nobody reads what a builtin writes.
		if isBroken(interp.HandlerCtx(ctx).Stdout) {
			return []string{own, broken}, nil
		}
	case last:
		if s.trapped || !s.isCommand(args[1]) {
			return s.call(ctx, args[1:])
		}
		return append([]string{replace}, args[1:]...), nil
	case "eval":
		return []string{"eval", renamed(strings.Join(args[1:], " "))}, nil
	case "jobs", "kill", "trap", "ulimit", "umask", "wait":
		if s.runner.Funcs[args[0]] == nil {
			s.trapped = s.trapped || args[0] == "trap"
			return append([]string{own}, args...), nil
		}
	case "set":
		if len(args) == 1 {
			return []string{own, "set"}, nil
		}
	}
	return args, nil
}

// exec runs a program, or a command of the shell that the interpreter does not have.
func (s *shell) exec(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	switch args[0] {
	case spawn:
		return s.spawn(hc, args[1:])
	case replace:
		return s.replace(ctx, hc, args[1:])
	case own:
		return s.own(ctx, hc, args[1:])
	}
	return s.runProgram(ctx, hc, args)
}

// own runs a builtin of this shell.
func (s *shell) own(ctx context.Context, hc interp.HandlerContext, args []string) error {
	switch args[0] {
	case broken:
		code := strconv.Itoa(exitSignal + int(syscall.SIGPIPE))
		return hc.Builtin(ctx, []string{"exit", code})
	case "eval":
		return hc.Builtin(ctx, args)
	case "end":
		return hc.Builtin(ctx, []string{"eval", s.traps.due() + "(exit " + args[1] + ")"})
	case "descriptor":
		fmt.Fprintf(hc.Stderr, "%s: descriptor %s: only 0, 1 and 2 can be redirected\n", s.name, args[1])
		return interp.ExitStatus(1)
	case "export", "readonly", "set":
		printVariables(hc, args[0])
	case "jobs":
		s.jobs.list(hc.Stdout)
	case "kill":
		return s.kill(hc, args[1:])
	case "trap":
		return s.trap(ctx, hc, args[1:])
	case "ulimit":
		return ulimit(hc, args[1:])
	case "umask":
		return umask(hc, args[1:])
	case "wait":
		return s.wait(ctx, hc, args[1:])
	}
	return nil
}

// isBroken reports whether w is a pipe that nobody reads from.
func isBroken(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(file.Fd()), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1 && fds[0].Revents&unix.POLLERR != 0
}

// umask shows or sets the file mode creation mask, in octal.
func umask(hc interp.HandlerContext, args []string) error {
	if len(args) == 0 {
		mask := unix.Umask(0)
		unix.Umask(mask)
		fmt.Fprintf(hc.Stdout, "%04o\n", mask)
		return nil
	}
	mask, err := strconv.ParseUint(args[0], 8, 9)
	if err != nil {
		fmt.Fprintf(hc.Stderr, "umask: %s: want an octal number\n", args[0])
		return interp.ExitStatus(1)
	}
	unix.Umask(int(mask))
	return nil
}

// signalDelay is longer than it takes this process to receive a signal that was also sent to a program.
const signalDelay = 200 * time.Millisecond

// runProgram runs a program and waits for its end.
func (s *shell) runProgram(ctx context.Context, hc interp.HandlerContext, args []string) error {
	cmd, err := s.command(hc, args)
	if err != nil {
		return err
	}
	if err := start(cmd); err != nil {
		return s.notStarted(hc, args[0], err)
	}
	if ctx.Err() != nil { // the terminal's signal came before there was a process to get it
		_ = cmd.Process.Signal(os.Interrupt)
	}
	sig, status := exitStatus(cmd.Wait())
	if s.interactive && sig == syscall.SIGINT {
		select { // Ctrl-C ends the list too, but this process may not have seen its signal yet
		case <-ctx.Done():
		case <-time.After(signalDelay):
		}
	}
	if s.interactive && sig != 0 && sig != syscall.SIGINT && sig != syscall.SIGPIPE {
		fmt.Fprintf(s.stderr, "%s: %v\n", args[0], sig)
	}
	return status
}

// command returns a program that is not started. The error is an exit status, and was reported.
func (s *shell) command(hc interp.HandlerContext, args []string) (*exec.Cmd, error) {
	path, err := interp.LookPathDir(hc.Dir, hc.Env, args[0])
	if err != nil {
		return nil, s.notFound(hc, args[0])
	}
	if strings.Contains(args[0], "/") {
		path = args[0] // a script sees it
	}
	return &exec.Cmd{
		Path: path, Args: args, Env: exported(hc.Env), Dir: hc.Dir,
		Stdin: hc.Stdin, Stdout: hc.Stdout, Stderr: hc.Stderr,
	}, nil
}

// start starts a program. A file that the kernel can't execute is taken for a script without
// "#!".
func start(cmd *exec.Cmd) error {
	again := *cmd
	err := cmd.Start()
	if errors.Is(err, unix.ENOEXEC) {
		script := again.Path
		again.Path, again.Args = "/proc/self/exe", append([]string{"sh", script}, again.Args[1:]...)
		*cmd = again
		err = cmd.Start()
	}
	return err
}

// notFound reports why there is no program called name, and returns the exit status.
func (s *shell) notFound(hc interp.HandlerContext, name string) error {
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(hc.Dir, path)
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return s.notStarted(hc, name, err)
		case info.IsDir():
			return s.notStarted(hc, name, errors.New("is a directory"))
		}
		return s.notStarted(hc, name, fs.ErrPermission)
	}
	fmt.Fprintf(hc.Stderr, "%s: %s: not found\n", s.name, name)
	return interp.ExitStatus(exitNotFound)
}

// notStarted reports why a program does not run, and returns the exit status.
func (s *shell) notStarted(hc interp.HandlerContext, name string, err error) error {
	code := exitNotExecutable
	if errors.Is(err, fs.ErrNotExist) {
		code = exitNotFound
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner // without the operations
	}
	fmt.Fprintf(hc.Stderr, "%s: %s: %v\n", s.name, name, err)
	return interp.ExitStatus(code)
}

// exitStatus returns the signal that has ended a program, or 0, and its exit status, as an error of
// the interpreter. The argument is what Wait has returned.
func exitStatus(err error) (syscall.Signal, error) {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return 0, err
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return 0, interp.ExitStatus(exit.ExitCode())
	}
	return status.Signal(), interp.ExitStatus(exitSignal + int(status.Signal()))
}

// replace executes a program in place of the shell. It returns only if that fails.
func (s *shell) replace(ctx context.Context, hc interp.HandlerContext, args []string) error {
	cmd, err := s.command(hc, args)
	if err == nil {
		err = s.notStarted(hc, args[0], become(cmd))
	}
	if s.interactive {
		return err
	}
	code, _ := errors.AsType[interp.ExitStatus](err)
	return hc.Builtin(ctx, []string{"exit", strconv.Itoa(int(code))})
}

// become executes a program in place of this one.
func become(cmd *exec.Cmd) error {
	for fd, stream := range []any{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		file, ok := stream.(*os.File)
		if !ok {
			return errors.New("it has no standard streams of its own")
		}
		if int(file.Fd()) == fd {
			continue
		}
		if err := unix.Dup3(int(file.Fd()), fd, 0); err != nil {
			return err
		}
	}
	if err := os.Chdir(cmd.Dir); err != nil {
		return err
	}
	err := syscall.Exec(cmd.Path, cmd.Args, cmd.Env)
	if errors.Is(err, unix.ENOEXEC) {
		args := append([]string{"sh", cmd.Path}, cmd.Args[1:]...)
		err = syscall.Exec("/proc/self/exe", args, cmd.Env)
	}
	return err
}

// printVariables prints the variables that are exported or can't be changed, or all, as commands.
func printVariables(hc interp.HandlerContext, which string) {
	lines := map[string]string{}
	hc.Env.Each(func(name string, v expand.Variable) bool {
		delete(lines, name) // what an outer scope has
		if !v.IsSet() || v.Kind != expand.String || !syntax.ValidName(name) || isInternal(name) {
			return true
		}
		switch {
		case which == "set":
			lines[name] = name + "=" + quote(v.Str)
		case which == "export" && v.Exported, which == "readonly" && v.ReadOnly:
			lines[name] = which + " " + name + "=" + quote(v.Str)
		}
		return true
	})
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintln(hc.Stdout, lines[name])
	}
}

// exported returns the variables for programs.
func exported(env expand.Environ) []string {
	values := map[string]string{}
	env.Each(func(name string, v expand.Variable) bool {
		delete(values, name) // what an outer scope has
		if v.IsSet() && v.Exported && v.Kind == expand.String {
			values[name] = v.Str
		}
		return true
	})
	var list []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, name+"="+values[name])
	}
	return list
}
