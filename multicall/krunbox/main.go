// krunbox is the main package of the binary that package multicall builds. Built as it lies here, it has no applets:
// multicall replaces applets.go.
package main

import (
	"syscall"

	"github.com/krunbox/krunbox/multicall/bbmain"
	"github.com/krunbox/krunbox/multicall/dispatch"
	"github.com/krunbox/krunbox/multicall/os"
)

// version is set by the linker.
var version = "dev"

// exitNotFound is what a shell returns for a command it does not find.
const exitNotFound = 127

func main() {
	choice := dispatch.Choose(os.Args, syscall.Getpid() == 1, bbmain.Registered)
	switch choice.Action {
	case dispatch.Run:
		os.Args = choice.Args
		setArgs(choice.Args)
		bbmain.Run(choice.Applet)
	case dispatch.Version:
		show(dispatch.Binary + " " + version + "\n\n" + dispatch.Help(applets))
	case dispatch.List:
		show(dispatch.Help(applets))
	case dispatch.Unknown:
		os.Stderr.WriteString(dispatch.Binary + `: no applet "` + choice.Applet + `"; "` + dispatch.Binary + ` --help" lists them` + "\n")
		os.Exit(exitNotFound)
	}
}

// show writes text to standard output, and ends the program if that fails.
func show(text string) {
	if _, err := os.Stdout.WriteString(text); err != nil {
		os.Stderr.WriteString(dispatch.Binary + ": " + err.Error() + "\n")
		os.Exit(1)
	}
}
