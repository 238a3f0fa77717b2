// Package kmodule loads the kernel modules that an image provides. To make the boot fast, the image
// lists all modules in the order of loading, including those that others depend on, and does not
// compress them.
package kmodule

import "strings"

// List is the path of the list in an image. It has a line for each module: its path and, after a
// space, its parameters, if any. Lines that begin with # are comments.
const List = "/lib/modules/krunbox.order"

// Module is a module to load.
type Module struct {
	Path   string
	Params string // as on the command line of insmod(8)
}

// String returns the module as a line of a list.
func (m Module) String() string { return strings.TrimSpace(m.Path + " " + m.Params) }

// Parse returns the modules of a list in the format of List.
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
