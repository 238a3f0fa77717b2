package dist

import (
	"bytes"
	_ "embed"
	"strings"
	"text/template"
)

// A shell reads a script when it first completes a command.
type shell struct {
	path      string // of the script, by the name of the command
	byCommand bool   // each name of the command has a file, while a zsh script names them itself
	template  string
}

var (
	//go:embed completion.bash
	bashTemplate string
	//go:embed completion.zsh
	zshTemplate string
	//go:embed completion.fish
	fishTemplate string

	shells = []shell{
		{"share/bash-completion/completions/%s", true, bashTemplate},
		{"share/zsh/site-functions/_%s", false, zshTemplate},
		{"share/fish/vendor_completions.d/%s.fish", true, fishTemplate},
	}
)

// script returns the script that completes a command and its links.
func (s *shell) script(c completion) ([]byte, error) {
	t, err := template.New("").Funcs(template.FuncMap{
		"join":  func(list []string) string { return strings.Join(list, " ") },
		"names": names,
		"quote": quote,
		"zsh":   zshSpec,
		"fish":  fishOption,
	}).Parse(s.template)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, c)
	return b.Bytes(), err
}

// names returns the names of commands or options, separated by blanks.
func names(list any) string {
	var all []string
	switch list := list.(type) {
	case []completion:
		for _, c := range list {
			all = append(all, c.Name)
		}
	case []option:
		for _, o := range list {
			all = append(all, o.Name)
		}
	}
	return strings.Join(all, " ")
}

// quote quotes a text for the three shells, of which fish would also interpret backslashes: no text
// has one.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Kind returns what the value of an option is, by its name in the usage; "other" can't be completed.
func (o option) Kind() string {
	value, _, _ := strings.Cut(o.Value, "[")
	switch value {
	case "":
		return ""
	case "FILE", "PATH":
		return "file"
	case "DIR":
		return "dir"
	case "IFACE":
		return "interface"
	case "ARCH":
		return "arch"
	}
	return "other"
}

// Flag returns the name with one dash. Package flag takes it with two as well.
func (o option) Flag() string { return "-" + strings.TrimLeft(o.Name, "-") }

// zshSpec returns a spec of _arguments, zshcompsys(1).
func zshSpec(o option) string {
	escape := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`)
	spec := o.Name + "[" + escape.Replace(o.Text) + "]"
	action := map[string]string{
		"file": "_files", "dir": "_files -/", "interface": "_net_interfaces", "arch": "(amd64 arm64)",
		"other": " ",
	}[o.Kind()]
	if action != "" {
		spec += ":" + escape.Replace(o.Value) + ":" + action
	}
	return quote(spec)
}

// fishOption returns the arguments of fish's command complete.
func fishOption(o option) string {
	name := strings.TrimLeft(o.Name, "-")
	kind := "-o " // a word after a single dash
	switch {
	case strings.HasPrefix(o.Name, "--"):
		kind = "-l "
	case len(name) == 1:
		kind = "-s "
	}
	value := map[string]string{
		"file": " -rF", "dir": ` -xa "(__fish_complete_directories)"`,
		"interface": ` -xa "all (command ls /sys/class/net)"`, "arch": ` -xa "amd64 arm64"`, "other": " -x",
	}[o.Kind()]
	return kind + name + value + " -d " + quote(o.Text)
}
