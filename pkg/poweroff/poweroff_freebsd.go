package poweroff

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Code is the exit code for a wait status: the workload's own, or 128+n when signal n killed it.
func Code(status unix.WaitStatus) int {
	if status.Signaled() {
		return SignalBase + int(status.Signal())
	}
	return status.ExitStatus()
}

// Sync writes all file systems to their devices, sync(2).
type Sync struct{}

func (Sync) Describe() op.Description {
	return op.Describe("sync", "all file systems")
}

func (Sync) Do() error {
	unix.Sync()
	return nil
}

// autoboot is RB_AUTOBOOT of reboot(2). RB_POWEROFF would need ACPI, which a libkrun guest does not have, and without it
// halts for ever.
const autoboot = 0

// PowerOff ends the machine by reboot(2) with RB_AUTOBOOT, on which a libkrun host ends the VM. The kernel unmounts all file
// systems before. A process other than the first has no machine to end: then it does nothing, and the caller exits instead.
type PowerOff struct{}

func (PowerOff) Describe() op.Description {
	return op.Describe("reboot", "RB_AUTOBOOT")
}

func (PowerOff) Do() error {
	if unix.Getpid() != 1 {
		return nil
	}
	if _, _, errno := syscall.Syscall(unix.SYS_REBOOT, autoboot, 0, 0); errno != 0 {
		return fmt.Errorf("reboot: %w", errno)
	}
	return nil
}
