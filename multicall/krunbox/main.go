// Krunbox is the main package of the binary that package multicall builds. Built by the go command
// alone it has no applets: multicall replaces applets.go, and generates the code that registers
// them.
package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/u-root/gobusybox/src/pkg/bb/bbmain"

	"github.com/krunbox/krunbox/multicall/dispatch"
)

// version is set by the linker.
var version = "dev"

// Exit codes of the binary itself.
const (
	exitFailure  = 1
	exitNotFound = 127 // a shell's exit code for a command that does not exist
)

func main() {
	if notice != "" {
		fmt.Fprintln(os.Stderr, dispatch.Binary+": "+notice)
		os.Exit(exitFailure)
	}
	growStack(false)
	choice := dispatch.Choose(os.Args, os.Getpid() == 1, func(name string) bool {
		return slices.Contains(bbmain.ListCmds(), command(name))
	})
	switch choice.Action {
	case dispatch.Run:
		os.Args = choice.Args
		_ = bbmain.Run(command(choice.Applet)) // it fails only for a name that is not registered
	case dispatch.Version:
		show(dispatch.Binary + " " + version + "\n\n" + dispatch.Help(applets))
	case dispatch.List:
		show(dispatch.Help(applets))
	case dispatch.Unknown:
		fmt.Fprintf(os.Stderr, "%s: no applet %q; \"%[1]s --help\" lists them\n",
			dispatch.Binary, choice.Applet)
		os.Exit(exitNotFound)
	}
}

// command returns the registered name of an applet, which may be called by an alias.
func command(name string) string {
	if target, ok := aliases[name]; ok {
		return target
	}
	return name
}

// show writes text to standard output. It ends the program if that fails.
func show(text string) {
	if _, err := os.Stdout.WriteString(text); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", dispatch.Binary, err)
		os.Exit(exitFailure)
	}
}

// growStack enlarges the stack of the calling goroutine to what applets need: Go's runtime does so
// before the first statement of a function with a frame of this size. While few functions are on
// the stack, that is cheap. Growing later reads the runtime's tables about each function on it,
// pages of the file that a boot does not need otherwise. The array is not written to: use is false.
//
//go:noinline
func growStack(use bool) byte {
	if !use {
		return 0
	}
	var room [24 << 10]byte
	return room[len(os.Args)]
}
