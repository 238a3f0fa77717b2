package main

import "github.com/krunbox/krunbox/multicall/dispatch"

// applets describes what is linked in, sorted by name.
var applets []dispatch.Applet

// setArgs gives the arguments to commands that have them of the standard package os.
func setArgs([]string) {}
