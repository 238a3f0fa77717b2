// Package guard keeps programs that change a whole machine from being run on somebody's own by mistake.
package guard

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrOwnMachine says that a program would act on the machine it was started on.
var ErrOwnMachine = errors.New("refused: this would change the machine it runs on; it acts as PID 1, or with --force")

// Check returns ErrOwnMachine unless this process is PID 1.
func Check() error {
	if unix.Getpid() == 1 {
		return nil
	}
	return ErrOwnMachine
}
