package boot

import (
	"io"
	"strconv"
	"unicode/utf8"
)

// Desc describes an operation for people and programs: verb, object, details.
type Desc struct {
	Verb   string // "mount", "set hostname"
	Object string // what it is done to
	Attrs  []Attr // details, in the order they are printed
}

// Attr is a detail of an operation: a string, or a list of strings.
type Attr struct {
	Name string
	// Value is used where List is nil.
	Value string
	List  []string
}

// A is an attribute with one value.
func A(name, value string) Attr { return Attr{Name: name, Value: value} }

// L is an attribute that is a list, possibly an empty one.
func L(name string, list []string) Attr {
	if list == nil {
		list = []string{}
	}
	return Attr{Name: name, List: list}
}

// WriteText prints the stages and what they would do, one operation a line, without doing it. A stage that has nothing to
// do is left out. It returns the first failure to plan a Fatal stage, after having printed the stages before it.
func WriteText[G any](w io.Writer, stages []Stage[G], g G) error {
	var b []byte
	planErr := walk(stages, g, func(s *Stage[G], ops []Op, err error) {
		if len(ops) == 0 && err == nil {
			return
		}
		b = append(b, s.Name...)
		b = append(b, " ("...)
		b = append(b, s.OnError.String()...)
		b = append(b, ")\n"...)
		for _, e := range each(err) {
			b = append(b, "    "+s.OnError.String()+": "+Line(e)+"\n"...)
		}
		for _, op := range ops {
			b = appendText(append(b, "    "...), op.Describe())
			b = append(b, '\n')
		}
	})
	if _, err := w.Write(b); err != nil {
		return err
	}
	return planErr
}

// WriteJSON is WriteText for programs: an array of stages, each with name, onError, ops and, where planning it failed,
// error. Every operation has the keys do and on, and its details.
func WriteJSON[G any](w io.Writer, stages []Stage[G], g G) error {
	b := []byte("[")
	first := true
	planErr := walk(stages, g, func(s *Stage[G], ops []Op, err error) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, "\n  {\"stage\": "...)
		b = AppendJSON(b, s.Name)
		b = append(b, ", \"onError\": "...)
		b = AppendJSON(b, s.OnError.String())
		if err != nil {
			b = append(b, ", \"error\": "...)
			b = AppendJSON(b, Line(err))
		}
		b = append(b, ", \"ops\": ["...)
		for i, op := range ops {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendOpJSON(append(b, "\n    "...), op.Describe())
		}
		b = append(b, "]}"...)
	})
	b = append(b, "\n]\n"...)
	if _, err := w.Write(b); err != nil {
		return err
	}
	return planErr
}

// walk plans every stage and shows it to visit; a Fatal stage that can't be planned is the last one.
func walk[G any](stages []Stage[G], g G, visit func(*Stage[G], []Op, error)) error {
	for i := range stages {
		s := &stages[i]
		ops, err := s.plan(g)
		visit(s, ops, err)
		if err != nil && s.OnError == Fatal {
			return &Error{s.Name, err}
		}
	}
	return nil
}

func appendText(b []byte, d Desc) []byte {
	b = append(b, d.Verb...)
	if d.Object != "" {
		b = appendWord(append(b, ' '), d.Object)
	}
	for _, a := range d.Attrs {
		b = append(b, ' ')
		b = append(b, a.Name...)
		b = append(b, '=')
		if a.List == nil {
			b = appendWord(b, a.Value)
			continue
		}
		b = append(b, '[')
		for i, v := range a.List {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendWord(b, v)
		}
		b = append(b, ']')
	}
	return b
}

// appendWord appends s as it is where that is unambiguous, else quoted as in Go.
func appendWord(b []byte, s string) []byte {
	plain := s != "" && utf8.ValidString(s)
	for _, r := range s {
		if r <= ' ' || r == '"' || r == '\\' || r == '[' || r == ']' || !strconv.IsPrint(r) {
			plain = false
		}
	}
	if plain {
		return append(b, s...)
	}
	return strconv.AppendQuote(b, s)
}

func appendOpJSON(b []byte, d Desc) []byte {
	b = append(b, "{\"do\": "...)
	b = AppendJSON(b, d.Verb)
	b = append(b, ", \"on\": "...)
	b = AppendJSON(b, d.Object)
	for _, a := range d.Attrs {
		b = append(b, ", "...)
		b = AppendJSON(b, a.Name)
		b = append(b, ": "...)
		if a.List == nil {
			b = AppendJSON(b, a.Value)
			continue
		}
		b = AppendJSONList(b, a.List)
	}
	return append(b, '}')
}

// AppendJSONList appends a list of strings as a JSON array.
func AppendJSONList(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendJSON(b, s)
	}
	return append(b, ']')
}

// AppendJSON appends s as a JSON string (RFC 8259). Bytes that are not UTF-8 become U+FFFD, for JSON has no way to say
// them.
func AppendJSON(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xf])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
