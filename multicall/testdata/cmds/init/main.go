// init stands in for the real one: it shows its arguments and exits.
//
// Synopsis:
//
//	init [-n] [ARG...]
//	init --again
//
// Description:
//
//	It has no effects, so that tests can run it as PID 1 of this machine's namespaces.
package main

import (
	"fmt"
	"os"
)

// exitCode is 3 if package variables are initialised, init functions run, and the build tag of tagged.go was given.
var exitCode = len("ab")

func main() {
	fmt.Printf("init %q\n", os.Args)
	os.Exit(exitCode)
}
