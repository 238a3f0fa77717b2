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
	"strings"

	"github.com/krunbox/krunbox/internal/tool"
	"github.com/krunbox/krunbox/multicall/dispatch"
)

// A command is a main package, as "go list" reports it.
type command struct {
	Name       string // of the package: main
	ImportPath string
	Dir        string
	GoFiles    []string
}

// findCommands returns the main packages that match b.opts.Commands. It fails if two of them have
// the same base name.
func (b *builder) findCommands(ctx context.Context) ([]command, error) {
	args := []string{
		"list", "-json=Name,ImportPath,Dir,GoFiles", "-tags", strings.Join(b.opts.Tags, ","), "--",
	}
	out, err := tool.Run(ctx, b.dir, b.moduleEnv(), b.path, append(args, b.opts.Commands...)...)
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
	paths := map[string]string{} // by name
	for _, c := range commands {
		if other, ok := paths[c.name()]; ok {
			return nil, fmt.Errorf("%s and %s have the same name", other, c.ImportPath)
		}
		paths[c.name()] = c.ImportPath
	}
	return commands, nil
}

// name returns the name by which the command is called.
func (c command) name() string { return path.Base(c.ImportPath) }

// describe reads the command's entry in the list of applets from its package comment.
func (c command) describe() (dispatch.Applet, error) {
	var comment strings.Builder
	for _, name := range c.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(c.Dir, name), nil,
			parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return dispatch.Applet{}, err
		}
		comment.WriteString(file.Doc.Text() + "\n")
	}
	return parseComment(c.name(), comment.String()), nil
}

// parseComment returns the entry of an applet. Its package comment has the form of u-root's:
// indented lines below a line "Synopsis:" are the ways to call the applet. Without them, it is
// called by its name alone.
func parseComment(name, comment string) dispatch.Applet {
	a := dispatch.Applet{Name: name, Summary: new(doc.Package).Synopsis(comment)}
	_, synopsis, _ := strings.Cut("\n"+comment, "\nSynopsis:\n")
	for line := range strings.Lines(synopsis) {
		usage := strings.TrimSpace(line)
		if usage != "" && usage[0] == line[0] {
			break // the next section begins
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
