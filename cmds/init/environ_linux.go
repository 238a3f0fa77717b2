package main

import (
	"slices"
	"strings"
)

// guestEnviron returns the environment of PID 1, in which Linux passes the parameters. It restores
// the first byte of the variables that the entry point hides from Go's runtime, see
// multicall/krunbox.
func guestEnviron(environ []string) []string {
	environ = slices.Clone(environ)
	for i, variable := range environ {
		if rest, hidden := strings.CutPrefix(variable, "\x01O"); hidden {
			environ[i] = "GO" + rest
		}
	}
	return environ
}
