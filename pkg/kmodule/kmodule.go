// Package kmodule loads the kernel modules that an image provides. An image lists them in the order
// to load them in, with everything they depend on, and does not compress them: its builder has the
// time for that, a boot does not.
package kmodule

import "strings"

// List is the path of an image's list: a line for each module with its path and, after a blank, its
// parameters, if any. Lines that begin with # are comments.
const List = "/lib/modules/krunbox.order"

// Module is a module to load.
type Module struct {
	Path   string
	Params string // as on the command line of insmod(8)
}

// String returns the module as a line of a list.
func (m Module) String() string { return strings.TrimSpace(m.Path + " " + m.Params) }

// Parse parses a list.
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
