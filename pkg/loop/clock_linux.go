package loop

import "golang.org/x/sys/unix"

// clock counts on while the machine is suspended.
const clock = unix.CLOCK_BOOTTIME
