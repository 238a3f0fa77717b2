package exec

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/op"
)

func (s *Spec) prepareStreams(im *image) {
	if s.NewSession {
		im.try(unix.SYS_IOCTL, 0, unix.TIOCSCTTY) // the program can run without a terminal
	}
}

// mostOpenFiles returns the greatest limit RLIMIT_NOFILE.
func mostOpenFiles() uint64 { return oci.MaxOpenFiles }

func (*Spec) preparePIDNamespace(*image) error { return nil }

func (*Spec) prepareScheduling(*image) error { return nil }

func (s *Spec) prepareIdentity(im *image) error {
	if u := &s.Process.User; s.SetUser {
		// The first group of setgroups(2) is the effective group ID.
		im.setUser(u.UID, u.GID, append([]uint32{u.GID}, u.AdditionalGids...))
	}
	return nil
}

// explain returns why execve(2) refused candidates[refused].
func explain(errno syscall.Errno, candidates []string, refused int) error {
	if len(candidates) > 1 {
		return fmt.Errorf("looked for in PATH, last reason %s: %w", candidates[refused], errno)
	}
	return errno
}

// isScript reports whether a file that the kernel can't execute is text for a shell. Here, every
// such file is left to the shell.
func isScript(string) bool { return true }

// Session is the operation that makes this process the leader of a session, setsid(2), and sets
// the session's login name, setlogin(2), which the sessions that it starts inherit. A process
// that leads a session already keeps it.
type Session struct{ Login string }

func (s Session) Describe() op.Description { return op.Describe("start session", s.Login) }

func (s Session) Do() (err error) {
	if _, err := unix.Setsid(); err != nil && err != unix.EPERM {
		return fmt.Errorf("start a session: %w", err)
	}
	defer op.Wrap(&err, "set the login name %s", s.Login)
	return unix.Setlogin(s.Login)
}

// isOutsideRoot returns false: no path of FreeBSD leads out of the root.
func isOutsideRoot() bool { return false }
