package op

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
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

// MarshalJSONTo encodes the description as an object with the members do (the verb), on (the
// object), and one for each detail: a string or an array of strings.
func (d Description) MarshalJSONTo(e *jsontext.Encoder) error {
	members := append([]Detail{{"do", d.Verb}, {"on", d.Object}}, d.Details...)
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, m := range members {
		if err := e.WriteToken(jsontext.String(m.Name)); err != nil {
			return err
		}
		if err := json.MarshalEncode(e, m.Value); err != nil {
			return err
		}
	}
	return e.WriteToken(jsontext.EndObject)
}
