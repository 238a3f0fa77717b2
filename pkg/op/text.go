package op

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/krunbox/krunbox/pkg/jsonio"
)

// String returns the description on one line: verb, object, and details as NAME=VALUE or
// NAME=[VALUE VALUE].
func (d Description) String() string {
	var b strings.Builder
	b.WriteString(d.Verb)
	if d.Object != "" {
		b.WriteString(" " + word(d.Object))
	}
	for _, detail := range d.Details {
		b.WriteString(" " + detail.Name + "=")
		switch value := detail.Value.(type) {
		case []string:
			words := make([]string, len(value))
			for i, s := range value {
				words[i] = word(s)
			}
			b.WriteString("[" + strings.Join(words, " ") + "]")
		case string:
			b.WriteString(word(value))
		}
	}
	return b.String()
}

// word returns s as it is where that is unambiguous, else quoted as in Go.
func word(s string) string {
	special := func(r rune) bool {
		return r <= ' ' || strings.ContainsRune(`"\[]`, r) || !unicode.IsPrint(r)
	}
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, special) {
		return strconv.Quote(s)
	}
	return s
}

// AppendJSON implements jsonio.Appender. The description is an object with the members do (the verb),
// on (the object), and one for each detail: a string or a list of strings.
func (d Description) AppendJSON(b []byte) []byte {
	object := jsonio.NewObject("do", d.Verb, "on", d.Object)
	for _, detail := range d.Details {
		object = append(object, jsonio.Member(detail))
	}
	return jsonio.Append(b, object)
}
