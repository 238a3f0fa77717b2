package guestconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/pkg/jsonio"
)

const (
	// maxDepth is the number of objects and lists that may enclose a value, including itself.
	maxDepth = 128
	// maxElements is the number of list elements and sysctls that a file may have, except in
	// members that are skipped. It bounds memory: an element of 2 bytes can take 120 in memory.
	// Linux accepts fewer arguments and variables under the default stack limit, execve(2).
	maxElements = 1 << 18
)

// reader reads the values of one file. The methods and functions that read a value return the errors
// of jsonio.Reader, and then leave the Go value as it was.
type reader struct {
	*jsonio.Reader
	elements    int      // list elements and sysctls so far
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
	r := reader{Reader: jsonio.NewReader(data)}
	err := r.document(doc)
	if err == nil {
		err = r.End()
	}
	slices.Sort(r.unsupported)
	return r.unsupported, err
}

// checkDepth returns an error for a value that is nested too deeply or malformed. It does not check
// what follows the value.
func checkDepth(data []byte) error {
	d := jsonio.NewDecoder(data)
	for {
		_, err := d.ReadToken()
		switch depth := d.StackDepth(); {
		case err != nil && err != io.EOF:
			return err
		case depth > maxDepth:
			return &jsonio.Error{Pointer: d.StackPointer(), Offset: int(d.InputOffset()) - 1,
				Err: fmt.Errorf("nested more than %d deep", maxDepth)}
		case depth == 0:
			return nil
		}
	}
}

// count counts a list element or a sysctl, whose value is next. It returns an error for too many.
func (r *reader) count() error {
	if r.elements++; r.elements > maxElements {
		return r.FailNext(fmt.Errorf("more than %d list elements", maxElements))
	}
	return nil
}

// list reads a list, each element by the function.
func list[T any](r *reader, to *[]T, element func(r *reader, to *T) error) error {
	var all []T // replaces a list that was read before
	err := r.List(func() error {
		if err := r.count(); err != nil {
			return err
		}
		all = append(all, *new(T))
		return element(r, &all[len(all)-1])
	})
	if err == nil {
		*to = all
	}
	return err
}

// words reads a list of strings.
func words[S ~string](r *reader, to *[]S) error { return list(r, to, word) }

// word reads a string, which must not contain NUL bytes: they end strings for the kernel.
func word[S ~string](r *reader, to *S) error {
	var s string
	err := r.Text(&s)
	if err == nil {
		err = r.checkNUL(s)
	}
	if err == nil {
		*to = S(s)
	}
	return err
}

// checkNUL returns an error if the name or string that was read last has a NUL byte.
func (r *reader) checkNUL(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return r.Fail(errors.New("contains a NUL byte"))
	}
	return nil
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
	value, err := r.Raw()
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
	pointer := r.Pointer()
	section, _, _ := strings.Cut(string(pointer[1:]), "/")
	if field := section + "." + pointer.LastToken(); !slices.Contains(r.unsupported, field) {
		r.unsupported = append(r.unsupported, field)
	}
	return nil
}
