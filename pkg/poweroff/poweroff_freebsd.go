package poweroff

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// isMachine reports whether this process is the first one of the machine.
func isMachine() bool { return unix.Getpid() == 1 }

// reboot calls reboot(2) with RB_AUTOBOOT. RB_POWEROFF would need ACPI, and halts without it.
func reboot() error {
	const autoboot = 0 // RB_AUTOBOOT
	if _, _, errno := syscall.Syscall(unix.SYS_REBOOT, autoboot, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
