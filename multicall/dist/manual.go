package dist

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/krunbox/krunbox/multicall"
	"github.com/krunbox/krunbox/pkg/bootparam"
)

// A page is the manual page of an applet, or of krunhost.
type page struct{ applet, name, text string }

// Sections of the manual.
const (
	appletSection = "8" // system administration
	hostSection   = "1" // commands of users
)

// pageTitle returns the title of an applet's page. The title "init" belongs to the system's init.
func pageTitle(applet string) string { return "krunbox-" + applet }

// hostCommand is the command whose page is for those who run guests. It is not part of the binary.
const hostCommand = "krunhost"

// hostDir returns the directory of krunhost's source.
func (s *source) hostDir() string { return filepath.Join(s.dir, "integration/cmd", hostCommand) }

// hostSource returns the package of krunhost.
func (s *source) hostSource() (goPackage, error) {
	paths, err := filepath.Glob(filepath.Join(s.hostDir(), "*.go"))
	p := goPackage{ImportPath: hostCommand, Dir: s.hostDir()}
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			p.GoFiles = append(p.GoFiles, filepath.Base(path))
		}
	}
	return p, err
}

// hostPage returns the page of krunhost.
func (s *source) hostPage(opts *Options) (page, error) {
	p, err := s.hostSource()
	if err != nil {
		return page{}, err
	}
	text, err := p.readText(s.platform.GOOS)
	if err != nil {
		return page{}, fmt.Errorf("manual page of %s: %w", hostCommand, err)
	}
	return page{hostCommand, hostCommand + "." + hostSection,
		text.page(opts, hostCommand, hostSection, []string{pageTitle("init")})}, nil
}

// texts returns the texts of all applets.
func (s *source) texts() ([]manualText, error) {
	var texts []manualText
	for _, p := range s.applets() {
		text, err := p.readText(s.platform.GOOS)
		if err != nil {
			return nil, fmt.Errorf("manual page of %s: %w", p.ImportPath, err)
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// manual returns the pages of all applets.
func manual(opts *Options, texts []manualText) []page {
	var pages []page
	for _, text := range texts {
		var others []string
		for _, other := range texts {
			if other.name != text.name {
				others = append(others, pageTitle(other.name))
			}
		}
		title := pageTitle(text.name)
		text.description = append(slices.Clip(text.description), "It can also be called as krunbox "+text.name+".")
		pages = append(pages, page{text.name, title + "." + appletSection,
			text.page(opts, title, appletSection, others)})
	}
	return pages
}

// A manualText is the contents of a manual page. They come from the applet's package comment, which
// has the form of u-root's, and from the text that --help prints.
type manualText struct {
	name, summary string
	synopsis      []string
	description   []string // paragraphs, without those on exit codes
	exit          []string // paragraphs on exit codes
	options       []entry
	variables     []entry
	examples      []string
}

// An entry is an option or a variable with its description.
type entry struct{ names, text string }

// readText reads the package comment and the constant usage or, if there is one, manual, for which
// usage is a summary.
func (p goPackage) readText(goos string) (manualText, error) {
	var comment, usage, manual string
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil,
			parser.ParseComments)
		if err != nil {
			return manualText{}, err
		}
		comment += f.Doc.Text()
		for _, d := range f.Decls {
			if text, ok := stringConstant(d, "usage"); ok {
				usage = text
			}
			if text, ok := stringConstant(d, "manual"); ok {
				manual = text
			}
		}
	}
	if manual != "" {
		usage = manual
	}
	t := manualText{name: path.Base(p.ImportPath)}
	if err := t.readComment(comment); err != nil {
		return t, fmt.Errorf("%s: %w", p.Dir, err)
	}
	if usage == "" {
		return t, fmt.Errorf("%s: no constant usage", p.Dir)
	}
	t.readUsage(usage, goos)
	return t, nil
}

// stringConstant returns the value of a constant if d declares it.
func stringConstant(d ast.Decl, name string) (string, bool) {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.CONST || len(g.Specs) != 1 {
		return "", false
	}
	v := g.Specs[0].(*ast.ValueSpec)
	if v.Names[0].Name != name || len(v.Values) != 1 {
		return "", false
	}
	literal, ok := v.Values[0].(*ast.BasicLit)
	if !ok {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}

// readComment sets summary, synopsis, description and exit. Options are not read here: those of
// --help are complete.
func (t *manualText) readComment(comment string) error {
	applet := multicall.ParseComment(t.name, comment)
	_, summary, _ := strings.Cut(applet.Summary, " ") // the name precedes
	t.summary, t.synopsis = strings.TrimSuffix(summary, "."), applet.Usage
	heading := ""
	for block := range strings.SplitSeq(comment, "\n\n") {
		block = strings.TrimRight(block, "\n")
		isExit := strings.HasPrefix(block, "Exit codes:") ||
			strings.HasPrefix(block, "The exit code ")
		switch {
		case strings.HasSuffix(block, ":") && !strings.Contains(block, " "):
			heading = block
		case heading == "Description:" && isExit:
			t.exit = append(t.exit, block)
		case heading == "Description:":
			t.description = append(t.description, block)
		}
	}
	switch {
	case t.summary == "":
		return errors.New("no package comment")
	case !strings.Contains(comment, "\nSynopsis:\n"):
		return errors.New(`no "Synopsis:" in the package comment`)
	case t.description == nil:
		return errors.New(`no "Description:" in the package comment`)
	}
	return nil
}

// readUsage sets options, variables and examples.
//
// An option is a line that begins with two blanks and a dash, with the lines below it that are
// indented further. Examples are all lines below "Examples:". Usage ends in "Variables:" if the
// applet then prints the table of package bootparam; only some of its rows are for FreeBSD.
func (t *manualText) readUsage(usage, goos string) {
	usage, _, hasVariables := strings.Cut(usage, "\nVariables:\n")
	for _, row := range bootparam.Table() {
		if hasVariables && (goos != "freebsd" || row.FreeBSD) {
			t.variables = append(t.variables, entry{row.Name, row.Doc})
		}
	}
	usage, examples, _ := strings.Cut(usage, "\nExamples:\n")
	for line := range strings.Lines(examples) {
		t.examples = append(t.examples, strings.TrimSpace(line))
	}
	for line := range strings.Lines(usage) {
		if names, ok := strings.CutPrefix(line, "  -"); ok {
			names, text, _ := strings.Cut(names, "  ")
			t.options = append(t.options, entry{"-" + names, strings.TrimSpace(text)})
		} else if strings.HasPrefix(line, "   ") && len(t.options) > 0 {
			last := &t.options[len(t.options)-1]
			last.text = strings.TrimPrefix(last.text+"\n"+strings.TrimSpace(line), "\n")
		}
	}
}

// page returns the manual page, in the macros of man(7). Others are the titles of pages of applets
// to refer to.
func (t *manualText) page(opts *Options, title, section string, others []string) string {
	var r roff
	date := opts.Time.UTC().Format("2006-01-02")
	r.macro("TH", strings.ToUpper(title), section, date, "krunbox "+opts.release(), "krunbox")
	r.macro("nh") // hyphenated names could not be searched for or copied
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
	r.paragraphs(t.description)
	r.entries("OPTIONS", t.options)
	if t.exit != nil {
		r.macro("SH", "EXIT STATUS")
		r.paragraphs(t.exit)
	}
	r.entries("ENVIRONMENT", t.variables)
	if t.examples != nil {
		r.macro("SH", "EXAMPLES")
		r.macro("nf")
		r.text(strings.Join(t.examples, "\n"))
		r.macro("fi")
	}
	if others != nil {
		r.macro("SH", "SEE ALSO")
		for i, other := range others {
			others[i] = bold(other) + "(" + appletSection + ")"
		}
		r.line(strings.Join(others, ",\n"))
	}
	return r.String()
}
