// Package fault says of an error what was being done when it happened. It is fault.Wrap(err, "...") without package
// fmt, which PID 1 would pay for in every boot, failing or not.
package fault

import "strings"

// Error is an error and what was being done.
type Error struct {
	Doing string // operation and object: "mount proc on /proc"
	Err   error
}

func (e *Error) Error() string { return e.Doing + ": " + e.Err.Error() }

// Unwrap returns the error.
func (e *Error) Unwrap() error { return e.Err }

// Wrap returns err with what was being done, in parts that are put together. It returns nil if err is nil.
func Wrap(err error, doing ...string) error {
	if err == nil {
		return nil
	}
	return &Error{strings.Join(doing, ""), err}
}
