package main

import "github.com/krunbox/krunbox/multicall/dispatch"

// notice is the error message of a binary without applets.
const notice = "this binary was built by the go command alone, and has no applets: take one of a release, or run " +
	"make build in a checkout of the repository; go install can build single ones, such as " +
	"github.com/krunbox/krunbox/cmds/init"

// applets are the applets in the binary, sorted by name.
var applets []dispatch.Applet

// aliases maps further names of applets to the names that they are registered under.
var aliases map[string]string
