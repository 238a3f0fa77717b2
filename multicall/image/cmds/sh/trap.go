package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"mvdan.cc/sh/v3/interp"
)

// traps are the commands for signals. The interpreter itself has those for EXIT and ERR.
type traps struct {
	mutex    sync.Mutex
	commands map[syscall.Signal]string
	signals  chan os.Signal
}

// trap sets, resets or prints commands for signals: trap [COMMANDS | -] SIGNAL...
func (s *shell) trap(ctx context.Context, hc interp.HandlerContext, args []string) error {
	if len(args) > 0 && (args[0] == "--" || args[0] == "-p") {
		args = args[1:]
	}
	if len(args) == 0 {
		s.traps.print(hc)
		return hc.Builtin(ctx, []string{"trap"})
	}
	commands, names := "-", args
	if _, err := strconv.Atoi(args[0]); err != nil && len(args) > 1 {
		commands, names = args[0], args[1:]
	}
	for _, name := range names {
		sig, ok := signalNumber(name)
		switch name = strings.ToUpper(name); {
		case name == "EXIT" || name == "ERR" || name == "0":
			if err := s.trapEnd(ctx, hc, commands, name); err != nil {
				return err
			}
		case !ok:
			fmt.Fprintf(hc.Stderr, "%s: trap: %s: no such signal\n", s.name, name)
			return interp.ExitStatus(1)
		default:
			s.setTrap(sig, commands)
		}
	}
	return nil
}

// trapEnd sets the commands for the end of the shell, or for a command that fails.
func (s *shell) trapEnd(ctx context.Context, hc interp.HandlerContext, commands, name string) error {
	if commands != "-" {
		commands = renamed(commands)
	}
	if name == "0" {
		name = "EXIT"
	}
	return hc.Builtin(ctx, []string{"trap", "--", commands, name})
}

// setTrap sets what a signal does: nothing, if commands are empty, and the default, if they are "-".
func (s *shell) setTrap(sig syscall.Signal, commands string) {
	s.traps.mutex.Lock()
	defer s.traps.mutex.Unlock()
	switch commands {
	case "-":
		delete(s.traps.commands, sig)
		signal.Reset(sig)
		if s.interactive {
			s.catchKeys()
		}
		return
	case "":
		signal.Ignore(sig)
	default:
		signal.Notify(s.traps.signals, sig)
	}
	s.traps.commands[sig] = commands
}

func (t *traps) print(hc interp.HandlerContext) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, sig := range slices.Sorted(maps.Keys(t.commands)) {
		fmt.Fprintf(hc.Stdout, "trap -- %s %s\n", quote(t.commands[sig]), signalName(sig))
	}
}

// await waits until this process has received a signal that it has sent itself, if the signal has a trap.
func (t *traps) await(sig syscall.Signal) {
	t.mutex.Lock()
	trapped := t.commands[sig] != ""
	t.mutex.Unlock()
	if trapped {
		t.signals <- <-t.signals
	}
}

// due returns the commands for the signals that have come since the last call.
func (t *traps) due() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	var commands strings.Builder
	for {
		select {
		case sig := <-t.signals:
			if number, ok := sig.(syscall.Signal); ok && t.commands[number] != "" {
				fmt.Fprintln(&commands, renamed(t.commands[number]))
			}
		default:
			return commands.String()
		}
	}
}

// afterTraps returns a command that runs the commands of traps, and then the one of args.
func afterTraps(commands string, args []string) []string {
	var words []string
	for _, arg := range args {
		words = append(words, quote(arg))
	}
	return []string{own, "eval", commands + strings.Join(words, " ")}
}
