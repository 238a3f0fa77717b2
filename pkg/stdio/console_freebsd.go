// Package stdio has the standard streams of a guest: on FreeBSD, its console.
package stdio

import "golang.org/x/sys/unix"

// System makes the system calls of this process.
type System struct{}

// Revoke implements ConsoleSystem.
func (System) Revoke(path string) error { return unix.Revoke(path) }

// Open implements ConsoleSystem.
func (System) Open(path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// SetBlocking implements ConsoleSystem.
func (System) SetBlocking(fd int) error { return unix.SetNonblock(fd, false) }

// Dup2 implements ConsoleSystem.
func (System) Dup2(fd, to int) error { return unix.Dup2(fd, to) }

// Close implements ConsoleSystem.
func (System) Close(fd int) error { return unix.Close(fd) }
