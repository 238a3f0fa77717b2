package stdio

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Console makes a console the standard streams of this process. It is for FreeBSD, whose kernel
// starts the first process without any. Other processes lose access to the console, revoke(2).
type Console struct {
	// Path is the console's device.
	Path string
	// Log is a file for standard output and error if the console cannot be opened. Standard input
	// is /dev/null then.
	Log    string
	System ConsoleSystem
}

// ConsoleSystem makes the system calls of a Console.
type ConsoleSystem interface {
	// Revoke calls revoke(2).
	Revoke(path string) error
	// Open calls open(2) with O_CLOEXEC.
	Open(path string, flags int, mode uint32) (fd int, err error)
	// SetBlocking clears O_NONBLOCK of a descriptor.
	SetBlocking(fd int) error
	// Dup2 calls dup2(2).
	Dup2(fd, to int) error
	// Close calls close(2).
	Close(fd int) error
}

func (c Console) Describe() op.Description {
	return op.Describe("open", c.Path, "else", c.Log, "for", "standard streams")
}

// Do fails if the console cannot be opened. The standard streams then lead to the log or, if that
// cannot be opened either, to /dev/null. Without /dev/null they do not change.
func (c Console) Do() error {
	err := c.openConsole()
	if err == nil {
		return nil
	}
	if c.redirect("/dev/null", unix.O_RDWR, 0, 0, 1, 2) == nil {
		_ = c.redirect(c.Log, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT, 0o644, 1, 2)
	}
	return fmt.Errorf("open %s: %w", c.Path, err)
}

func (c Console) openConsole() error {
	// This fails if no process has the console open, or if it does not exist, as Open reports.
	_ = c.System.Revoke(c.Path)
	// O_NONBLOCK keeps open from waiting for the carrier of a serial line.
	fd, err := c.System.Open(c.Path, unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err := c.System.SetBlocking(fd); err != nil {
		_ = c.System.Close(fd)
		return err
	}
	return c.replace(fd, 0, 1, 2)
}

// redirect opens a file in the place of standard streams.
func (c Console) redirect(path string, flags int, mode uint32, streams ...int) error {
	fd, err := c.System.Open(path, flags, mode)
	if err != nil {
		return err
	}
	return c.replace(fd, streams...)
}

// replace moves fd, which is above 2, to the place of standard streams.
func (c Console) replace(fd int, streams ...int) error {
	defer c.System.Close(fd)
	for _, to := range streams {
		if err := c.System.Dup2(fd, to); err != nil {
			return err
		}
	}
	return nil
}
