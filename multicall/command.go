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
	return ParseComment(c.name(), comment.String()), nil
}

// ParseComment returns the entry of an applet in the list of applets. Its package comment has the
// form of u-root's: the indented lines below "Synopsis:" are the ways to call the applet. A line
// that is indented further than the first continues the line above it. Without a synopsis, the
// applet is called by its name alone.
func ParseComment(name, comment string) dispatch.Applet {
	usage := synopsis(comment)
	if usage == nil {
		usage = []string{name}
	}
	return dispatch.Applet{Name: name, Usage: usage, Summary: new(doc.Package).Synopsis(comment)}
}

// synopsis returns the lines below "Synopsis:".
func synopsis(comment string) (usage []string) {
	_, section, _ := strings.Cut("\n"+comment, "\nSynopsis:\n")
	first := 0 // indentation of the first line
	for line := range strings.Lines(section) {
		text := strings.TrimSpace(line)
		indentation := strings.Index(line, text)
		switch {
		case text == "":
		case indentation == 0: // the next section
			return usage
		case usage == nil:
			first = indentation
			fallthrough
		case indentation <= first:
			usage = append(usage, text)
		default:
			usage[len(usage)-1] += " " + text
		}
	}
	return usage
}
