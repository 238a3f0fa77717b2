package guestconfig

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// fieldError returns an error about the field that pointer names, an RFC 6901 JSON pointer.
func fieldError(pointer, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &json.SemanticError{JSONPointer: jsontext.Pointer(pointer), Err: err}
}

// withPosition returns err as "line 1, column 22: process.args: problem". It gets errors of package
// json, and of fieldError, about data.
func withPosition(data []byte, err error) error {
	var offset int
	var pointer jsontext.Pointer
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		offset, pointer, err = int(e.ByteOffset), e.JSONPointer, e.Err
		if offset == 0 {
			offset = find(data, pointer)
		}
		if err == nil {
			want, got := typeName(e.GoType.Kind()), kindName(e.JSONKind)
			err = fmt.Errorf("expected %s, found %s", want, got)
		}
	} else if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		offset, pointer, err = int(e.ByteOffset), e.JSONPointer, e.Err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		offset, err = len(data), errors.New("unexpected end of file")
	}
	before := data[:offset]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	return fmt.Errorf("line %d, column %d: %s%w", bytes.Count(before, []byte("\n"))+1,
		utf8.RuneCount(before[lineStart:])+1, path(pointer), err)
}

// find returns the offset of the value that pointer names, of the last one if there are several, or
// of the container that lacks it. It skips members that do not lead there, as StackPointer takes
// time for long names.
func find(data []byte, pointer jsontext.Pointer) (offset int) {
	d := jsontext.NewDecoder(bytes.NewBuffer(data), syntax())
	var found jsontext.Pointer // names the value at offset
	for {
		rest := bytes.TrimLeft(data[d.InputOffset():], " \t\r\n:,")
		token, err := d.ReadToken()
		current, kind := d.StackPointer(), token.Kind()
		container, length := d.StackIndex(d.StackDepth())
		isName := container == '{' && length%2 == 1
		switch leads := current.Contains(pointer); {
		case isName && !leads:
			err = d.SkipValue()
		case !isName && leads && kind != '}' && kind != ']' && len(current) >= len(found):
			offset, found = len(data)-len(rest), current
		}
		if err != nil || d.StackDepth() == 0 {
			return offset
		}
	}
}

// path formats pointer as "process.args[1]: ", on one line of limited length.
func path(pointer jsontext.Pointer) (s string) {
	for token := range pointer.Tokens() {
		if _, err := strconv.ParseUint(token, 10, 32); err == nil {
			s += "[" + token + "]"
			continue
		}
		token = clip(token)
		if strings.ContainsFunc(token, unicode.IsControl) {
			token = strconv.Quote(token)
		}
		s += "." + token
	}
	if len(s) > 100 {
		s = s[:100] + "..."
	}
	if s != "" {
		s = strings.TrimPrefix(s, ".") + ": "
	}
	return s
}

// typeName returns the name of the JSON type that is decoded into Go values of a kind.
func typeName(kind reflect.Kind) string {
	names := map[reflect.Kind]string{
		reflect.Struct: "an object", reflect.Map: "an object", reflect.Slice: "a list",
		reflect.String: "a string", reflect.Bool: "true or false",
	}
	return cmp.Or(names[kind], "a number")
}

// kindName returns the name of a JSON type, or a literal.
func kindName(kind jsontext.Kind) string {
	names := map[jsontext.Kind]string{
		'{': "an object", '[': "a list", '"': "a string", '0': "a number",
	}
	return cmp.Or(names[kind], kind.String())
}

// clip shortens a string of the file to a length that fits in an error message.
func clip(s string) string {
	const limit = 40 // bytes
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}
