package exec

import (
	"errors"

	"github.com/krunbox/krunbox/pkg/poweroff"
)

// StartError is the reason why a program could not be started.
type StartError struct {
	Op   string // operation and object: `execute "foo"`
	Err  error
	Code int // exit code for the host: 127 not found, 126 not executable, 125 everything else
}

func (e *StartError) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *StartError) Unwrap() error { return e.Err }

// ExitCode returns the exit code for an error: that of a *StartError, else poweroff.InitFailed.
func ExitCode(err error) int {
	if start, ok := errors.AsType[*StartError](err); ok {
		return start.Code
	}
	return poweroff.InitFailed
}
