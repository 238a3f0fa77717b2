package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Variables that prepare puts in place of $!, $0 and $$. Shells in the background get the first and
// the last in their environment. The interpreter has $0 for files only.
const (
	lastJob   = "__krunbox_last_job"
	shellName = "__krunbox_shell_name"
	shellPID  = "__krunbox_shell_pid"
)

func isInternal(name string) bool { return strings.HasPrefix(name, "__krunbox_") }

// jobs are the processes in the background.
type jobs struct {
	mutex sync.Mutex
	last  string // PID of the latest; empty: none
	all   []*job // by number, from 1; nil: forgotten
}

// errTrapped ends waiting when a signal comes that has a trap.
var errTrapped = errors.New("trapped")

// A job is a process in the background.
type job struct {
	number int
	pid    string
	text   string
	done   chan struct{} // closed at its end
	status error         // set before done is closed
	told   atomic.Bool   // the user knows about the end
}

// environment is the environment that the shell was started with, and the variables above.
type environment struct {
	variables []string
	name, pid string
	jobs      *jobs
}

// newEnvironment takes the variables that another shell has added out of the environment.
func newEnvironment(env []string, name string, j *jobs) environment {
	e := environment{name: name, pid: strconv.Itoa(os.Getpid()), jobs: j}
	for _, variable := range env {
		switch name, value, _ := strings.Cut(variable, "="); name {
		case lastJob:
			j.last = value
		case shellPID:
			e.pid = value
		default:
			e.variables = append(e.variables, variable)
		}
	}
	return e
}

func (e environment) Get(name string) expand.Variable {
	var value string
	switch name {
	case lastJob:
		e.jobs.mutex.Lock()
		defer e.jobs.mutex.Unlock()
		value = e.jobs.last
	case shellName:
		value = e.name
	case shellPID:
		value = e.pid
	default:
		return expand.ListEnviron(e.variables...).Get(name)
	}
	return expand.Variable{Set: value != "", Kind: expand.String, Str: value}
}

func (e environment) Each(yield func(string, expand.Variable) bool) {
	if last := e.Get(lastJob); last.IsSet() && !yield(lastJob, last) {
		return
	}
	expand.ListEnviron(e.variables...).Each(yield)
}

// spawn starts a shell in the background. Args are source, options, name and arguments.
func (s *shell) spawn(hc interp.HandlerContext, args []string) error {
	text, set := args[0], args[1]
	argv := []string{"sh"}
	if set != "" {
		argv = append(argv, "-"+set)
	}
	argv = append(argv, "-c", s.state(hc.Env)+text)
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: append(argv, args[2:]...), Dir: hc.Dir,
		Env: append(exported(hc.Env), lastJob+"="+hc.Env.Get(lastJob).Str,
			shellPID+"="+hc.Env.Get(shellPID).Str),
		Stdout: hc.Stdout, Stderr: hc.Stderr,
		// Ctrl-C is for the command in the foreground.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: s.interactive},
	}
	if err := cmd.Start(); err != nil {
		return s.notStarted(hc, "&", err)
	}
	j := s.jobs.add(cmd.Process.Pid, text)
	go func() {
		_, j.status = exitStatus(cmd.Wait())
		close(j.done)
	}()
	if s.interactive {
		fmt.Fprintf(s.stderr, "[%d] %s\n", j.number, j.pid)
	}
	return nil
}

// state returns commands that give another shell the functions and those variables that the
// environment does not have.
func (s *shell) state(env expand.Environ) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.runner.Funcs)) {
		body, ok := s.functions[s.runner.Funcs[name]]
		if !ok {
			body = source(s.runner.Funcs[name])
		}
		fmt.Fprintf(&text, "%s() %s\n", name, body)
	}
	values := map[string]string{}
	env.Each(func(name string, v expand.Variable) bool {
		delete(values, name)
		if !v.IsSet() || v.Exported || v.ReadOnly || !syntax.ValidName(name) || isInternal(name) {
			return true
		}
		switch v.Kind {
		case expand.String:
			values[name] = quote(v.Str)
		case expand.Indexed:
			var words []string
			for _, element := range v.List {
				words = append(words, quote(element))
			}
			values[name] = "(" + strings.Join(words, " ") + ")"
		}
		return true
	})
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&text, "%s=%s\n", name, values[name])
	}
	return text.String()
}

// quote returns s as a word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (j *jobs) add(pid int, text string) *job {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	added := &job{pid: strconv.Itoa(pid), text: text, done: make(chan struct{})}
	j.all = append(j.all, added)
	added.number = len(j.all)
	j.last = added.pid
	return added
}

// pid returns the PID of a job that a number or "%" or "+" stands for.
func (j *jobs) pid(number string) string {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	n, err := strconv.Atoi(number)
	if err == nil && n >= 1 && n <= len(j.all) {
		return j.all[n-1].pid
	}
	if number == "" || number == "%" || number == "+" {
		return j.last
	}
	return "%" + number
}

// list prints the jobs that run, and those that have ended since the last call.
func (j *jobs) list(w io.Writer) { j.print(w, true) }

// reportEnds prints the jobs that have ended and that the user does not know of.
func (j *jobs) reportEnds(w io.Writer) { j.print(w, false) }

func (j *jobs) print(w io.Writer, running bool) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	for _, job := range j.all {
		select {
		case <-job.done:
			if !job.told.Load() {
				job.told.Store(true)
				state := "Done"
				if status, ok := errors.AsType[interp.ExitStatus](job.status); ok {
					state = fmt.Sprintf("Exit %d", int(status))
				}
				fmt.Fprintf(w, "[%d] %-8s %s\n", job.number, state, job.text)
			}
		default:
			if running {
				fmt.Fprintf(w, "[%d] %-8s %s\n", job.number, "Running", job.text)
			}
		}
	}
}

// wait waits for the processes that are named, or for all.
func (s *shell) wait(ctx context.Context, hc interp.HandlerContext, args []string) error {
	s.jobs.mutex.Lock()
	all := slices.Clone(s.jobs.all)
	s.jobs.mutex.Unlock()
	if len(args) == 0 {
		for _, job := range all {
			if err := job.wait(ctx, s.traps.signals); errors.Is(err, errTrapped) {
				return err
			}
		}
		return hc.Builtin(ctx, []string{"wait"}) // for what eval or a sourced file has started
	}
	var err error
	for _, arg := range args {
		if number, ok := strings.CutPrefix(arg, "%"); ok {
			arg = s.jobs.pid(number)
		}
		at := slices.IndexFunc(all, func(j *job) bool { return j.pid == arg })
		switch {
		case at >= 0:
			err = all[at].wait(ctx, s.traps.signals)
		case strings.HasPrefix(arg, "g"): // the interpreter's name
			err = hc.Builtin(ctx, []string{"wait", arg})
		default:
			fmt.Fprintf(hc.Stderr, "%s: wait: %s is not a child of this shell\n", s.name, arg)
			err = interp.ExitStatus(exitNotFound)
		}
	}
	return err
}

// wait waits for the end of a job, of ctx, or for a signal that has a trap.
func (j *job) wait(ctx context.Context, signals chan os.Signal) error {
	select {
	case <-j.done:
		j.told.Store(true)
		return j.status
	case sig := <-signals:
		signals <- sig // call runs the trap
		number, _ := sig.(syscall.Signal)
		return fmt.Errorf("%w: %w", errTrapped, interp.ExitStatus(exitSignal+int(number)))
	case <-ctx.Done():
		return ctx.Err()
	}
}

var _ expand.Environ = environment{}
