package dist

import (
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// A page is the manual page of an applet.
type page struct{ applet, name, text string }

const section = "8" // of system administration

// pageTitle is the page's name. "init" by itself is the system's.
func pageTitle(applet string) string { return "krunbox-" + applet }

// manual makes the pages of all applets.
func (s *source) manual(opts *Options) ([]page, error) {
	var pages []page
	for _, p := range s.applets() {
		text, err := p.readText()
		if err != nil {
			return nil, fmt.Errorf("manual page of %s: %w", p.ImportPath, err)
		}
		var others []string
		for _, other := range s.applets() {
			if other.ImportPath != p.ImportPath {
				others = append(others, path.Base(other.ImportPath))
			}
		}
		pages = append(pages, page{text.name, pageTitle(text.name) + "." + section, text.page(opts, others)})
	}
	return pages, nil
}

// A manualText is what an applet's source says of it: in its package comment, which follows u-root's form, and in the text that
// --help prints.
type manualText struct {
	name, summary string
	synopsis      []string
	description   []string // paragraphs; those on exit codes are in exit
	exit          []string
	options       []optionText
	examples      []string
}

type optionText struct{ names, text string }

// readText reads package comment and constant usage.
func (p goPackage) readText() (manualText, error) {
	var comment, usage string
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments)
		if err != nil {
			return manualText{}, err
		}
		comment += f.Doc.Text()
		for _, d := range f.Decls {
			if text, ok := usageConstant(d); ok {
				usage = text
			}
		}
	}
	t := manualText{name: path.Base(p.ImportPath)}
	if err := t.readComment(comment); err != nil {
		return t, fmt.Errorf("%s: %w", p.Dir, err)
	}
	if usage == "" {
		return t, fmt.Errorf("%s: no constant usage", p.Dir)
	}
	t.readUsage(usage)
	return t, nil
}

func usageConstant(d ast.Decl) (string, bool) {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.CONST || len(g.Specs) != 1 {
		return "", false
	}
	v := g.Specs[0].(*ast.ValueSpec)
	if v.Names[0].Name != "usage" || len(v.Values) != 1 {
		return "", false
	}
	literal, ok := v.Values[0].(*ast.BasicLit)
	if !ok {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}

// readComment takes summary, synopsis and description. The options are those of --help, which has all of them.
func (t *manualText) readComment(comment string) error {
	_, summary, _ := strings.Cut(new(doc.Package).Synopsis(comment), " ") // without the name
	t.summary = strings.TrimSuffix(summary, ".")
	heading := ""
	for block := range strings.SplitSeq(comment, "\n\n") {
		block = strings.TrimRight(block, "\n")
		switch {
		case strings.HasSuffix(block, ":") && !strings.Contains(block, " "):
			heading = block
		case heading == "Synopsis:":
			for line := range strings.Lines(block) {
				t.synopsis = append(t.synopsis, strings.TrimSpace(line))
			}
		case heading == "Description:" && (strings.HasPrefix(block, "Exit codes:") || strings.HasPrefix(block, "The exit code ")):
			t.exit = append(t.exit, block)
		case heading == "Description:":
			t.description = append(t.description, block)
		}
	}
	switch {
	case t.summary == "":
		return errors.New("no package comment")
	case t.synopsis == nil:
		return errors.New(`no "Synopsis:" in the package comment`)
	case t.description == nil:
		return errors.New(`no "Description:" in the package comment`)
	}
	return nil
}

// readUsage takes options and examples: lines indented by two blanks. Of an option, those that follow are indented further.
func (t *manualText) readUsage(usage string) {
	before, examples, _ := strings.Cut(usage, "\nExamples:\n")
	for line := range strings.Lines(examples) {
		t.examples = append(t.examples, strings.TrimSpace(line))
	}
	for line := range strings.Lines(before) {
		if names, ok := strings.CutPrefix(line, "  -"); ok {
			names, text, _ := strings.Cut(names, "  ")
			t.options = append(t.options, optionText{"-" + names, strings.TrimSpace(text)})
		} else if strings.HasPrefix(line, "   ") && len(t.options) > 0 {
			last := &t.options[len(t.options)-1]
			last.text += "\n" + strings.TrimSpace(line)
		}
	}
}

// page is the manual page, in the macros of man(7).
func (t *manualText) page(opts *Options, others []string) string {
	var r roff
	title := pageTitle(t.name)
	r.macro("TH", strings.ToUpper(title), section, opts.Time.UTC().Format("2006-01-02"), "krunbox "+opts.Version, "krunbox")
	r.macro("nh") // names are to be found, and copied, in one piece
	r.macro("ad", "l")
	r.macro("SH", "NAME")
	r.text(title + " - " + t.summary)
	r.macro("SH", "SYNOPSIS")
	for i, line := range t.synopsis {
		if i > 0 {
			r.macro("br")
		}
		name, rest, _ := strings.Cut(line, " ")
		r.line(strings.TrimSpace(bold(name) + " " + escape(rest)))
	}
	r.macro("SH", "DESCRIPTION")
	r.paragraphs(append(t.description, "It can be called as krunbox "+t.name+", too."))
	if t.options != nil {
		r.macro("SH", "OPTIONS")
		for _, o := range t.options {
			r.macro("TP")
			r.line(optionNames(o.names))
			r.text(o.text)
		}
	}
	if t.exit != nil {
		r.macro("SH", "EXIT STATUS")
		r.paragraphs(t.exit)
	}
	if t.examples != nil {
		r.macro("SH", "EXAMPLES")
		r.macro("nf")
		r.text(strings.Join(t.examples, "\n"))
		r.macro("fi")
	}
	if others != nil {
		r.macro("SH", "SEE ALSO")
		for i, other := range others {
			others[i] = bold(pageTitle(other)) + "(" + section + ")"
		}
		r.line(strings.Join(others, ",\n"))
	}
	return r.String()
}

// optionNames has options bold, and what they take in italics.
func optionNames(names string) string {
	words := strings.Fields(names)
	for i, word := range words {
		if strings.HasPrefix(word, "-") {
			words[i] = bold(word)
		} else {
			words[i] = `\fI` + escape(word) + `\fR`
		}
	}
	return strings.Join(words, " ")
}

func bold(s string) string { return `\fB` + escape(s) + `\fR` }

// A roff is a document for troff.
type roff struct{ strings.Builder }

// macro writes a request or macro call.
func (r *roff) macro(name string, args ...string) {
	r.WriteString("." + name)
	for _, arg := range args {
		if strings.Contains(arg, " ") {
			arg = `"` + escape(arg) + `"`
		} else {
			arg = escape(arg)
		}
		r.WriteString(" " + arg)
	}
	r.WriteString("\n")
}

// line writes a line that is escaped already.
func (r *roff) line(s string) { r.WriteString(s + "\n") }

// text writes lines of text.
func (r *roff) text(s string) {
	for line := range strings.SplitSeq(s, "\n") {
		line = escape(line)
		if strings.HasPrefix(line, ".") {
			line = `\&` + line // no request
		}
		r.line(line)
	}
}

// paragraphs writes blocks of text; those indented by a tab are to stay as they are.
func (r *roff) paragraphs(blocks []string) {
	for i, block := range blocks {
		if i > 0 {
			r.macro("PP")
		}
		if strings.HasPrefix(block, "\t") {
			r.macro("nf")
			r.text(strings.ReplaceAll(block, "\t", "    "))
			r.macro("fi")
		} else {
			r.text(block)
		}
	}
}

// escape makes troff print the characters that s has, and not typographic ones that can't be copied to a shell.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`, `"`, `\(dq`).Replace(s)
}
