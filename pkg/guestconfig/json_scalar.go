package guestconfig

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// string reads a string. Bytes that are not UTF-8 are passed through as they are;
// an escaped half of a surrogate pair without the other one becomes U+FFFD. A
// string without escape sequences is no copy but a part of the data.
func (r *reader) string() (string, error) {
	raw, escaped, err := r.quoted()
	if err != nil {
		return "", err
	}
	if escaped {
		raw = unescape(raw)
	}
	return unsafe.String(unsafe.SliceData(raw), len(raw)), nil
}

// quoted consumes a string. It returns what stands between its quotes, with all
// escape sequences checked but still in place, and whether there are any.
func (r *reader) quoted() (raw []byte, escaped bool, err error) {
	if r.peek() != '"' {
		return nil, false, r.expected("a string")
	}
	r.pos++
	start := r.pos
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; {
		case c == '"':
			r.pos++
			return r.data[start : r.pos-1], escaped, nil
		case c == '\\':
			escaped = true
			if err := r.escape(); err != nil {
				return nil, false, err
			}
		case c < ' ':
			return nil, false, r.errorAt(r.pos, "control character "+strconv.QuoteRune(rune(c))+" in a string")
		default:
			r.pos++
		}
	}
	return nil, false, r.errorAt(r.pos, unexpectedEnd)
}

// escape checks and consumes an escape sequence of a string.
func (r *reader) escape() error {
	start := r.pos
	r.pos++
	c := r.peek()
	if simpleEscape(c) == 0 && c != 'u' {
		return r.escapeError(start)
	}
	r.pos++
	if c != 'u' {
		return nil
	}
	for range 4 {
		if hexDigit(r.peek()) < 0 {
			return r.escapeError(start)
		}
		r.pos++
	}
	return nil
}

// escapeError is about the sequence that begins at start and goes wrong at pos.
func (r *reader) escapeError(start int) error {
	if r.pos == len(r.data) {
		return r.errorAt(r.pos, unexpectedEnd)
	}
	return r.errorAt(start, "unknown escape sequence in a string")
}

// unescape replaces the escape sequences in raw, which quoted has checked.
func unescape(raw []byte) []byte {
	s := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		switch {
		case raw[0] != '\\':
			s = append(s, raw[0])
			raw = raw[1:]
		case raw[1] != 'u':
			s = append(s, simpleEscape(raw[1]))
			raw = raw[2:]
		default:
			unit := codeUnit(raw)
			raw = raw[6:]
			if utf16.IsSurrogate(unit) {
				// U+FFFD, and nothing more consumed, unless both halves are there.
				unit = utf16.DecodeRune(unit, codeUnit(raw))
				if unit != utf8.RuneError {
					raw = raw[6:]
				}
			}
			s = utf8.AppendRune(s, unit)
		}
	}
	return s
}

// codeUnit returns the number in the sequence \uXXXX that raw begins with, -1 if
// it begins with anything else.
func codeUnit(raw []byte) rune {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	var unit rune
	for _, c := range raw[2:6] {
		unit = unit<<4 | hexDigit(c)
	}
	return unit
}

// simpleEscape returns what c stands for after a backslash, 0 if for nothing.
func simpleEscape(c byte) byte {
	switch c {
	case '"', '\\', '/':
		return c
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return 0
}

// hexDigit returns the value of the hexadecimal digit c, -1 if it is none.
func hexDigit(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c - 'a' + 10)
	case 'A' <= c && c <= 'F':
		return rune(c - 'A' + 10)
	}
	return -1
}

// bool reads true or false.
func (r *reader) bool() (bool, error) {
	literal := r.literal()
	if literal != "true" && literal != "false" {
		return false, r.expected("true or false")
	}
	r.pos += len(literal)
	return literal == "true", nil
}

// uint reads an integer from 0 to limit. Like encoding/json for integer types, it
// refuses 1.0, 1e3 and -0.
func (r *reader) uint(limit uint64) (uint64, error) {
	start := r.pos
	if !isNumberStart(r.peek()) {
		return 0, r.expected("a number")
	}
	digits, err := r.number()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil || n > limit {
		return 0, r.errorAt(start, "expected an integer from 0 to "+strconv.FormatUint(limit, 10)+
			", found "+clip(string(digits)))
	}
	return n, nil
}

// uint32 reads an integer from 0 to limit.
func (r *reader) uint32(limit uint32) (uint32, error) {
	n, err := r.uint(uint64(limit))
	return uint32(n), err
}

// int32 reads any integer of 32 bits.
func (r *reader) int32() (int32, error) {
	n, err := r.int(-1<<31, 1<<31-1)
	return int32(n), err
}

// int reads an integer from least to most, as uint does.
func (r *reader) int(least, most int64) (int64, error) {
	start := r.pos
	if !isNumberStart(r.peek()) {
		return 0, r.expected("a number")
	}
	digits, err := r.number()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || n < least || n > most {
		return 0, r.errorAt(start, "expected an integer from "+strconv.FormatInt(least, 10)+" to "+
			strconv.FormatInt(most, 10)+", found "+clip(string(digits)))
	}
	return n, nil
}

// number consumes a number and returns it as it is written. The first byte has
// been looked at with isNumberStart.
func (r *reader) number() ([]byte, error) {
	start := r.pos
	if r.peek() == '-' {
		r.pos++
	}
	if r.peek() == '0' {
		r.pos++
	} else if err := r.digits(); err != nil {
		return nil, err
	}
	if r.peek() == '.' {
		r.pos++
		if err := r.digits(); err != nil {
			return nil, err
		}
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		r.pos++
		if c := r.peek(); c == '+' || c == '-' {
			r.pos++
		}
		if err := r.digits(); err != nil {
			return nil, err
		}
	}
	return r.data[start:r.pos], nil
}

// digits consumes one or more decimal digits.
func (r *reader) digits() error {
	if !isDigit(r.peek()) {
		return r.expected("a digit")
	}
	for isDigit(r.peek()) {
		r.pos++
	}
	return nil
}

func isNumberStart(c byte) bool { return c == '-' || isDigit(c) }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
