// Init stands in for the real init: it prints its arguments and exits.
//
// Synopsis:
//
//	init [-n] [ARG...]
//	init --again
//
// Description:
//
// It has no effects, so tests can run it on this machine as PID 1 of a namespace.
package main

import (
	"fmt"
	"os"
)

// exitCode is 3 if package variables were initialised, init functions ran, and tagged.go was built.
var exitCode = len("ab")

func main() {
	fmt.Printf("init %q\n", os.Args)
	os.Exit(exitCode)
}
