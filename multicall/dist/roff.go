package dist

import "strings"

// A roff is a document for troff.
type roff struct{ strings.Builder }

// macro writes a request or a macro call.
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

// line writes a line that is already escaped.
func (r *roff) line(s string) { r.WriteString(s + "\n") }

// text writes lines of text.
func (r *roff) text(s string) {
	for line := range strings.SplitSeq(s, "\n") {
		line = escape(line)
		if strings.HasPrefix(line, ".") {
			line = `\&` + line // not a request
		}
		r.line(line)
	}
}

// paragraphs writes blocks of text. The lines of blocks that are indented by a tab stay as they
// are.
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

// entries writes a section with a list. It writes nothing if the list is empty.
func (r *roff) entries(heading string, list []entry) {
	if list == nil {
		return
	}
	r.macro("SH", heading)
	for _, e := range list {
		r.macro("TP")
		r.line(entryNames(e.names))
		r.text(e.text)
	}
}

// entryNames returns the names of options and variables in bold, and the arguments of options in
// italics.
func entryNames(names string) string {
	words := strings.Fields(names)
	for i, word := range words {
		if i == 0 || strings.HasPrefix(word, "-") {
			words[i] = bold(word)
		} else {
			words[i] = `\fI` + escape(word) + `\fR`
		}
	}
	return strings.Join(words, " ")
}

func bold(s string) string { return `\fB` + escape(s) + `\fR` }

// escape returns s such that troff prints exactly its characters, instead of typographic ones that
// would not work when copied to a shell.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`,
		`~`, `\(ti`, `"`, `\(dq`).Replace(s)
}
