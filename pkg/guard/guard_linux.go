// Package guard keeps programs that change a whole machine from being run on somebody's own by mistake.
package guard

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrOwnMachine says that a program would act on the machine it was started on.
var ErrOwnMachine = errors.New("refused: this would change the machine it runs on; " +
	"it acts as PID 1, in a mount namespace of its own, or with --force")

// Check returns ErrOwnMachine unless this process is PID 1, or in another mount namespace than the machine's init.
// What can't be found out counts as a reason to refuse.
func Check() error {
	if unix.Getpid() == 1 {
		return nil
	}
	var own, first unix.Stat_t
	if unix.Stat("/proc/self/ns/mnt", &own) != nil || unix.Stat("/proc/1/ns/mnt", &first) != nil {
		return ErrOwnMachine
	}
	if own.Dev == first.Dev && own.Ino == first.Ino {
		return ErrOwnMachine
	}
	return nil
}
