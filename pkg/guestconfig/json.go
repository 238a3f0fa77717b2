package guestconfig

import (
	"bytes"
	"strconv"
)

const (
	// maxDepth is how deep objects and lists may nest.
	maxDepth = 128
	// maxElements is how many elements of lists are read, not counting those in
	// values that are skipped: more than Linux accepts as arguments and variables
	// under the default stack limit, 9 bytes or more each in 2 MiB, execve(2).
	maxElements = 1 << 18
)

// reader takes a JSON document, RFC 8259, apart from front to back. A method that
// is named after a type consumes one value, which has to begin at pos, and fails
// if it is of another type. All errors are of type *docError; after one, the
// reader is of no use.
type reader struct {
	data     []byte
	pos      int // of the next byte in data
	depth    int // number of objects and lists around pos
	elements int // number of list elements read
}

// document reads an object that is all there is, as method object does.
func (r *reader) document(member func(name []byte) (known bool, err error)) error {
	r.data = bytes.TrimPrefix(r.data, []byte("\ufeff"))
	r.skipSpace()
	if err := r.object(member); err != nil {
		return err
	}
	r.skipSpace()
	if r.pos < len(r.data) {
		return r.expected("end of file")
	}
	return nil
}

// object reads an object. It calls member with the name of each member; member
// either consumes the value or returns false, and the value is skipped. Members
// that are null are passed over. The name is only valid during the call. If member
// is nil, all are skipped.
func (r *reader) object(member func(name []byte) (known bool, err error)) error {
	if err := r.open('{', "an object"); err != nil {
		return err
	}
	for first := true; ; first = false {
		if more, err := r.next('}', first); !more {
			return err
		}
		name, escaped, err := r.quoted()
		if err != nil {
			return err
		}
		r.skipSpace()
		if r.peek() != ':' {
			return r.expected("':'")
		}
		r.pos++
		r.skipSpace()
		known := false
		if member != nil && r.peek() != 'n' {
			if escaped {
				name = unescape(name)
			}
			if known, err = member(name); err != nil {
				return within(printable(string(name)), err)
			}
		}
		if !known {
			if err := r.skip(); err != nil {
				return err
			}
		}
	}
}

// array reads a list. It calls element for each element; element consumes the
// value. If element is nil, all are skipped.
func (r *reader) array(element func() error) error {
	if err := r.open('[', "a list"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if more, err := r.next(']', i == 0); !more {
			return err
		}
		if element == nil {
			if err := r.skip(); err != nil {
				return err
			}
			continue
		}
		if err := r.count(); err != nil {
			return err
		}
		if err := element(); err != nil {
			return within("["+strconv.Itoa(i)+"]", err)
		}
	}
}

// count counts an element that is read.
func (r *reader) count() error {
	if r.elements++; r.elements > maxElements {
		return r.errorAt(r.pos, "more than "+strconv.Itoa(maxElements)+" list elements")
	}
	return nil
}

// open enters an object or list, called what in errors, that begins with bracket.
func (r *reader) open(bracket byte, what string) error {
	if r.peek() != bracket {
		return r.expected(what)
	}
	if r.depth == maxDepth {
		return r.errorAt(r.pos, "nested more than "+strconv.Itoa(maxDepth)+" deep")
	}
	r.depth++
	r.pos++
	return nil
}

// next moves on to the next element of an object or list that ends with bracket;
// first says that there has been none yet. It returns false at the end, which it
// consumes, and with an error.
func (r *reader) next(bracket byte, first bool) (more bool, err error) {
	r.skipSpace()
	switch {
	case r.peek() == bracket:
		r.depth--
		r.pos++
		return false, nil
	case first:
		return true, nil
	case r.peek() == ',':
		r.pos++
		r.skipSpace()
		return true, nil
	}
	return false, r.expected("',' or '" + string(bracket) + "'")
}

// skip consumes a value of any type, and allocates nothing.
func (r *reader) skip() (err error) {
	switch c := r.peek(); {
	case c == '{':
		return r.object(nil)
	case c == '[':
		return r.array(nil)
	case c == '"':
		_, _, err = r.quoted()
	case isNumberStart(c):
		_, err = r.number()
	default:
		literal := r.literal()
		if literal == "" {
			return r.expected("a value")
		}
		r.pos += len(literal)
	}
	return err
}

// literal returns the literal at pos, and "" if there is none.
func (r *reader) literal() string {
	for _, literal := range [...]string{"true", "false", "null"} {
		if rest := r.data[r.pos:]; len(rest) >= len(literal) && string(rest[:len(literal)]) == literal {
			return literal
		}
	}
	return ""
}

func (r *reader) skipSpace() {
	for r.pos < len(r.data) && isSpace(r.data[r.pos]) {
		r.pos++
	}
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\t' || c == '\r'
}

// peek returns the next byte; at the end 0, which nothing in JSON begins with.
func (r *reader) peek() byte {
	if r.pos < len(r.data) {
		return r.data[r.pos]
	}
	return 0
}
