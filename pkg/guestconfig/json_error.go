package guestconfig

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// docError is what is wrong with a document, and where.
type docError struct {
	line, column int    // column in characters, both from 1
	path         string // of the field, as in process.args[1]; empty: the document
	problem      string
}

func (e *docError) Error() string {
	s := "line " + strconv.Itoa(e.line) + ", column " + strconv.Itoa(e.column) + ": "
	if e.path != "" {
		s += e.path + ": "
	}
	return s + e.problem
}

const unexpectedEnd = "unexpected end of file"

// errorAt is an error about the byte at position pos of the document.
func (r *reader) errorAt(pos int, problem string) error {
	before := r.data[:pos]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	return &docError{
		line:    bytes.Count(before, []byte("\n")) + 1,
		column:  utf8.RuneCount(before[lineStart:]) + 1,
		problem: problem,
	}
}

// expected is the error of finding something else than what next.
func (r *reader) expected(what string) error {
	if r.pos == len(r.data) {
		return r.errorAt(r.pos, unexpectedEnd)
	}
	return r.errorAt(r.pos, "expected "+what+", found "+r.found())
}

// found says what is next, short of the end.
func (r *reader) found() string {
	switch c := r.peek(); {
	case c == '{':
		return "an object"
	case c == '[':
		return "a list"
	case c == '"':
		return "a string"
	case isNumberStart(c):
		return "a number"
	}
	if literal := r.literal(); literal != "" {
		return literal
	}
	c, size := utf8.DecodeRune(r.data[r.pos:])
	if c == utf8.RuneError && size == 1 {
		return "a byte that is not UTF-8"
	}
	return strconv.QuoteRune(c)
}

// within adds to the path of err the field or list element it occurred in.
func within(outer string, err error) error {
	e, ok := errors.AsType[*docError](err)
	if !ok {
		return err
	}
	if e.path != "" && e.path[0] != '[' {
		outer += "."
	}
	e.path = outer + e.path
	return e
}

// printable renders a name that anybody may have given in an error message, on one line.
func printable(name string) string {
	name = clip(name)
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return strconv.Quote(name)
	}
	return name
}

// clip shortens s to what fits in an error message.
func clip(s string) string {
	const limit = 40
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "..."
}
