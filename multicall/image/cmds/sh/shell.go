package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// A shell runs commands. Its methods are for one goroutine, but for the handlers of the
// interpreter, which runs the parts of a pipeline at the same time.
type shell struct {
	name           string // for messages
	interactive    bool
	stdout, stderr *os.File

	interrupts chan os.Signal // of interactive shells

	parser *syntax.Parser
	runner *interp.Runner
	jobs   jobs
	// functions has the sources of function bodies as they were before prepare changed them.
	functions map[*syntax.Stmt]string
	traps     traps
	// trapped is set when commands have called trap. They may wait for the end of the shell.
	trapped bool
}

func newShell(o options, env []string, interactive bool, stdin, stdout, stderr *os.File) (*shell, error) {
	s := &shell{
		name: o.name, interactive: interactive, stdout: stdout, stderr: stderr,
		interrupts: make(chan os.Signal, 1),
		parser:     syntax.NewParser(),
		functions:  map[*syntax.Stmt]string{},
		traps: traps{
			commands: map[syscall.Signal]string{},
			signals:  make(chan os.Signal, 64),
		},
	}
	var err error
	s.runner, err = interp.New(
		interp.StdIO(stdin, stdout, stderr),
		interp.Env(newEnvironment(env, s.name, &s.jobs)),
		interp.Interactive(interactive),
		interp.CallHandler(s.call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return s.exec }),
		interp.Params(o.params...),
	)
	if err != nil {
		return nil, err
	}
	s.runner.Reset()
	return s, nil
}

// runScript runs a file.
func (s *shell) runScript(path string) int {
	file, err := os.Open(path)
	if err != nil {
		fmt.Fprintf(s.stderr, "%s: %v\n", s.name, err)
		if errors.Is(err, os.ErrNotExist) {
			return exitNotFound
		}
		return exitNotExecutable
	}
	defer file.Close()
	return s.runText(file, path, false)
}

// runText runs commands. If once is set, the shell runs nothing else, and the last command may
// take its place.
func (s *shell) runText(text io.Reader, name string, once bool) int {
	file, err := s.parser.Parse(text, name)
	if err != nil {
		return s.exitCode(err)
	}
	s.prepare(file, once)
	return s.exitCode(s.runner.Run(context.Background(), file))
}

// loop runs the commands in lines, and returns the exit code of the shell.
func (s *shell) loop(lines lineReader) int {
	if s.interactive {
		s.catchKeys()
	}
	var text strings.Builder
	for {
		line, err := lines.read(text.Len() > 0)
		if errors.Is(err, errInterrupted) {
			text.Reset()
			s.setStatus(exitInterrupted)
			continue
		}
		ended := err != nil
		if !ended {
			text.WriteString(line + "\n")
			if continues(line) {
				continue
			}
		}
		file, err := s.parser.Parse(strings.NewReader(text.String()), "")
		switch {
		case err == nil:
			text.Reset()
			if code, exited := s.runStatements(file); exited {
				return code
			}
		case syntax.IsIncomplete(err) && !ended:
			continue
		default:
			text.Reset()
			code := s.exitCode(err)
			if !s.interactive {
				return code
			}
			s.setStatus(code)
		}
		if ended {
			code, _ := s.runLine("exit")
			return code
		}
	}
}

// catchKeys catches the signals of keys. Without a handler they would end or stop the shell. If the shell
// ignored them, so would its commands.
func (s *shell) catchKeys() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGQUIT, syscall.SIGTSTP)
	signal.Notify(s.interrupts, os.Interrupt)
}

// continues reports whether a line ends with a backslash that quotes the line break.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// runStatements runs statements one by one, until one is interrupted. It reports whether they end
// the shell.
func (s *shell) runStatements(file *syntax.File) (code int, exited bool) {
	s.prepare(file, false)
	ctx, cancel := context.WithCancel(context.Background())
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-s.interrupts:
			cancel()
		case <-ctx.Done():
		}
	})
	defer watcher.Wait()
	defer cancel()
	for _, stmt := range file.Stmts {
		err := s.runner.Run(ctx, stmt)
		if ctx.Err() != nil { // the error is that
			s.setStatus(exitInterrupted)
			code = exitInterrupted
		} else if code, exited = s.exitCode(err), s.runner.Exited(); exited {
			return code, true
		}
		if code == exitInterrupted && s.interactive {
			fmt.Fprintln(s.stderr) // after ^C
			break
		}
	}
	return code, false
}

// forgetInterrupt discards a Ctrl-C that was meant for a command that has ended.
func (s *shell) forgetInterrupt() {
	select {
	case <-s.interrupts:
	default:
	}
}

// runLine runs a line of the shell itself.
func (s *shell) runLine(line string) (code int, exited bool) {
	file, err := s.parser.Parse(strings.NewReader(line), "")
	if err != nil {
		return s.exitCode(err), false
	}
	err = s.runner.Run(context.Background(), file.Stmts[0])
	return s.exitCode(err), s.runner.Exited()
}

// setStatus sets $?.
func (s *shell) setStatus(code int) { s.runLine(fmt.Sprintf("(exit %d)", code)) }
