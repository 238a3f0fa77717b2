// Package dispatch decides which applet of a multicall binary runs. The decision depends only on
// the arguments of the process and on whether it is PID 1. No file is looked up: the host may serve
// /init.krun only once.
package dispatch

import "strings"

const (
	// Binary is the name of the multicall binary, in messages too.
	Binary = "krunbox"
	// Init is the applet that runs as PID 1 and under the name InitFile.
	Init = "init"
	// InitFile is the name that libkrun hosts give init. Every name that ends in it runs Init.
	InitFile = "init.krun"
)

// An Action is the task of a process.
type Action int

// Actions.
const (
	Run     Action = iota // run the applet
	List                  // print the applets
	Version               // print the version and the applets
	Unknown               // fail, because the applet does not exist
)

// A Choice is an action with its parameters.
type Choice struct {
	Action Action
	// Applet is the name of the applet to run, or of the one that does not exist.
	Applet string
	// Args is the argument vector of the applet. Args[0] is never empty.
	Args []string
}

// Choose returns what a process with the argument vector args does. The function isApplet reports
// whether the binary has an applet.
//
// The base name of args[0] chooses first, if it is an applet or ends in init.krun. PID 1 with any
// other name, or without one, is init. Otherwise args[1] chooses. It never does for init: a host
// passes the workload's arguments to init, and one of them could be the name of an applet.
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
		if args[1] == "help" && len(args) > 2 {
			return run(args[2], []string{args[2], "--help"}, isApplet)
		}
		return Choice{Action: List}
	case "version", "-version", "--version":
		return Choice{Action: Version}
	}
	return run(args[1], args[1:], isApplet)
}

// run returns the choice of the applet called name, with args as its arguments.
func run(name string, args []string, isApplet func(string) bool) Choice {
	if !isApplet(name) {
		return Choice{Action: Unknown, Applet: name}
	}
	if len(args) == 0 || args[0] == "" {
		args = append([]string{name}, args[min(1, len(args)):]...)
	}
	return Choice{Action: Run, Applet: name, Args: args}
}

// An Applet is an entry of the list of applets.
type Applet struct {
	Name string
	// Usage has a line with name, options and operands for each way to call the applet. Help does
	// not print it.
	Usage []string
	// Summary is a sentence that says what the applet does.
	Summary string
}

// Help returns the text for the action List: how to call the binary, and its applets, one a line.
func Help(applets []Applet) string {
	var b strings.Builder
	b.WriteString("Usage: " + Binary + " APPLET [ARG...]\n" +
		"       " + Binary + " help APPLET | --help | --version\n" +
		"A link to " + Binary + " with the name of an applet runs that applet.\n\n")
	width := 0
	for _, a := range applets {
		width = max(width, len(a.Name))
	}
	for _, a := range applets {
		// A summary is a sentence that begins with the name.
		_, summary, _ := strings.Cut(a.Summary, " ")
		line := "  " + a.Name + strings.Repeat(" ", width-len(a.Name)+2) + strings.TrimSuffix(summary, ".")
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
