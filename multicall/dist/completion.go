package dist

import (
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A completion is what a shell knows of a command: its options and, of a multicall binary, the
// applets.
type completion struct {
	Name, Summary string
	Options       []option
	Applets       []completion
	IsLink        bool // the applet's name is that of a link to the binary, too
}

// An option is a name with its dashes. Its value, if it takes one, is named as in the usage.
type option struct{ Name, Value, Text string }

// words are the commands of the binary that are not applets.
var words = []completion{
	{Name: "help", Summary: "explains an applet"},
	{Name: "--help", Summary: "lists the applets"},
	{Name: "--version", Summary: "prints the version"},
}

// completions returns the files for krunbox and, on Linux, krunhost. They are made from the texts
// that the commands print for --help.
func (s *source) completions(texts []manualText) (tree, error) {
	krunbox := completion{Name: binaryName}
	for _, text := range texts {
		krunbox.Applets = append(krunbox.Applets, completion{
			Name: text.name, Summary: text.summary, Options: optionsOf(text.options),
			// The name init belongs to the system's init, and to its completions.
			IsLink: text.name != "init",
		})
	}
	all := []completion{krunbox}
	if s.platform.GOOS == "linux" {
		usage, err := usageIn(s.hostDir())
		if err != nil {
			return nil, err
		}
		var text manualText
		text.readUsage(usage, s.platform.GOOS)
		all = append(all, completion{Name: hostCommand, Options: optionsOf(text.options)})
	}
	var t tree
	for _, c := range all {
		for _, shell := range shells {
			text, err := shell.script(c)
			if err != nil {
				return nil, fmt.Errorf("completion of %s: %w", c.Name, err)
			}
			name := fmt.Sprintf(shell.path, c.Name)
			t = append(t, file{name: name, content: text})
			if !shell.byCommand {
				continue
			}
			for _, link := range c.Links() {
				t = append(t, file{name: fmt.Sprintf(shell.path, link), symlink: path.Base(name)})
			}
		}
	}
	return t, nil
}

// usageIn returns the constant manual, or else usage, of the command whose source is in dir.
func usageIn(dir string) (string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	found := map[string]string{}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return "", err
		}
		for _, d := range f.Decls {
			for _, constant := range [...]string{"manual", "usage"} {
				if text, ok := stringConstant(d, constant); ok {
					found[constant] = text
				}
			}
		}
	}
	if text := cmp.Or(found["manual"], found["usage"]); text != "" {
		return text, nil
	}
	return "", fmt.Errorf("%s: no constant usage", dir)
}

// optionsOf returns the options of a list such as "-4, -6" and "-timeout D", and --help.
func optionsOf(entries []entry) (options []option) {
	for _, e := range entries {
		text := firstClause(e.text)
		for name := range strings.SplitSeq(strings.TrimSpace(e.names), ", ") {
			name, value, _ := strings.Cut(name, " ")
			options = append(options, option{name, value, text})
		}
	}
	if !slices.ContainsFunc(options, func(o option) bool { return o.Name == "--help" }) {
		options = append(options, option{"--help", "", "explains the command"})
	}
	return options
}

// sentenceEnd is where another sentence begins.
var sentenceEnd = regexp.MustCompile(`\. [A-Z]`)

// firstClause returns a description up to a semicolon, or the end of a sentence.
func firstClause(text string) string {
	text, _, _ = strings.Cut(strings.Join(strings.Fields(text), " "), "; ")
	if end := sentenceEnd.FindStringIndex(text); end != nil {
		text = text[:end[0]]
	}
	return text
}

// Links returns the names of the binary that are those of applets.
func (c completion) Links() (names []string) {
	for _, a := range c.Applets {
		if a.IsLink {
			names = append(names, a.Name)
		}
	}
	return names
}

// Commands returns what has options: the applets or, without any, the command itself.
func (c completion) Commands() []completion {
	if c.Applets == nil {
		return []completion{c}
	}
	return c.Applets
}

// Words returns what may follow the name of a binary with applets.
func (c completion) Words() []completion { return append(slices.Clone(c.Applets), words...) }
