package main

import "github.com/krunbox/krunbox/multicall/dispatch"

// applets describes what is linked in, sorted by name.
var applets []dispatch.Applet
