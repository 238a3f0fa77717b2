package guest

import (
	"slices"
	"strings"
)

// Env is an environment under construction. It keeps variables in the order in which they were
// first set.
type Env struct {
	names  []string
	values map[string]string
}

// NewEnv returns an environment with the variables of entries, each NAME=VALUE. The last entry
// with a name counts. Entries without a name or without "=" are left out.
func NewEnv(entries []string) *Env {
	e := &Env{values: make(map[string]string, len(entries))}
	for _, entry := range entries {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			e.Set(name, value)
		}
	}
	return e
}

// Set sets a variable. One that was set before keeps its place.
func (e *Env) Set(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

// Unset removes a variable.
func (e *Env) Unset(name string) {
	delete(e.values, name)
	e.names = slices.DeleteFunc(e.names, func(n string) bool { return n == name })
}

// Get returns the value of a variable, and whether it is set.
func (e *Env) Get(name string) (value string, ok bool) {
	value, ok = e.values[name]
	return value, ok
}

// Merge adds the variables of a configuration that are not set yet. HOME and TERM of the
// configuration replace those that are set, because the kernel always sets them.
func (e *Env) Merge(entries []string) {
	config := NewEnv(entries)
	for _, name := range config.names {
		if _, ok := e.values[name]; !ok || name == "HOME" || name == "TERM" {
			e.Set(name, config.values[name])
		}
	}
}

// List returns the variables as NAME=VALUE, as execve(2) takes them.
func (e *Env) List() []string {
	entries := make([]string, len(e.names))
	for i, name := range e.names {
		entries[i] = name + "=" + e.values[name]
	}
	return entries
}
