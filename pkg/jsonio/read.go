// Package jsonio reads and writes JSON value by value, with the tokenizer of package jsontext. The
// caller names the members of objects. Package json would find them by reflection, but with it the
// linker keeps every exported method: that makes the guest binary a seventh larger, and reading a
// container's configuration takes 1.4 million instructions more.
package jsonio

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Error is an error about a member or a value of a text.
type Error struct {
	Pointer jsontext.Pointer // RFC 6901
	Offset  int              // of the name or value in the text, in bytes
	Err     error
}

func (e *Error) Error() string {
	if e.Pointer == "" {
		return fmt.Sprintf("byte %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("byte %d: %s: %v", e.Offset, e.Pointer, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// NewDecoder returns a decoder of a text that is JSON as in RFC 8259. It accepts bytes that are not
// UTF-8, and names that repeat.
func NewDecoder(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowInvalidUTF8(true),
		jsontext.AllowDuplicateNames(true))
}

// Reader reads the values of a text. Its methods that read a value return an *Error for a value of
// another type, and a *jsontext.SyntacticError for a text that is not JSON. They leave *to as it was
// then.
type Reader struct {
	text []byte
	in   *jsontext.Decoder
	last int // offset of the name or value that was read last
}

// NewReader returns a reader of a text that NewDecoder accepts.
func NewReader(text []byte) *Reader { return &Reader{text: text, in: NewDecoder(text)} }

// Kind returns the kind of the next value, see jsontext.Kind. It is ']' or '}' at the end of a list
// or an object.
func (r *Reader) Kind() jsontext.Kind { return r.in.PeekKind() }

// Pointer names the member or value that was read last.
func (r *Reader) Pointer() jsontext.Pointer { return r.in.StackPointer() }

// Fail returns err as an *Error about the member or value that was read last.
func (r *Reader) Fail(err error) error { return &Error{r.Pointer(), r.last, err} }

// FailNext skips the next value, and returns err as an *Error about it.
func (r *Reader) FailNext(err error) error {
	if err := r.Skip(); err != nil {
		return err
	}
	return r.Fail(err)
}

// Skip skips the next value.
func (r *Reader) Skip() error {
	r.begin()
	return r.in.SkipValue()
}

// Raw reads the next value as it stands in the text. It is valid until the next call.
func (r *Reader) Raw() (jsontext.Value, error) {
	r.begin()
	return r.in.ReadValue()
}

// Object reads an object. For each member, it calls the function, which must read or skip the value.
// It skips members that are null.
func (r *Reader) Object(member func(name string) error) error {
	if err := r.expect("an object", '{'); err != nil {
		return err
	}
	_, err := r.in.ReadToken()
	for err == nil && r.Kind() != '}' {
		var raw jsontext.Value
		if raw, err = r.Raw(); err != nil {
			return err
		}
		if name := string(unquote(raw)); r.Kind() == 'n' {
			err = r.in.SkipValue()
		} else {
			err = member(name)
		}
	}
	if err == nil {
		_, err = r.in.ReadToken()
	}
	return err
}

// List reads a list. It calls the function before each element, which must read or skip it.
func (r *Reader) List(element func() error) error {
	if err := r.expect("a list", '['); err != nil {
		return err
	}
	_, err := r.in.ReadToken()
	for err == nil && r.Kind() != ']' {
		err = element()
	}
	if err == nil {
		_, err = r.in.ReadToken()
	}
	return err
}

// Text reads a string. Bytes that are not UTF-8 stay as they are; escaped halves of surrogate pairs
// become U+FFFD.
func (r *Reader) Text(to *string) error {
	raw, err := r.value("a string", '"')
	if err == nil {
		*to = string(unquote(raw))
	}
	return err
}

// Bool reads true or false.
func (r *Reader) Bool(to *bool) error {
	raw, err := r.value("true or false", 't', 'f')
	if err == nil {
		*to = string(raw) == "true"
	}
	return err
}

// Integer reads a number from least to most, which must not be one such as 1.0 or 1e3.
func Integer[T ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64](
	r *Reader, to *T, least int64, most uint64,
) error {
	n, err := r.integer(least, most)
	if err == nil {
		*to = T(n)
	}
	return err
}

// integer is Integer for all types. It returns a negative number in two's complement.
func (r *Reader) integer(least int64, most uint64) (uint64, error) {
	raw, err := r.value("a number", '0')
	if err != nil {
		return 0, err
	}
	number := string(raw)
	if n, err := strconv.ParseUint(number, 10, 64); err == nil && n <= most {
		return n, nil
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && least <= n && n < 0 {
		return uint64(n), nil
	}
	const limit = 40 // digits in the message
	if len(number) > limit {
		number = number[:limit] + "..."
	}
	return 0, r.Fail(fmt.Errorf("expected an integer from %d to %d, found %s", least, most, number))
}

// End returns an error unless the text ends after the value that was read.
func (r *Reader) End() error {
	rest := bytes.TrimLeft(r.text[r.in.InputOffset():], " \t\r\n")
	if len(rest) == 0 {
		return nil
	}
	r.last = len(r.text) - len(rest)
	c, size := utf8.DecodeRune(rest)
	found := strconv.QuoteRune(c)
	if c == utf8.RuneError && size == 1 {
		found = fmt.Sprintf(`'\x%02x'`, rest[0])
	}
	return r.Fail(fmt.Errorf("invalid character %s after top-level value", found))
}

// begin remembers the offset of the next name or value.
func (r *Reader) begin() {
	rest := bytes.TrimLeft(r.text[r.in.InputOffset():], " \t\r\n:,")
	r.last = len(r.text) - len(rest)
}

// expect returns an error if the next value is of another kind than those given. The name of the
// kind is for the message.
func (r *Reader) expect(name string, kinds ...jsontext.Kind) error {
	kind := r.Kind()
	if slices.Contains(kinds, kind) {
		return nil
	}
	return r.FailNext(fmt.Errorf("expected %s, found %s", name, kindName(kind)))
}

// value reads a value of one of the kinds, as expect does.
func (r *Reader) value(name string, kinds ...jsontext.Kind) (jsontext.Value, error) {
	if err := r.expect(name, kinds...); err != nil {
		return nil, err
	}
	return r.Raw()
}

// kindName returns the name of a JSON type, or a literal.
func kindName(kind jsontext.Kind) string {
	switch kind {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case '0':
		return "a number"
	}
	return kind.String()
}

// unquote returns the contents of a valid JSON string.
func unquote(raw []byte) (s []byte) {
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	for len(raw) > 0 {
		n := bytes.IndexFunc(raw, func(r rune) bool { return r >= utf8.RuneSelf })
		if n == 0 {
			s, raw = append(s, raw[0]), raw[1:]
			continue
		}
		if n < 0 {
			n = len(raw)
		}
		// AppendUnquote would replace bytes that are not UTF-8, so it gets ASCII only. Its error is
		// about halves of surrogate pairs, which it has replaced.
		s, _ = jsontext.AppendUnquote(s, `"`+string(raw[:n])+`"`)
		raw = raw[n:]
	}
	return s
}
