package multicall

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/multicall/dispatch"
)

// A command is a main package, as "go list" reports it.
type command struct {
	Name       string // main
	ImportPath string
	Dir        string
	GoFiles    []string
}

// findCommands finds the main packages that opts.Commands name.
func (b *builder) findCommands(ctx context.Context) ([]command, error) {
	args := append([]string{"list", "-json=Name,ImportPath,Dir,GoFiles", "-tags", strings.Join(b.opts.Tags, ","), "--"},
		b.opts.Commands...)
	out, err := run(ctx, b.dir, b.moduleEnv(), b.path, args...)
	if err != nil {
		return nil, err
	}
	var commands []command
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var c command
		if err := dec.Decode(&c); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if c.Name == "main" {
			commands = append(commands, c)
		}
	}
	if len(commands) == 0 {
		return nil, fmt.Errorf("no commands in %s", strings.Join(b.opts.Commands, " "))
	}
	for i, c := range commands {
		same := slices.IndexFunc(commands[:i], func(other command) bool { return path.Base(other.ImportPath) == path.Base(c.ImportPath) })
		if same >= 0 {
			return nil, fmt.Errorf("%s and %s have the same name", commands[same].ImportPath, c.ImportPath)
		}
	}
	return commands, nil
}

// describe reads the package comment for what the list of applets says of the command.
func (c command) describe() (dispatch.Applet, error) {
	var comment strings.Builder
	for _, name := range c.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(c.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return dispatch.Applet{}, err
		}
		if file.Doc != nil {
			comment.WriteString(file.Doc.Text() + "\n")
		}
	}
	return parseComment(path.Base(c.ImportPath), comment.String()), nil
}

// parseComment describes the applet name by its package comment, which follows u-root's form: after a line "Synopsis:"
// come indented lines with the ways to call it. Without these, it is called by its name alone.
func parseComment(name, comment string) dispatch.Applet {
	a := dispatch.Applet{Name: name, Summary: new(doc.Package).Synopsis(comment)}
	_, synopsis, _ := strings.Cut("\n"+comment, "\nSynopsis:\n")
	for line := range strings.Lines(synopsis) {
		usage := strings.TrimSpace(line)
		if usage != "" && usage[0] == line[0] {
			break // not indented: the next section
		}
		if usage != "" {
			a.Usage = append(a.Usage, usage)
		}
	}
	if a.Usage == nil {
		a.Usage = []string{name}
	}
	return a
}
