// Package kmodule loads the modules of the kernel that an image brings along. An image has them in the order to load them in,
// with all that they depend on, and not compressed: what an image's builder can do, no boot has to pay for.
package kmodule

import "strings"

// List is where an image lists its modules: in each line the path of one, and after a blank its parameters, if any. What
// begins with # is a comment.
const List = "/lib/modules/krunbox.order"

// MaxSize is the size that a list can have, in bytes.
const MaxSize = 256 << 10

// Module is a module to be loaded.
type Module struct {
	Path   string
	Params string // as on the command line of insmod(8)
}

// Parse reads a list.
func Parse(list string) []Module {
	var modules []Module
	for line := range strings.Lines(list) {
		path, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		if path != "" && path[0] != '#' {
			modules = append(modules, Module{path, strings.TrimSpace(params)})
		}
	}
	return modules
}
