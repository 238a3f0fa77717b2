//go:build linux || freebsd

// Package guard keeps programs that change a whole machine from being run on somebody's own machine
// by mistake.
package guard

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrOwnMachine means that a program would change the machine that it was started on.
var ErrOwnMachine = errors.New("refused: this would change the machine it runs on; " +
	"it acts as PID 1, " + alternatives)

// Check returns ErrOwnMachine unless this process is PID 1 or, on Linux, in a guest whose PID 1 is
// krunbox, or in a mount namespace other than that of PID 1. If it can't read that
// from /proc, it returns ErrOwnMachine too.
func Check() error {
	if isGuest() {
		return nil
	}
	return CheckBoot()
}

// CheckBoot is like Check, but returns ErrOwnMachine also in a guest whose PID 1 is krunbox. It is
// for programs that boot a guest.
func CheckBoot() error {
	if unix.Getpid() == 1 || inOwnNamespace() {
		return nil
	}
	return ErrOwnMachine
}
