package main

import "github.com/krunbox/krunbox/multicall/dispatch"

// applets are the applets in the binary, sorted by name.
var applets []dispatch.Applet

// aliases maps further names of applets to the names that they are registered under.
var aliases map[string]string
