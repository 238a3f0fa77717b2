// Package op defines an operation: something that a boot does to a machine, such as a mount or the
// start of a program, as data that can be printed before it is carried out.
package op

import (
	"errors"
	"fmt"
	"reflect"
)

// Op is an operation.
type Op interface {
	// Describe says what Do will do. It has no effects, and returns the same each time.
	Describe() Description
	// Do carries the operation out. Its error names operation and object.
	Do() error
}

// Lenient is an operation whose failure is a warning, also in a stage whose failures are fatal.
type Lenient struct{ Op }

// Describe adds the detail onError=warn.
func (l Lenient) Describe() Description {
	d := l.Op.Describe()
	d.Details = append(d.Details, Detail{"onError", "warn"})
	return d
}

// ErrUnsupported is wrapped by errors about requests that this version does not serve.
var ErrUnsupported = errors.New("not supported by this version")

// Description describes an operation for people and programs.
type Description struct {
	Verb    string // "mount", "set hostname"
	Object  string // what the operation is done to
	Details []Detail
}

// Detail is a named property of an operation.
type Detail struct {
	Name  string
	Value any // a string or a []string
}

// Describe returns a description. Details alternate names and values, as the arguments of log/slog
// do. A []string is a list; every other value is formatted as fmt.Sprint does. A nil value, and a
// nil pointer, leave the detail out; another pointer stands for what it points to.
func Describe(verb, object string, details ...any) Description {
	d := Description{Verb: verb, Object: object}
	for i := 0; i+1 < len(details); i += 2 {
		name := fmt.Sprint(details[i])
		switch value := details[i+1].(type) {
		case nil:
		case string:
			d.Details = append(d.Details, Detail{name, value})
		case []string:
			if value == nil {
				value = []string{}
			}
			d.Details = append(d.Details, Detail{name, value})
		default:
			v := reflect.ValueOf(value)
			if v.Kind() == reflect.Pointer {
				if v.IsNil() {
					continue
				}
				if _, ok := value.(fmt.Stringer); !ok {
					value = v.Elem().Interface()
				}
			}
			d.Details = append(d.Details, Detail{name, fmt.Sprint(value)})
		}
	}
	return d
}

// If returns value where the condition holds, else nil: a detail to be left out.
func If[T any](condition bool, value T) any {
	if condition {
		return value
	}
	return nil
}

// Wrap puts an operation and its object, formatted as by fmt.Sprintf, before the error *err, unless
// that is nil. A function defers it if all its errors begin in the same way.
func Wrap(err *error, format string, args ...any) {
	if *err != nil {
		*err = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), *err)
	}
}

// Protect calls f and returns its error. A panic in f is returned as an error: the process that
// boots a machine must not die of it.
func Protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("internal error: %v", v)
		}
	}()
	return f()
}
