package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// complete completes the name of a command or file before the cursor, when Tab is typed: see
// term.Terminal.AutoCompleteCallback. If there are several, it shows them.
func (t *terminal) complete(line string, pos int, key rune) (string, int, bool) {
	if key != '\t' {
		return "", 0, false
	}
	before, after := line[:pos], line[pos:]
	start := strings.LastIndexAny(before, " \t;|&<>()`'\"=") + 1
	typed := before[start:]
	var names []string
	left := strings.TrimRight(before[:start], " \t")
	first := left == "" || strings.ContainsAny(left[len(left)-1:], ";|&(`{!")
	if first && !strings.Contains(typed, "/") {
		names = commandsWith(typed, t.shell.runner.Env.Get("PATH").Str)
	} else {
		names = filesWith(typed, t.shell.runner.Dir)
	}
	switch len(names) {
	case 0:
		return line, pos, true
	case 1:
		if !strings.HasSuffix(names[0], "/") {
			names[0] += " "
		}
	default:
		if common(names) == typed {
			fmt.Fprintf(t.editor, "%s\n", strings.Join(names, "  "))
		}
	}
	before = before[:start] + common(names)
	return before + after, len(before), true
}

// commandsWith returns the names of programs that begin with prefix.
func commandsWith(prefix, path string) []string {
	var names []string
	for _, dir := range filepath.SplitList(path) {
		for _, file := range filesWith(dir+"/"+prefix, "/") {
			if !strings.HasSuffix(file, "/") {
				names = append(names, filepath.Base(file))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// filesWith returns the paths that begin with prefix; those of directories end with a slash. A path
// that is not absolute is one below dir.
func filesWith(prefix, dir string) []string {
	parent, base := filepath.Split(prefix)
	at := parent
	if !filepath.IsAbs(at) {
		at = filepath.Join(dir, at)
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return nil
	}
	var paths []string
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasPrefix(name, base) || base == "" && strings.HasPrefix(name, ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(at, name)); err == nil && info.IsDir() {
			name += "/"
		}
		paths = append(paths, parent+name)
	}
	return paths
}

// common returns the longest prefix that all names have.
func common(names []string) string {
	prefix := names[0]
	for _, name := range names {
		for !strings.HasPrefix(name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix
}
