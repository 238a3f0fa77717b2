package guestconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// maxDepth is the number of objects and lists that may enclose a value, including itself.
	maxDepth = 128
	// maxElements is the number of list elements and sysctls that a file may have, except in
	// members that are skipped. It bounds memory: an element of 2 bytes can take 120 in memory.
	// Linux accepts fewer arguments and variables under the default stack limit, execve(2).
	maxElements = 1 << 18
)

// syntax returns what decoders accept beyond RFC 7493 (I-JSON).
func syntax() jsontext.Options {
	return json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
}

// decoder is the state of decoding one file.
type decoder struct {
	elements    int      // list elements and sysctls so far
	unsupported []string // paths of unsupported fields that ask for something, in any order
}

// decode decodes data into doc. It returns the paths of unsupported fields that ask for something.
// Its errors are of type *json.SemanticError or *jsontext.SyntacticError.
func decode(data []byte, doc *document) ([]string, error) {
	// Reading every token twice doubles the time, and most files have too few brackets to be deep.
	if bytes.Count(data, []byte("{"))+bytes.Count(data, []byte("[")) > maxDepth {
		if err := checkDepth(data); err != nil {
			return nil, err
		}
	}
	var d decoder
	hook := json.WithUnmarshalers(json.UnmarshalFromFunc(d.value))
	err := json.Unmarshal(data, doc, syntax(), hook)
	slices.Sort(d.unsupported)
	return d.unsupported, err
}

// checkDepth returns an error for a value that is nested too deeply or malformed. It does not check
// what follows the value.
func checkDepth(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(data), syntax())
	for {
		_, err := d.ReadToken()
		switch depth := d.StackDepth(); {
		case err != nil && err != io.EOF:
			return err
		case depth > maxDepth:
			return &json.SemanticError{
				ByteOffset: d.InputOffset() - 1, JSONPointer: d.StackPointer(),
				Err: fmt.Errorf("nested more than %d deep", maxDepth),
			}
		case depth == 0:
			return nil
		}
	}
}

// value is called by package json for every value before it decodes the value into *target. It
// decodes strings, byte for byte, and integers, with their ranges, and skips unsupported members.
// For other values it returns errors.ErrUnsupported, and package json decodes them.
func (d *decoder) value(in *jsontext.Decoder, target any) error {
	kind := in.PeekKind()
	parent, length := in.StackIndex(in.StackDepth())
	if kind == 'n' && parent == '{' {
		return in.SkipValue() // a member that is null counts as absent
	}
	if isKey := parent == '{' && length%2 == 0; isKey || parent == '[' {
		if d.elements++; d.elements > maxElements {
			return fmt.Errorf("more than %d list elements", maxElements)
		}
	}
	switch target.(type) {
	case *unsupported, *[]specs.LinuxIDMapping:
		return d.skipUnsupported(in)
	}
	v := reflect.ValueOf(target).Elem()
	isString := kind == '"' && v.Kind() == reflect.String
	isInteger := kind == '0' && (v.CanInt() || v.CanUint())
	if kind == 'n' { // package json would accept it as a zero value
		return &json.SemanticError{JSONKind: kind, GoType: v.Type()}
	} else if !isString && !isInteger {
		return errors.ErrUnsupported
	}
	raw, err := in.ReadValue()
	if err != nil {
		return err
	}
	if isInteger {
		return setInteger(v, string(raw), in.StackPointer())
	}
	return setString(v, unquote(raw))
}

// skipUnsupported skips a value. It records the field, such as "mounts.uidMappings" for
// /mounts/0/uidMappings, unless the value is a default.
func (d *decoder) skipUnsupported(in *jsontext.Decoder) error {
	value, err := in.ReadValue()
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
	pointer := in.StackPointer()
	section, _, _ := strings.Cut(string(pointer[1:]), "/")
	if field := section + "." + pointer.LastToken(); !slices.Contains(d.unsupported, field) {
		d.unsupported = append(d.unsupported, field)
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

// setString sets v to s, which must not contain NUL bytes: they end strings for the kernel.
func setString(v reflect.Value, s []byte) error {
	if bytes.IndexByte(s, 0) >= 0 {
		return errors.New("contains a NUL byte")
	}
	v.SetString(string(s))
	return nil
}

// setInteger sets v to the number that pointer names, which must not be one such as 1.0 or 1e3.
func setInteger(v reflect.Value, number string, pointer jsontext.Pointer) error {
	least, most := integerRange(v, pointer)
	if v.CanInt() {
		n, err := strconv.ParseInt(number, 10, 64)
		if err == nil && least <= n && n <= int64(most) {
			v.SetInt(n)
			return nil
		}
	} else if n, err := strconv.ParseUint(number, 10, 64); err == nil && n <= most {
		v.SetUint(n)
		return nil
	}
	return fmt.Errorf("expected an integer from %d to %d, found %s", least, most, clip(number))
}

// integerRange returns the least and the greatest value of the integer v that pointer names.
func integerRange(v reflect.Value, pointer jsontext.Pointer) (least int64, most uint64) {
	switch name := pointer.LastToken(); {
	case name == "uid", name == "gid", pointer.Parent().LastToken() == "additionalGids":
		return 0, 1<<32 - 2 // setresuid(2) takes the next number for "unchanged"
	case name == "oomScoreAdj": // proc_pid_oom_score_adj(5)
		return -1000, 1000
	case name == "height", name == "width": // struct winsize, TIOCSWINSZ(2const)
		return 0, 1<<16 - 1
	case name == "major": // makedev(3)
		return 0, 1<<12 - 1
	case name == "minor":
		return 0, 1<<20 - 1
	case name == "priority" && v.Kind() == reflect.Int: // of ioPriority, ioprio_set(2)
		return 0, 7
	}
	bits := v.Type().Bits()
	if v.CanUint() {
		return 0, 1<<bits - 1
	}
	return -1 << (bits - 1), 1<<(bits-1) - 1
}
