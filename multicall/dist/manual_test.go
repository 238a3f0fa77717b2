package dist

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/pkg/bootparam"
)

// hidden are options that init gives its own programs; manual pages do not have them.
var hidden = []string{"dhcpclient -resume", "dhcpclient -hostname", "dhcpclient -hosts-line", "dhcpclient -lease-hostname",
	"krun-timesync -inherit"}

// TestManual checks that each applet has a page with its options, examples and variables.
func TestManual(t *testing.T) {
	opts := testOptions()
	for _, p := range []Platform{{"linux", "amd64"}, {"freebsd", "arm64"}} {
		s, err := load(t.Context(), moduleRoot, p)
		if err != nil {
			t.Fatal(err)
		}
		texts, err := s.texts()
		if err != nil {
			t.Fatal(err)
		}
		pages := manual(&opts, texts)
		for i, applet := range s.applets() {
			t.Run(p.String()+"/"+pages[i].applet, func(t *testing.T) {
				checkPage(t, pages[i], applet)
				if pages[i].applet == "init" {
					checkVariables(t, pages[i], p)
				}
			})
		}
	}
}

// TestHostManual checks the page of krunhost.
func TestHostManual(t *testing.T) {
	opts := testOptions()
	s, err := load(t.Context(), moduleRoot, Platform{"linux", "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	page, err := s.hostPage(&opts)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.hostSource()
	if err != nil {
		t.Fatal(err)
	}
	checkRoff(t, page.name, page.text)
	checkPageOptions(t, page, p)
	for _, want := range []string{
		".TH KRUNHOST 1 ", "\n.SH NAME\nkrunhost \\- runs a command ", "\n.SH SYNOPSIS\n" + bold("krunhost"), "\n.SH DESCRIPTION\n",
		"\n.SH \"EXIT STATUS\"\n", "\n.SH EXAMPLES\n", "docker save \\-o nginx.tar", bold("krunbox-init") + "(8)",
	} {
		if !strings.Contains(page.text, want) {
			t.Errorf("%s lacks %q", page.name, want)
		}
	}
	if strings.Contains(page.text, "also be called as") {
		t.Errorf("%s is called an applet", page.name)
	}
}

// definedOptions returns the options that the source of a command gives to package flag, without
// dashes.
func definedOptions(t *testing.T, p goPackage) (defined []string) {
	t.Helper()
	definition := regexp.MustCompile(`\.(?:\w+Var|Func|BoolFunc)\([^"]*"([^"]+)"`)
	for _, name := range p.GoFiles {
		source, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range definition.FindAllSubmatch(source, -1) {
			defined = append(defined, string(match[1]))
		}
	}
	return defined
}

// checkPage checks that a page has its sections, and the options and examples in the source of the
// applet.
func checkPage(t *testing.T, page page, applet goPackage) {
	t.Helper()
	checkRoff(t, page.name, page.text)
	for _, want := range []string{
		"\n.SH NAME\n" + escape("krunbox-"+page.applet+" - "),
		"\n.SH SYNOPSIS\n" + bold(page.applet),
		"\n.SH DESCRIPTION\n", "\n.SH EXAMPLES\n", "v1.2.3", `2026\-11\-25`,
		"\nIt can also be called as krunbox " + escape(page.applet) + ".\n",
	} {
		if !strings.Contains(page.text, want) {
			t.Errorf("%s lacks %q", page.name, want)
		}
	}
	checkPageOptions(t, page, applet)
	for _, name := range applet.GoFiles {
		source, err := os.ReadFile(filepath.Join(applet.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		_, examples, _ := strings.Cut(string(source), "\nExamples:\n  ")
		examples, _, _ = strings.Cut(examples, "\n`")
		examples, _, _ = strings.Cut(examples, "\nVariables:")
		examples = strings.ReplaceAll(examples, "\n  ", "\n")
		if !strings.Contains(page.text, escape(examples)) {
			t.Errorf("%s lacks the examples %q", page.name, examples)
		}
	}
}

// checkPageOptions checks that a page has the options in the source of the command.
func checkPageOptions(t *testing.T, page page, command goPackage) {
	t.Helper()
	defined := definedOptions(t, command)
	_, options, _ := strings.Cut(page.text, "\n.SH OPTIONS\n")
	options, _, _ = strings.Cut(options, "\n.SH ")
	if (options == "") != (len(defined) == 0) {
		t.Errorf("%s: the options are %q, and the source defines %q", page.name, options, defined)
	}
	for _, name := range defined {
		// An option is at the beginning of an entry or follows another one.
		quoted := regexp.QuoteMeta(escape(name))
		option := regexp.MustCompile(`(?m)(^| )\\fB(\\-){1,2}` + quoted + `,?\\fR`)
		isHidden := slices.Contains(hidden, page.applet+" -"+name)
		if got := option.MatchString(options); got == isHidden {
			t.Errorf("%s has option -%s: %v, want %v", page.name, name, got, !isHidden)
		}
	}
}

// checkVariables checks that the page of init has the variables that init takes on the platform.
func checkVariables(t *testing.T, page page, p Platform) {
	t.Helper()
	_, section, _ := strings.Cut(page.text, "\n.SH ENVIRONMENT\n")
	section, _, _ = strings.Cut(section, "\n.SH ")
	for _, row := range bootparam.Table() {
		want := p.GOOS == "linux" || row.FreeBSD
		entry := ".TP\n" + bold(row.Name) + "\n" + escape(row.Doc)
		if got := strings.Contains(section+"\n", entry+"\n"); got != want {
			t.Errorf("%s for %s has %s: %v, want %v", page.name, p, row.Name, got, want)
		}
	}
}

// checkRoff reports everything that is not in the subset of roff that pages are written in. Where
// groff is installed, it must accept the page without a warning.
func checkRoff(t *testing.T, name, text string) {
	t.Helper()
	request := regexp.MustCompile(
		`^\.(TH [^ ]+ [18] [^ ]+ "[^"]+" krunbox|SH ([A-Z]+|"[A-Z ]+")|TP|PP|br|nf|fi|nh|ad l)$`)
	escapes := regexp.MustCompile(`\\(e|-|&|f[BIR]|\((aq|ga|ha|ti|dq))`)
	noFill := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		fonts := strings.Count(line, `\fB`) + strings.Count(line, `\fI`)
		switch rest := escapes.ReplaceAllString(line, ""); {
		case strings.HasPrefix(line, ".") && !request.MatchString(line):
			t.Errorf("%s: %q is not a known request", name, line)
		case strings.ContainsAny(rest, "\\'`^~-") || strings.ContainsFunc(rest, isControl):
			t.Errorf("%s: %q has characters that are not escaped", name, line)
		case line == "" || strings.TrimSpace(line) != line && !noFill:
			t.Errorf("%s: %q has blanks that would be visible", name, line)
		case strings.Count(line, `\fR`) != fonts:
			t.Errorf("%s: %q does not end a font", name, line)
		}
		if line == ".nf" || line == ".fi" {
			noFill = line == ".nf"
		}
	}
	if noFill || !strings.HasPrefix(text, ".TH ") {
		t.Errorf("%s does not begin with .TH, or does not end .nf", name)
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		return
	}
	cmd := exec.Command(groff, "-man", "-Tascii", "-ww", "-z")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("%s: groff printed %q, %v", name, out, err)
	}
}

// isControl reports whether r is not a printable ASCII character.
func isControl(r rune) bool { return r < ' ' || r > '~' }

// The source of an applet, in two parts, and its page.
const (
	appletComment = `//go:build linux || freebsd

// X does it. Well.
//
// Synopsis:
//
//	x -n
//	x ARG
//
// Description:
//
// It's
// .done.
//
//	as
//	  is
//
// Exit codes: 0.
//
// Options:
//
//	-n not this
package main
`
	appletUsage = "const usage = `" + `usage: x -n
       x ARG
x does it.
  -n    no,
        never
  -o O  O
Exit codes: 0.
Examples:
  x -n '\d'
  x ~
` + "`\n"
	appletPage = `.TH KRUNBOX\-X 8 2026\-11\-25 "krunbox v1" krunbox
.nh
.ad l
.SH NAME
krunbox\-x \- does it
.SH SYNOPSIS
\fBx\fR \-n
.br
\fBx\fR ARG
.SH DESCRIPTION
It\(aqs
\&.done.
.PP
.nf
    as
      is
.fi
.SH OPTIONS
.TP
\fB\-n\fR
no,
never
.TP
\fB\-o\fR \fIO\fR
O
.SH "EXIT STATUS"
Exit codes: 0.
.SH EXAMPLES
.nf
x \-n \(aq\ed\(aq
x \(ti
.fi
.SH "SEE ALSO"
\fBkrunbox\-y\fR(8),
\fBkrunbox\-z\fR(8)
`
)

// readTestText reads the text of an applet with the given source.
func readTestText(t *testing.T, source string) (text manualText, dir string, err error) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte(source), 0o666); err != nil {
		t.Fatal(err)
	}
	p := goPackage{ImportPath: "example.org/x", Dir: dir, GoFiles: []string{"x.go"}}
	text, err = p.readText("linux")
	return text, dir, err
}

func TestPage(t *testing.T) {
	text, _, err := readTestText(t, appletComment+appletUsage)
	if err != nil {
		t.Fatal(err)
	}
	got := text.page(&Options{Version: "v1", Time: sourceTime}, "krunbox-x", appletSection, []string{"krunbox-y", "krunbox-z"})
	if got != appletPage {
		t.Errorf("page() =\n%s, want\n%s", got, appletPage)
	}
	checkRoff(t, "x", got)
}

func TestReadTextErrors(t *testing.T) {
	for _, tt := range []struct{ name, source, want string }{
		{"no comment", "package main\n" + appletUsage, "no package comment"},
		{"no synopsis", "// X does it.\npackage main\n" + appletUsage, `no "Synopsis:"`},
		{"no description", "// X does.\n//\n// Synopsis:\n//\n//\tx\npackage main\n" + appletUsage,
			`no "Description:"`},
		{"no usage", appletComment, "no constant usage"},
		{"not a constant", appletComment + "var usage = ``\n", "no constant usage"},
		{"not Go", "package", "x.go"},
	} {
		_, dir, err := readTestText(t, tt.source)
		if err == nil || !strings.Contains(err.Error(), tt.want) ||
			!strings.Contains(err.Error(), dir) {
			t.Errorf("%s: readText() = %v, want %q and %s in it", tt.name, err, tt.want, dir)
		}
	}
}
