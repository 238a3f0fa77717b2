package jsonio

import (
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Object is a JSON object, with its members in their order.
type Object []Member

// Member is a member of an Object. Append tells how its value is written.
type Member struct {
	Name  string
	Value any
}

// NewObject returns an object of names and values, which alternate as the arguments of log/slog do.
func NewObject(members ...any) (o Object) {
	for i := 0; i+1 < len(members); i += 2 {
		o = append(o, Member{fmt.Sprint(members[i]), members[i+1]})
	}
	return o
}

// List is a list of values that Append writes.
type List[T any] []T

// AppendJSON implements Appender.
func (l List[T]) AppendJSON(b []byte) []byte {
	b = append(b, '[')
	for i, v := range l {
		b = Append(separate(b, i), v)
	}
	return append(b, ']')
}

// Appender is a value that writes itself as Append does.
type Appender interface {
	AppendJSON(b []byte) []byte
}

// Append appends a value as JSON on one line, with a blank after each colon and comma: an Appender,
// an Object, a []string, an integer, a float64 or a bool as they are, and any other value as a string
// in the format of fmt.Sprint. It replaces bytes that are not UTF-8 by U+FFFD.
func Append(b []byte, value any) []byte {
	switch v := value.(type) {
	case Object:
		b = append(b, '{')
		for i, m := range v {
			b = Append(separate(b, i), m.Name)
			b = Append(append(b, ": "...), m.Value)
		}
		return append(b, '}')
	case []string:
		return List[string](v).AppendJSON(b)
	case string:
		b, _ = jsontext.AppendQuote(b, v) // the error is about bytes that it has replaced
		return b
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	case bool:
		return strconv.AppendBool(b, v)
	case Appender: // last, because package runtime has to look for a method
		return v.AppendJSON(b)
	}
	return Append(b, fmt.Sprint(value))
}

// separate appends what comes before element i of a list.
func separate(b []byte, i int) []byte {
	if i == 0 {
		return b
	}
	return append(b, ", "...)
}

// Indent returns a text that Append has written with a line for each member and element.
func Indent(text []byte) []byte {
	v := jsontext.Value(text)
	_ = v.Indent(jsontext.WithIndent("  ")) // the text is JSON
	return v
}
