package guestconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/krunbox/krunbox/pkg/jsonio"
)

// unknown is the Offset of an error whose place is to be looked up by its Pointer.
const unknown = -1

// errorAt returns an error about the member that pointer names, an RFC 6901 JSON pointer.
func errorAt(pointer, format string, args ...any) error {
	return &jsonio.Error{Pointer: jsontext.Pointer(pointer), Offset: unknown, Err: fmt.Errorf(format, args...)}
}

// withPosition returns err as "line 1, column 22: process.args: problem". It gets errors of type
// *jsonio.Error and *jsontext.SyntacticError about data.
func withPosition(data []byte, err error) error {
	var offset int
	var pointer jsontext.Pointer
	if e, ok := errors.AsType[*jsonio.Error](err); ok {
		offset, pointer, err = e.Offset, e.Pointer, e.Err
		if offset == unknown {
			offset = find(data, pointer)
		}
	} else if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		offset, pointer, err = int(e.ByteOffset), e.JSONPointer, e.Err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		offset, err = len(data), errors.New("unexpected end of file")
	}
	before := data[:offset]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	return fmt.Errorf("line %d, column %d: %s%w", bytes.Count(before, []byte("\n"))+1,
		utf8.RuneCount(before[lineStart:])+1, path(pointer), err)
}

// find returns the offset of the value that pointer names, of the last one if there are several, or
// of the container that lacks it. It skips members that do not lead there, because StackPointer
// takes long for long names.
func find(data []byte, pointer jsontext.Pointer) (offset int) {
	d := jsonio.NewDecoder(data)
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

// clip shortens a string of the file to a length that fits in an error message.
func clip(s string) string {
	const limit = 40 // bytes
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}
