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

// exitCode is a package variable, so that the tests see these are initialised.
var exitCode = len("abc")

func main() {
	fmt.Printf("init %q\n", os.Args)
	os.Exit(exitCode)
}
