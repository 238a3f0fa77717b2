package stdio

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Console is the operation that makes a console the standard streams of this process, as on FreeBSD, whose kernel starts its
// first process without any. Whoever else has the console open loses it, revoke(2).
type Console struct {
	// Path is the console's device.
	Path string
	// Log is a file that takes what would go to a console that can't be opened; standard input is then /dev/null.
	Log    string
	System ConsoleSystem
}

// ConsoleSystem are the system calls that a Console needs.
type ConsoleSystem interface {
	// Revoke is revoke(2).
	Revoke(path string) error
	// Open is open(2), with O_CLOEXEC.
	Open(path string, flags int, mode uint32) (fd int, err error)
	// SetBlocking takes O_NONBLOCK off a descriptor, F_SETFL of fcntl(2).
	SetBlocking(fd int) error
	// Dup2 is dup2(2).
	Dup2(fd, to int) error
	// Close is close(2).
	Close(fd int) error
}

func (c Console) Describe() op.Description {
	return op.Describe("open", c.Path, "else", c.Log, "for", "standard streams")
}

// Do implements op.Op. The error is that of the console: the standard streams then lead to the log if that can be opened,
// else to /dev/null or, if there is none, nowhere new.
func (c Console) Do() error {
	err := c.console()
	if err == nil {
		return nil
	}
	if c.redirect("/dev/null", unix.O_RDWR, 0, 0, 1, 2) == nil {
		_ = c.redirect(c.Log, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT, 0o644, 1, 2)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", c.Path, err)
	}
	return nil
}

func (c Console) console() error {
	// Not possible: then nobody had it open, or it is not there, and open says so.
	_ = c.System.Revoke(c.Path)
	// A serial line would make open wait for its carrier.
	fd, err := c.System.Open(c.Path, unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err := c.System.SetBlocking(fd); err != nil {
		_ = c.System.Close(fd)
		return err
	}
	return c.place(fd, 0, 1, 2)
}

// redirect opens a file for some of the standard streams.
func (c Console) redirect(path string, flags int, mode uint32, streams ...int) error {
	fd, err := c.System.Open(path, flags, mode)
	if err != nil {
		return err
	}
	return c.place(fd, streams...)
}

// place puts fd, which is above 2, in the place of some of the standard streams.
func (c Console) place(fd int, streams ...int) error {
	defer c.System.Close(fd)
	for _, to := range streams {
		if err := c.System.Dup2(fd, to); err != nil {
			return err
		}
	}
	return nil
}
