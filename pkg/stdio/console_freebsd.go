package stdio

import "golang.org/x/sys/unix"

// System makes the system calls of this process. It is the ConsoleSystem of a guest.
type System struct{}

// Revoke calls revoke(2).
func (System) Revoke(path string) error { return unix.Revoke(path) }

// Open calls open(2) with O_CLOEXEC.
func (System) Open(path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// SetBlocking clears O_NONBLOCK of a descriptor.
func (System) SetBlocking(fd int) error { return unix.SetNonblock(fd, false) }

// Dup2 calls dup2(2).
func (System) Dup2(fd, to int) error { return unix.Dup2(fd, to) }

// Close calls close(2).
func (System) Close(fd int) error { return unix.Close(fd) }
