package loop

import "golang.org/x/sys/unix"

// clock counts on while the machine is suspended, where the hardware allows it.
const clock = unix.CLOCK_MONOTONIC
