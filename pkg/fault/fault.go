// Package fault says of an error what was being done when it happened. It is fault.Wrap(err, "...") without package
// fmt, which PID 1 would pay for in every boot, failing or not.
package fault

import (
	"errors"
	"slices"
	"strings"
	"syscall"
)

// Error is an error and what was being done.
type Error struct {
	Doing []string // operation and object, in parts: "mount ", "proc", " on ", "/proc"
	Err   error
}

func (e *Error) Error() string { return strings.Join(e.Doing, "") + ": " + e.Err.Error() }

// Unwrap returns the error.
func (e *Error) Unwrap() error { return e.Err }

// Wrap returns err with what was being done, in parts that are put together when somebody reads it. It returns nil if err is nil.
//
//go:noinline
func Wrap(err error, doing ...string) error {
	if err == nil {
		return nil
	}
	return &Error{slices.Clone(doing), err} // a copy: callers that have no error need no memory for the parts
}

// Errno returns the system call's error that err is or that Wrap made it of, 0 for other errors. It is for what is expected in
// good boots: errors.Is, for which an error may be anything, takes them longer.
func Errno(err error) syscall.Errno {
	for {
		switch e := err.(type) { //nolint:errorlint // what errors.As does, for the two types of interest
		case syscall.Errno:
			return e
		case *Error:
			err = e.Err
		default:
			return 0
		}
	}
}

// Guard calls f and returns its error, or the panic it ended in: PID 1 must not die of one.
func Guard(f func() error) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case error: // the runtime's own
			err = Wrap(v, "internal error")
		case string:
			err = Wrap(errors.New(v), "internal error")
		default:
			err = errors.New("internal error")
		}
	}()
	return f()
}
