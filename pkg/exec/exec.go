// Package exec starts the program a guest exists for, in the state a container runtime would give it, and looks after
// it: its processes are reaped, signals sent to init reach it, its end is an exit code.
package exec

import (
	"strings"
)

// Shell is what runs where nothing else is asked for, and what runs files without an executable format, execvp(3).
const Shell = "/bin/sh"

// DefaultPath is where programs are looked up when the environment has no PATH.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Argv is the workload's argument vector: the host's program with init's own arguments, else the configuration's, else
// init's arguments, else a shell.
func Argv(program string, configured, args []string) []string {
	switch {
	case program != "":
		return append([]string{program}, args...)
	case len(configured) > 0:
		return configured
	case len(args) > 0:
		return args
	default:
		return []string{Shell}
	}
}

// Env is an environment under construction: K=V entries in the order in which their names first came.
type Env struct {
	entries []string
	index   map[string]int // place of each name, once there are many
}

// few names are found faster by looking at them all; and a process that makes no map does not pay for the first one.
const few = 64

// NewEnv makes an environment of K=V entries. Of entries with the same name the last one counts; what is no K=V is
// dropped.
func NewEnv(entries []string) *Env {
	e := &Env{entries: make([]string, 0, len(entries)+8)} // with room for what is set later
	for _, entry := range entries {
		e.put(entry, true)
	}
	return e
}

// Set sets name to value.
func (e *Env) Set(name, value string) { e.put(name+"="+value, true) }

// Unset removes name.
func (e *Env) Unset(name string) {
	if i := e.find(name); i >= 0 {
		*e = *NewEnv(append(e.entries[:i:i], e.entries[i+1:]...))
	}
}

// Get returns the value of name, and whether it is set.
func (e *Env) Get(name string) (string, bool) {
	i := e.find(name)
	if i < 0 {
		return "", false
	}
	return e.entries[i][len(name)+1:], true
}

// Merge adds the entries of a configuration: those whose name is not set yet, and in any case HOME and TERM, which the
// kernel always sets. Among themselves, the last entry of a name counts.
func (e *Env) Merge(entries []string) {
	given := NewEnv(entries)
	for _, entry := range given.entries {
		name, _, _ := strings.Cut(entry, "=")
		e.put(entry, name == "HOME" || name == "TERM")
	}
}

// List returns the entries as execve(2) wants them.
func (e *Env) List() []string { return e.entries }

func (e *Env) put(entry string, overwrite bool) {
	name, _, ok := strings.Cut(entry, "=")
	if !ok || name == "" {
		return
	}
	if i := e.find(name); i >= 0 {
		if overwrite {
			e.entries[i] = entry
		}
		return
	}
	e.entries = append(e.entries, entry)
	if e.index != nil {
		e.index[name] = len(e.entries) - 1
	}
}

// find returns the place of a name in entries, -1 if it is not there.
func (e *Env) find(name string) int {
	if len(e.entries) <= few {
		for i, entry := range e.entries {
			if len(entry) > len(name) && entry[len(name)] == '=' && entry[:len(name)] == name {
				return i
			}
		}
		return -1
	}
	if e.index == nil {
		e.index = make(map[string]int, 2*few)
		for i, entry := range e.entries {
			known, _, _ := strings.Cut(entry, "=")
			e.index[known] = i
		}
	}
	if i, ok := e.index[name]; ok {
		return i
	}
	return -1
}

// Candidates are the paths at which execvp(3) tries to execute name: name itself where it has a slash, else name in each
// directory of path.
func Candidates(name, path string) []string {
	if strings.Contains(name, "/") || name == "" {
		return []string{name}
	}
	var paths []string
	for dir := range strings.SplitSeq(path, ":") {
		if dir == "" {
			dir = "." // POSIX: an empty element is the current directory
		}
		paths = append(paths, dir+"/"+name)
	}
	return paths
}

// HomeOf finds the home directory of a uid in the text of a passwd(5) file; "" if there is none.
func HomeOf(passwd string, uid string) string {
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) >= 7 && f[2] == uid {
			return f[5]
		}
	}
	return ""
}
