// Package dispatch decides which applet of a multicall binary runs, from nothing but the process's arguments and whether
// it is PID 1. It looks up no file: the name init was executed under may have been good for one look-up only.
package dispatch

import "strings"

const (
	// Binary is the name of the multicall binary itself; what it is called in messages.
	Binary = "krunbox"
	// Init is the applet that runs as PID 1, and under InitFile.
	Init = "init"
	// InitFile ends every name that means Init: libkrun hosts start /init.krun.
	InitFile = "init.krun"
)

// An Action is what the binary does.
type Action int

// The actions.
const (
	Run     Action = iota // run the applet
	List                  // print the applets
	Version               // print the version and the applets
	Unknown               // fail: there is no such applet
)

// A Choice is an action and what it applies to.
type Choice struct {
	Action Action
	// Applet is the name of the applet to run, or of the one that is unknown.
	Applet string
	// Args is the argument vector for the applet. Args[0] is there and not empty.
	Args []string
}

// Choose decides what a process with the argument vector args does. isApplet tells whether the binary has an applet.
//
// The base name of args[0] chooses first, if it is that of an applet or ends in init.krun. PID 1 under any other name,
// or none, is init. Only for the rest does args[1] choose: a host starts init with the workload's arguments, and these
// must never be taken for an applet.
func Choose(args []string, pid1 bool, isApplet func(name string) bool) Choice {
	name := ""
	if len(args) > 0 {
		// Login shells are started with a dash before the name.
		name = strings.TrimPrefix(args[0][strings.LastIndexByte(args[0], '/')+1:], "-")
	}
	switch {
	case isApplet(name):
		return run(name, args, isApplet)
	case pid1, strings.HasSuffix(name, InitFile):
		return run(Init, args, isApplet)
	case len(args) < 2:
		return Choice{Action: List}
	}
	switch args[1] {
	case "help", "-h", "-help", "--help":
		return Choice{Action: List}
	case "version", "-version", "--version":
		return Choice{Action: Version}
	}
	return run(args[1], args[1:], isApplet)
}

// run chooses the applet name, if there is one.
func run(name string, args []string, isApplet func(string) bool) Choice {
	if !isApplet(name) {
		return Choice{Action: Unknown, Applet: name}
	}
	if len(args) == 0 || args[0] == "" {
		args = append([]string{name}, args[min(1, len(args)):]...)
	}
	return Choice{Action: Run, Applet: name, Args: args}
}

// An Applet is what the list of applets says of one.
type Applet struct {
	Name string
	// Usage has a line for each way to call it: its name, options and operands.
	Usage []string
	// Summary is a sentence on what it does.
	Summary string
}

// Help is the text printed for List: how to call the binary, and its applets.
func Help(applets []Applet) string {
	var b strings.Builder
	b.WriteString("Usage: " + Binary + " APPLET [ARG...]\n" +
		"       " + Binary + " --help | --version\n" +
		"A link to " + Binary + " that has an applet's name runs this applet.\n")
	for _, a := range applets {
		b.WriteString("\n")
		for _, line := range a.Usage {
			b.WriteString("  " + line + "\n")
		}
		if a.Summary != "" {
			b.WriteString("        " + a.Summary + "\n")
		}
	}
	return b.String()
}
