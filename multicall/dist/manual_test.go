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
)

// hidden are options that are not for people.
var hidden = []string{"dhcpclient -resume", "krun-timesync -inherit"}

// Every applet has a page with all the options that its source defines, and all that --help prints as examples.
func TestManual(t *testing.T) {
	defined := regexp.MustCompile(`option\.(?:Flag|Text)\("([^"]+)"`)
	opts := testOptions()
	for _, p := range []Platform{{"linux", "amd64"}, {"freebsd", "arm64"}} {
		s, err := load(t.Context(), moduleRoot, p)
		if err != nil {
			t.Fatal(err)
		}
		pages, err := s.manual(&opts)
		if err != nil {
			t.Fatal(err)
		}
		for i, applet := range s.applets() {
			page := pages[i]
			checkRoff(t, page.name, page.text)
			for _, want := range []string{
				"\n.SH NAME\n" + escape("krunbox-"+page.applet+" - "), "\n.SH SYNOPSIS\n" + bold(page.applet),
				"\n.SH DESCRIPTION\n", "\n.SH EXAMPLES\n", "v1.2.3", `2026\-11\-25`,
			} {
				if !strings.Contains(page.text, want) {
					t.Errorf("%s %s lacks %q", p, page.name, want)
				}
			}
			for _, name := range applet.GoFiles {
				source, err := os.ReadFile(filepath.Join(applet.Dir, name))
				if err != nil {
					t.Fatal(err)
				}
				for _, match := range defined.FindAllSubmatch(source, -1) {
					option := regexp.MustCompile(`(?m)^(.*, )?\\fB(\\-){1,2}` + regexp.QuoteMeta(escape(string(match[1]))) + `(,?\\fR|,)`)
					isHidden := slices.Contains(hidden, page.applet+" -"+string(match[1]))
					if option.MatchString(strings.ReplaceAll(page.text, ` \fB`, "\n\\fB")) == isHidden {
						t.Errorf("%s %s: option -%s is there: %v", p, page.name, match[1], isHidden)
					}
				}
				_, examples, _ := strings.Cut(string(source), "\nExamples:\n  ")
				examples, _, _ = strings.Cut(examples, "\n`")
				if !strings.Contains(page.text, escape(strings.ReplaceAll(examples, "\n  ", "\n"))) {
					t.Errorf("%s %s lacks the examples %q", p, page.name, examples)
				}
			}
		}
	}
}

// checkRoff reports what is not in the small language that pages are written in.
func checkRoff(t *testing.T, name, text string) {
	t.Helper()
	request := regexp.MustCompile(`^\.(TH [^ ]+ 8 [^ ]+ "[^"]+" krunbox|SH ([A-Z]+|"[A-Z ]+")|TP|PP|br|nf|fi|nh|ad l)$`)
	escapes := regexp.MustCompile(`\\(e|-|&|f[BIR]|\((aq|ga|ha|ti|dq))`)
	noFill := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch rest := escapes.ReplaceAllString(line, ""); {
		case strings.HasPrefix(line, ".") && !request.MatchString(line):
			t.Errorf("%s: %q is no request", name, line)
		case strings.ContainsAny(rest, "\\'`^~-\t") || strings.ContainsFunc(rest, func(r rune) bool { return r < ' ' || r > '~' }):
			t.Errorf("%s: %q has characters that are not escaped", name, line)
		case line == "" || strings.TrimSpace(line) != line && !noFill:
			t.Errorf("%s: %q: blanks would show", name, line)
		case strings.Count(line, `\fR`) != strings.Count(line, `\fB`)+strings.Count(line, `\fI`):
			t.Errorf("%s: %q: a font does not end", name, line)
		}
		if line == ".nf" || line == ".fi" {
			noFill = line == ".nf"
		}
	}
	if noFill || !strings.HasPrefix(text, ".TH ") {
		t.Errorf("%s: begins without .TH, or ends in .nf", name)
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		return
	}
	cmd := exec.Command(groff, "-man", "-Tascii", "-ww", "-z")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("%s: groff says %q, %v", name, out, err)
	}
}

func TestReadText(t *testing.T) {
	const whole = "// X does it. Well.\n//\n// Synopsis:\n//\n//\tx -n\n//\tx ARG\n//\n// Description:\n//\n" +
		"// It's\n// .done.\n//\n//\tas\n//\t  is\n//\n// Exit codes: 0.\n//\n// Options:\n//\n//\t-n not this\npackage main\n"
	const usage = "const usage = `usage: x -n\n       x ARG\nx does it.\n  -n    no,\n        never\n  -o O  O\nExit codes: 0.\n" +
		"Examples:\n  x -n '\\d'\n  x ~\n`\n"
	for _, tt := range []struct{ name, source, want string }{
		{"whole", whole + usage, ""},
		{"no comment", "package main\n" + usage, "no package comment"},
		{"no synopsis", "// X does it.\npackage main\n" + usage, `no "Synopsis:"`},
		{"no description", "// X does it.\n//\n// Synopsis:\n//\n//\tx\npackage main\n" + usage, `no "Description:"`},
		{"no usage", whole, "no constant usage"},
		{"no constant", whole + "var usage = ``\n", "no constant usage"},
		{"no Go", "package", "x.go"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte(tt.source), 0o666); err != nil {
			t.Fatal(err)
		}
		text, err := goPackage{ImportPath: "example.org/x", Dir: dir, GoFiles: []string{"x.go"}}.readText()
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: readText() = %v, want an error with %q and %s", tt.name, err, tt.want, dir)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		const want = `.TH KRUNBOX\-X 8 2026\-11\-25 "krunbox v1" krunbox
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
.PP
It can be called as krunbox x, too.
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
		got := text.page(&Options{Version: "v1", Time: sourceTime}, []string{"y", "z"})
		if got != want {
			t.Errorf("page() =\n%s, want\n%s", got, want)
		}
		checkRoff(t, "x", got)
	}
}
