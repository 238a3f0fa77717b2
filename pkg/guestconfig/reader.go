package guestconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxDepth is the number of objects and lists that may enclose a value, including itself.
	maxDepth = 128
	// maxElements is the number of list elements and sysctls that a file may have, except in
	// members that are skipped. It bounds memory: an element of 2 bytes can take 120 in memory.
	// Linux accepts fewer arguments and variables under the default stack limit, execve(2).
	maxElements = 1 << 18
)

// newDecoder returns a decoder of data. It accepts more than RFC 7493 (I-JSON): bytes that are not
// UTF-8, and names that repeat.
func newDecoder(data []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowInvalidUTF8(true),
		jsontext.AllowDuplicateNames(true))
}

// reader reads the values of one file into Go values. The methods and functions that read a value
// return an error for one of another type, and leave the Go value as it was. Their errors are of
// type *fieldError or *jsontext.SyntacticError.
type reader struct {
	data        []byte
	in          *jsontext.Decoder
	name        int      // offset of the last member name that was read
	counted     int      // list elements and sysctls so far
	unsupported []string // paths of unsupported members that ask for something, in any order
}

// read reads a file into doc. It returns the paths of unsupported members that ask for something.
func read(data []byte, doc *document) ([]string, error) {
	// Reading every token twice doubles the time, and most files have too few brackets to be deep.
	if bytes.Count(data, []byte("{"))+bytes.Count(data, []byte("[")) > maxDepth {
		if err := checkDepth(data); err != nil {
			return nil, err
		}
	}
	r := reader{data: data, in: newDecoder(data)}
	err := r.document(doc)
	if err == nil {
		err = r.end()
	}
	slices.Sort(r.unsupported)
	return r.unsupported, err
}

// checkDepth returns an error for a value that is nested too deeply or malformed. It does not check
// what follows the value.
func checkDepth(data []byte) error {
	d := newDecoder(data)
	for {
		_, err := d.ReadToken()
		switch depth := d.StackDepth(); {
		case err != nil && err != io.EOF:
			return err
		case depth > maxDepth:
			return &fieldError{d.StackPointer(), int(d.InputOffset()) - 1,
				fmt.Errorf("nested more than %d deep", maxDepth)}
		case depth == 0:
			return nil
		}
	}
}

// end returns an error unless the file ends after the value that was read.
func (r *reader) end() error {
	rest := bytes.TrimLeft(r.data[r.in.InputOffset():], " \t\r\n")
	if len(rest) == 0 {
		return nil
	}
	c, size := utf8.DecodeRune(rest)
	found := strconv.QuoteRune(c)
	if c == utf8.RuneError && size == 1 {
		found = fmt.Sprintf(`'\x%02x'`, rest[0])
	}
	return &fieldError{"", len(r.data) - len(rest),
		fmt.Errorf("invalid character %s after top-level value", found)}
}

// next returns the offset of the next name or value.
func (r *reader) next() int {
	rest := bytes.TrimLeft(r.data[r.in.InputOffset():], " \t\r\n:,")
	return len(r.data) - len(rest)
}

// reject skips the next value and returns an error about it.
func (r *reader) reject(err error) error {
	offset := r.next()
	if err := r.in.SkipValue(); err != nil {
		return err
	}
	return &fieldError{r.in.StackPointer(), offset, err}
}

// expect returns an error if the next value is of another kind than those given. The name of the
// kind is for the message.
func (r *reader) expect(name string, kinds ...jsontext.Kind) error {
	kind := r.in.PeekKind()
	if slices.Contains(kinds, kind) {
		return nil
	}
	return r.reject(fmt.Errorf("expected %s, found %s", name, kindName(kind)))
}

// object reads an object. For each member, it calls member, which reads or skips the value. A
// member that is null counts as absent.
func (r *reader) object(member func(name string) error) error {
	if err := r.expect("an object", '{'); err != nil {
		return err
	}
	_, err := r.in.ReadToken()
	for err == nil && r.in.PeekKind() != '}' {
		r.name = r.next()
		var name jsontext.Value
		if name, err = r.in.ReadValue(); err != nil {
			return err
		}
		if text := string(unquote(name)); r.in.PeekKind() == 'n' {
			err = r.in.SkipValue()
		} else {
			err = member(text)
		}
	}
	if err == nil {
		_, err = r.in.ReadToken()
	}
	return err
}

// list reads a list, each element by the function.
func list[T any](r *reader, to *[]T, element func(r *reader, to *T) error) error {
	var all []T // replaces a list that was read before
	err := r.elements(func() error {
		all = append(all, *new(T))
		return element(r, &all[len(all)-1])
	})
	if err == nil {
		*to = all
	}
	return err
}

// elements reads a list. It calls element for each element, which reads it.
func (r *reader) elements(element func() error) error {
	if err := r.expect("a list", '['); err != nil {
		return err
	}
	_, err := r.in.ReadToken()
	for err == nil && r.in.PeekKind() != ']' {
		if err = r.count(); err == nil {
			err = element()
		}
	}
	if err == nil {
		_, err = r.in.ReadToken()
	}
	return err
}

// count counts a list element or a sysctl, whose value is next.
func (r *reader) count() error {
	if r.counted++; r.counted > maxElements {
		return r.reject(fmt.Errorf("more than %d list elements", maxElements))
	}
	return nil
}

// words reads a list of strings.
func words[S ~string](r *reader, to *[]S) error { return list(r, to, word) }

// word reads a string, byte for byte. It must not contain NUL bytes: they end strings for the
// kernel.
func word[S ~string](r *reader, to *S) error {
	if err := r.expect("a string", '"'); err != nil {
		return err
	}
	offset := r.next()
	raw, err := r.in.ReadValue()
	if err != nil {
		return err
	}
	s := string(unquote(raw))
	if strings.IndexByte(s, 0) >= 0 {
		return &fieldError{r.in.StackPointer(), offset, errNUL}
	}
	*to = S(s)
	return nil
}

var errNUL = errors.New("contains a NUL byte")

// boolean reads true or false.
func (r *reader) boolean(to *bool) error {
	if err := r.expect("true or false", 't', 'f'); err != nil {
		return err
	}
	token, err := r.in.ReadToken()
	if err == nil {
		*to = token.Bool()
	}
	return err
}

// integer reads a number in the given range, which must not be one such as 1.0 or 1e3.
func integer[T ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64](
	r *reader, to *T, least int64, most uint64,
) error {
	n, err := r.integer(least, most)
	if err == nil {
		*to = T(n)
	}
	return err
}

// integer is the function integer for all types: it returns a negative number in two's complement.
func (r *reader) integer(least int64, most uint64) (uint64, error) {
	if err := r.expect("a number", '0'); err != nil {
		return 0, err
	}
	offset := r.next()
	raw, err := r.in.ReadValue()
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
	return 0, &fieldError{r.in.StackPointer(), offset,
		fmt.Errorf("expected an integer from %d to %d, found %s", least, most, clip(number))}
}

// allocate returns *to, after it has set it to a new value if it is nil.
func allocate[T any](to **T) *T {
	if *to == nil {
		*to = new(T)
	}
	return *to
}

// skipUnsupported skips a value. It records the member, such as "mounts.uidMappings" for
// /mounts/0/uidMappings, unless the value is a default.
func (r *reader) skipUnsupported() error {
	value, err := r.in.ReadValue()
	if err != nil {
		return err
	}
	switch string(value) {
	case "false", "0", `""`:
		return nil
	}
	isContainer := value[0] == '{' || value[0] == '['
	if isContainer && len(bytes.TrimSpace(value[1:len(value)-1])) == 0 {
		return nil
	}
	pointer := r.in.StackPointer()
	section, _, _ := strings.Cut(string(pointer[1:]), "/")
	if field := section + "." + pointer.LastToken(); !slices.Contains(r.unsupported, field) {
		r.unsupported = append(r.unsupported, field)
	}
	return nil
}

// unquote returns the contents of a valid JSON string. Bytes that are not UTF-8 stay as they are;
// escaped halves of surrogate pairs become U+FFFD.
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
