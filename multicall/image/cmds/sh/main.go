// Sh is the shell of an image: a POSIX shell with the most common extensions of Bash.
//
// Synopsis:
//
//	sh [-OPTION]... [-o NAME]... [SCRIPT [ARGUMENT]...]
//	sh [-OPTION]... -c COMMANDS [NAME [ARGUMENT]...]
//
// Package mvdan.cc/sh parses and interprets. What an interpreter in one process can't do is here:
// commands in the background are processes with a PID, exec replaces the shell, Ctrl-C interrupts
// the command and not the shell, and lines can be edited. There is no job control: Ctrl-Z does
// nothing.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Exit codes of POSIX shells.
const (
	exitUsage         = 2
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128 // and the number of the signal
	exitInterrupted   = exitSignal + int(syscall.SIGINT)
)

func main() { os.Exit(run(os.Args, os.Environ(), os.Stdin, os.Stdout, os.Stderr)) }

func run(args, env []string, stdin, stdout, stderr *os.File) int {
	opts, err := parseOptions(args)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", opts.name, err)
		return exitUsage
	}
	terminal := term.IsTerminal(int(stdin.Fd()))
	interactive := opts.interactive ||
		terminal && !opts.hasCommand && (opts.script == "" || opts.stdin)
	s, err := newShell(opts, env, interactive, stdin, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", opts.name, err)
		return exitUsage
	}
	switch {
	case opts.hasCommand:
		return s.runText(strings.NewReader(opts.command), opts.name, true)
	case opts.script != "" && !opts.stdin:
		return s.runScript(opts.script)
	case interactive && terminal:
		state, err := term.GetState(int(stdin.Fd()))
		if err == nil {
			defer term.Restore(int(stdin.Fd()), state)
		}
		return s.loop(newTerminal(s, stdin, stderr))
	}
	return s.loop(&plainLines{in: stdin})
}

// options are the options and arguments of the shell.
type options struct {
	name        string // $0
	command     string // of -c
	hasCommand  bool
	script      string // file; empty: none
	stdin       bool   // -s: read commands from standard input
	interactive bool   // -i
	params      []string
}

// parseOptions parses the arguments of sh(1p). params begins with the options of set.
func parseOptions(argv []string) (options, error) {
	o := options{name: "sh"}
	if len(argv) == 0 {
		return o, nil
	}
	o.name = strings.TrimPrefix(argv[0], "-") // of a login shell
	args := argv[1:]
	for len(args) > 0 && len(args[0]) > 1 && strings.ContainsAny(args[0][:1], "-+") {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			break
		}
		if strings.HasPrefix(arg, "--") {
			if arg == "--login" {
				continue
			}
			return o, fmt.Errorf("unknown option %s", arg)
		}
		for _, letter := range arg[1:] {
			switch letter {
			case 'c':
				o.hasCommand = true
			case 's':
				o.stdin = true
			case 'i':
				o.interactive = true
			case 'l': // as a login shell: it has no profile to read
			case 'o':
				if len(args) == 0 {
					return o, fmt.Errorf("option %so needs a name", arg[:1])
				}
				o.params = append(o.params, arg[:1]+"o", args[0])
				args = args[1:]
			default:
				o.params = append(o.params, arg[:1]+string(letter))
			}
		}
	}
	if len(args) > 0 && args[0] == "-" {
		args = args[1:]
	}
	switch {
	case o.hasCommand && len(args) == 0:
		return o, errors.New("option -c needs commands")
	case o.hasCommand:
		o.command, args = args[0], args[1:]
		if len(args) > 0 {
			o.name, args = args[0], args[1:]
		}
	case len(args) > 0 && !o.stdin:
		o.script, args = args[0], args[1:]
		o.name = o.script
	}
	o.params = append(append(o.params, "--"), args...)
	return o, nil
}

// plainLines reads lines that nobody edits. It reads no byte more than it returns, for the rest is
// for the commands.
type plainLines struct{ in io.Reader }

func (p *plainLines) read(bool) (string, error) {
	var line []byte
	b := make([]byte, 1)
	for {
		n, err := p.in.Read(b)
		if n > 0 && b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[:n]...)
		if err != nil {
			if len(line) > 0 && errors.Is(err, io.EOF) {
				return string(line), nil
			}
			return "", err
		}
	}
}

var _ lineReader = (*plainLines)(nil)

// A lineReader reads lines, without the line break at the end.
type lineReader interface {
	// read returns the next line. With more, it continues commands. It fails with io.EOF at the
	// end, and with errInterrupted if the user discards what was typed.
	read(more bool) (string, error)
}

var errInterrupted = errors.New("interrupted")

// exitCode returns the exit code of a run, and reports other errors than that.
func (s *shell) exitCode(err error) int {
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[interp.ExitStatus](err); ok {
		return int(status)
	}
	if parse, ok := errors.AsType[syntax.ParseError](err); ok {
		fmt.Fprintf(s.stderr, "%s: line %d: %s\n", s.name, parse.Pos.Line(), parse.Text)
		return exitUsage
	}
	fmt.Fprintf(s.stderr, "%s: %v\n", s.name, err)
	return 1
}
